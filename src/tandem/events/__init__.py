"""Typed publish/subscribe over NATS JetStream: what is acknowledged is stored, what is subscribed arrives.

event       the base class of events and the form in which they travel
connection  one connection to the machine's nats-server, made again for as long as it is wanted
publisher   stores a message in a local stream within the caller's time budget
consumer    a durable pull consumer: de-duplicates, retries with delay, ends in dead letters
bus         what an agent holds: publish, subscribe, health
streams     the streams of one machine and the links to its peers
spans       carries finished spans to the traces stream
"""

from tandem.core.access import NatsAccess
from tandem.events.bus import Bus
from tandem.events.connection import Connection
from tandem.events.consumer import Consumer, ConsumerPolicy, Rejected
from tandem.events.event import Delivery, Event, current_delivery
from tandem.events.healing import SourceHealer, keep_streams
from tandem.events.publisher import Publisher, Stored
from tandem.events.spans import SpanExporter
from tandem.events.streams import DEAD_LETTERS, ERRORS, EVENTS, HUB, TRACES, StreamPair, ensure_streams

__all__ = [
    "DEAD_LETTERS",
    "ERRORS",
    "EVENTS",
    "HUB",
    "TRACES",
    "Bus",
    "Connection",
    "Consumer",
    "ConsumerPolicy",
    "Delivery",
    "Event",
    "NatsAccess",
    "Publisher",
    "Rejected",
    "SourceHealer",
    "SpanExporter",
    "Stored",
    "StreamPair",
    "current_delivery",
    "ensure_streams",
    "keep_streams",
]
