"""Typed request/reply and streams between the services of a fleet.

envelope     the frames and their bytes
signatures   a method's signature as a Struct of arguments, for both ends
handlers     what a server answers
server       answers calls (session: one connection, calls: one call, remembered: what must not run twice)
peers        calls others (pool: their connections, link: one connection, streams, retry, breaker)
transports   memory, unix, zmq: ways for frames to travel, behind the seam of `channel`
"""

from tandem.rpc.breaker import BreakerState, CircuitOpen
from tandem.rpc.context import current_principal
from tandem.rpc.handlers import Handler, handler_of, handlers_from
from tandem.rpc.interfaces import Endpoint, Limits, LinkCut, Observer, Resolver, Silent
from tandem.rpc.peers import Peers
from tandem.rpc.server import Server
from tandem.rpc.signatures import CallSignature, call_signature
from tandem.rpc.transports.memory import MemoryNetwork

__all__ = [
    "BreakerState",
    "CallSignature",
    "CircuitOpen",
    "Endpoint",
    "Handler",
    "Limits",
    "LinkCut",
    "MemoryNetwork",
    "Observer",
    "Peers",
    "Resolver",
    "Server",
    "Silent",
    "call_signature",
    "current_principal",
    "handler_of",
    "handlers_from",
]
