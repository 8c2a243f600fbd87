"""Reads the traces stream back: recent turns, or the spans of one."""

from __future__ import annotations

from collections import defaultdict

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tandem.core.errors import NotFound
from tandem.events.streams import TRACES
from tandem.telemetry.tracing import Span, trace_of, turn_of

FETCH = 256
FETCH_TIMEOUT_S = 5.0

_decoder = msgspec.json.Decoder(list[Span])


async def read_traces(client: Client, trace_id: str = "*") -> dict[str, list[Span]]:
    """Spans by trace id, of one trace or of all that are still kept (an hour).

    Raises nats-py's errors when the server refuses or does not answer.
    """
    stream = client.jetstream()
    subject = f"{TRACES.prefix}.*.{trace_id}"
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, inactive_threshold=2 * FETCH_TIMEOUT_S
    )
    subscription = await stream.pull_subscribe(subject, stream=TRACES.all, config=config)
    found: dict[str, list[Span]] = defaultdict(list)
    try:
        left = (await subscription.consumer_info()).num_pending or 0
        while left > 0:
            for message in await subscription.fetch(min(left, FETCH), timeout=FETCH_TIMEOUT_S):
                left -= 1
                for span in _decoder.decode(message.data):
                    found[span.trace_id].append(span)
    except nats.errors.TimeoutError:
        # What was pending may have expired since we asked; the rest has been read.
        pass
    finally:
        await subscription.unsubscribe()
    return dict(found)


async def read_turn(client: Client, name: str) -> list[Span]:
    """The spans of a turn named by its id, its trace id, or enough of either's first letters to be the only one.

    Raises :class:`NotFound` when there is none or several.
    """
    for whole in (name.lower(), _trace_of_turn(name)):
        if len(whole) == 32:
            spans = (await read_traces(client, whole)).get(whole)
            if spans:
                return spans
    traces = await read_traces(client)
    wanted = name.lower()
    matches = [trace for trace in traces if trace.startswith(wanted) or turn_of(trace).startswith(wanted)]
    if len(matches) == 1:
        return traces[matches[0]]
    if matches:
        raise NotFound(f"{len(matches)} turns begin with {name}", hint="give more of its letters")
    raise NotFound(f"no turn {name} in the last hour", hint="tandem trace lists the turns there are")


def _trace_of_turn(name: str) -> str:
    try:
        return trace_of(name)
    except ValueError:
        return ""
