"""Traces of two machines, read back on either, and what `tandem trace` shows of them."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import redirect_stdout

import msgspec
import pytest

from tandem.cli import nats_link
from tandem.cli import trace as verb
from tandem.core.errors import NotFound, Unreachable
from tandem.events import Connection, SpanExporter, ensure_streams
from tandem.events.traces import read_traces, read_turn
from tandem.telemetry import tracing
from tandem.telemetry.resource import Resource, resource_scope

pytestmark = pytest.mark.integration


@pytest.fixture
async def turn(nats_pair, eventually):
    """The id of a turn with a hop on each machine, stored on both."""
    connections = []
    for server in (nats_pair.mainpc, nats_pair.pc2):
        connection = Connection(server.access, "Agent")
        connection.start()
        await ensure_streams(await connection.client(20), server.machine, ("mainpc", "pc2"))
        connections.append(connection)
    here, there = (SpanExporter(connection) for connection in connections)
    tracing.set_sink(here)
    with resource_scope(Resource("Coordinator", "mainpc")), tracing.start_turn() as root:
        traceparent = tracing.current_traceparent()
        with tracing.span("think", "client") as span:
            span.fail(TimeoutError())
    tracing.set_sink(there)
    with (
        resource_scope(Resource("Thinker", "pc2")),
        tracing.remote_context(traceparent),
        tracing.span("think", "server"),
    ):
        pass
    tracing.set_sink(None)

    async def on_both() -> bool:
        clients = [await connection.client() for connection in connections]
        found = [(await read_traces(client)).get(root.context.trace_id, []) for client in clients]
        return [len(spans) for spans in found] == [3, 3]

    await eventually(on_both)
    yield root.context.turn
    for exporter, connection in zip((here, there), connections, strict=True):
        await exporter.close()
        await connection.close()


async def test_spans_reach_the_traces_stream(nats_server, bus, eventually):
    """A sampled turn's spans are found under its trace id, as this machine's."""
    exporter = SpanExporter(bus.connection)
    tracing.set_sink(exporter)
    try:
        with tracing.start_turn() as turn, tracing.span("step"):
            trace_id = turn.context.trace_id
        manager = (await bus.connection.client()).jetstream()

        async def stored() -> bool:
            return (await manager.stream_info("TRACES_ALL")).state.messages == 1

        await eventually(stored)
    finally:
        tracing.set_sink(None)
        await exporter.close()
    message = await manager.get_last_msg("TRACES_ALL", f"trace.mainpc.{trace_id}")
    spans = msgspec.json.decode(message.data, type=list[tracing.Span])
    assert [span.name for span in spans] == ["step", "turn"]


async def test_a_turn_is_found_by_any_of_its_names_on_either_machine(nats_pair, turn):
    """Turn id, trace id and their first letters lead to the same spans; others do not."""
    for server in (nats_pair.mainpc, nats_pair.pc2):
        connection = Connection(server.access, "reader")
        connection.start()
        client = await connection.client(20)
        trace_id = tracing.trace_of(turn)
        for name in (turn, turn.upper(), trace_id, turn[:12], trace_id[:12]):
            spans = await read_turn(client, name)
            assert sorted((span.name, span.machine) for span in spans) == [
                ("think", "mainpc"),
                ("think", "pc2"),
                ("turn", "mainpc"),
            ]
        for name in ("zzz", "0" * 32, "0" * 26):
            with pytest.raises(NotFound):
                await read_turn(client, name)
        await connection.close()


async def run_verb(*arguments: str) -> str:
    """What the command writes; it runs in a thread because it has an event loop of its own."""

    def run() -> str:
        out = io.StringIO()
        with redirect_stdout(out):
            verb.app(list(arguments), standalone_mode=False)
        return out.getvalue()

    return await asyncio.to_thread(run)


async def test_the_verb_lists_turns_and_draws_one(nats_pair, turn, monkeypatch):
    """The list names the turn; its waterfall has every hop with agent, machine and error; JSON has the numbers."""
    monkeypatch.setattr(nats_link, "nats_accesses", lambda: [nats_pair.pc2.access])
    monkeypatch.setenv("COLUMNS", "200")
    assert turn in await run_verb()
    drawn = await run_verb("last")
    for word in (turn, "Coordinator", "Thinker", "mainpc", "pc2", "TimeoutError", "█"):
        assert word in drawn
    found = json.loads(await run_verb(turn, "--json"))
    assert found["turn"]["turn"] == turn
    assert [(row["span"]["name"], row["depth"]) for row in found["spans"]] == [
        ("turn", 0),
        ("think", 1),
        ("think", 1),
    ]
    [listed] = json.loads(await run_verb("--json"))
    assert (listed["spans"], listed["agents"], listed["errors"]) == (3, 2, 1)


async def test_the_verb_tries_the_next_machine(nats_pair, turn, monkeypatch):
    """One server that is away hides nothing; when all are, the error says so."""
    gone, here = nats_pair.mainpc, nats_pair.pc2
    gone.kill()
    monkeypatch.setattr(nats_link, "nats_accesses", lambda: [gone.access, here.access])
    assert turn in await run_verb()
    monkeypatch.setattr(nats_link, "CONNECT_S", 1.0)
    monkeypatch.setattr(nats_link, "nats_accesses", lambda: [gone.access])
    with pytest.raises(Unreachable, match="no NATS server answers"):
        await run_verb()
