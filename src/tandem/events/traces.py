"""Reads the traces stream back: recent turns, or the spans of one."""

from __future__ import annotations

from collections import defaultdict

import msgspec
from nats.aio.client import Client

from tandem.core.errors import NotFound
from tandem.events.reading import read_all
from tandem.events.streams import TRACES
from tandem.telemetry.tracing import Span, trace_of, turn_of

_decoder = msgspec.json.Decoder(list[Span])


async def read_traces(client: Client, trace_id: str = "*") -> dict[str, list[Span]]:
    """Spans by trace id, of one trace or of all that are still kept (an hour).

    Raises nats-py's errors when the server refuses or does not answer.
    """
    found: dict[str, list[Span]] = defaultdict(list)
    for message in await read_all(client, TRACES.all, f"{TRACES.prefix}.*.{trace_id}"):
        for span in _decoder.decode(message.data):
            found[span.trace_id].append(span)
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
