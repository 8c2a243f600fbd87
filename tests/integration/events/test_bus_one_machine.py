"""Publish and subscribe against one real nats-nats_server."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, StorageType, StreamConfig, StreamSource

from tandem.core.errors import TooLarge, Unreachable
from tandem.events import (
    DEAD_LETTERS,
    Bus,
    Connection,
    ConsumerPolicy,
    Event,
    Rejected,
    SpanExporter,
    current_delivery,
    ensure_streams,
)
from tandem.events.streams import DAY_S, DUPLICATE_WINDOW_S, PAIRS
from tandem.telemetry import tracing

pytestmark = pytest.mark.integration

QUICK = ConsumerPolicy(ack_wait_s=1.0, retry_delays_s=(0.05, 0.05, 0.05))


class FactLearned(Event, topic="fact.learned"):
    """What the tests announce."""

    number: int
    text: str = ""


class DoorOpened(Event, topic="door.opened"):
    """Something else."""

    door: str


@pytest.fixture
async def bus(nats_server):
    """A connected bus of the agent Writer, streams in place."""
    bus = Bus(nats_server.access, "Writer")
    await bus.connect(20)
    await ensure_streams(await bus.connection.client(), "mainpc")
    yield bus
    await bus.close()


@pytest.fixture
async def reader(nats_server, bus):
    """A connected bus of another agent."""
    reader = Bus(nats_server.access, "Reader")
    await reader.connect(20)
    yield reader
    await reader.close()


async def dead_letters(bus: Bus) -> list[tuple[str, dict[str, str]]]:
    """Every dead letter's subject and headers."""
    stream = (await bus.connection.client()).jetstream()
    state = (await stream.stream_info(DEAD_LETTERS)).state
    if not state.messages:
        return []
    letters = [await stream.get_msg(DEAD_LETTERS, seq) for seq in range(state.first_seq, state.last_seq + 1)]
    return [(letter.subject, letter.headers) for letter in letters]


async def test_an_event_arrives_typed_with_its_origin(bus, reader, eventually):
    """A subscriber gets the published Struct, and may ask for its id, origin, topic and time."""
    got = []

    async def handler(event: FactLearned) -> None:
        got.append((event, current_delivery()))

    await reader.subscribe(FactLearned, handler)
    await bus.publish(FactLearned(number=1, text="tea is hot"))
    await eventually(lambda: bool(got))
    [(event, delivery)] = got
    assert event == FactLearned(number=1, text="tea is hot")
    assert (delivery.origin, delivery.topic, delivery.attempt) == ("Writer@mainpc", "fact.learned", 1)
    assert len(delivery.id) == 26
    assert delivery.time > 1e9


async def test_events_keep_their_order_and_only_the_topic_arrives(bus, reader, eventually):
    """A handler sees its own topic, in the order of publishing, even when many publishes run at once."""
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    await reader.subscribe(FactLearned, handler)
    for number in range(50):
        await bus.publish(FactLearned(number=number))
        await bus.publish(DoorOpened(door="front"))
    await asyncio.gather(*(bus.publish(FactLearned(number=1000)) for _ in range(300)))
    await eventually(lambda: len(got) == 350)
    assert got[:50] == list(range(50))


async def test_each_agent_gets_every_event(nats_server, bus, reader, eventually):
    """Two agents that subscribe to one topic do not take events from each other."""
    first, second = [], []
    other = Bus(nats_server.access, "Other")
    await other.connect(20)

    async def one(event: FactLearned) -> None:
        first.append(event.number)

    async def two(event: FactLearned) -> None:
        second.append(event.number)

    await reader.subscribe(FactLearned, one)
    await other.subscribe(FactLearned, two)
    for number in range(20):
        await bus.publish(FactLearned(number=number))
    await eventually(lambda: len(first) == len(second) == 20)
    await other.close()


async def test_what_was_published_while_a_subscriber_was_away_reaches_it(
    nats_server, bus, reader, eventually
):
    """The durable position survives the subscriber's process."""
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    await reader.subscribe(FactLearned, handler)
    await bus.publish(FactLearned(number=1))
    await eventually(lambda: got == [1])
    await reader.close()
    await bus.publish(FactLearned(number=2))
    again = Bus(nats_server.access, "Reader")
    await again.connect(20)
    await again.subscribe(FactLearned, handler)
    await eventually(lambda: got == [1, 2])
    await again.close()


async def test_a_repeated_publish_is_stored_once(bus):
    """JetStream recognises the message id of a publish that was sent again."""
    first = await bus.publisher.publish("event.mainpc.x", b"1", {"Nats-Msg-Id": "same"})
    second = await bus.publisher.publish("event.mainpc.x", b"1", {"Nats-Msg-Id": "same"})
    assert second.duplicate
    assert second.seq == first.seq


async def test_a_duplicate_outside_the_servers_window_is_recognised_by_the_consumer(bus, reader, eventually):
    """Two stored messages with one id reach the handler once."""
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    consumer = await reader.subscribe(FactLearned, handler)
    manager = (await bus.connection.client()).jetstream()
    for name in ("EVENTS_LOCAL", "EVENTS_ALL"):
        config = (await manager.stream_info(name)).config
        await manager.update_stream(config.evolve(duplicate_window=0.1))
    await bus.publisher.publish("event.mainpc.fact.learned", b'{"number":1}', {"Nats-Msg-Id": "same"})
    await eventually(lambda: got == [1])

    async def known_by_its_id() -> bool:
        await bus.publisher.publish("event.mainpc.fact.learned", b'{"number":1}', {"Nats-Msg-Id": "same"})
        return consumer.duplicates > 0

    await eventually(known_by_its_id)
    assert got == [1]


async def test_a_failing_handler_gets_the_event_again(bus, reader, eventually):
    """After an exception the same event comes again with a higher attempt, until it is handled."""
    attempts: list[int] = []

    async def handler(event: FactLearned) -> None:
        attempts.append(current_delivery().attempt)
        if len(attempts) < 3:
            raise RuntimeError("not yet")

    consumer = await reader.subscribe(FactLearned, handler, policy=QUICK)
    await bus.publish(FactLearned(number=1))
    await eventually(lambda: consumer.handled == 1)
    assert attempts == [1, 2, 3]
    assert await dead_letters(bus) == []


async def test_an_event_nobody_can_handle_becomes_a_dead_letter(bus, reader, eventually):
    """After the last retry the event is stored with the reason, and the next events go on."""
    attempts: list[int] = []
    fine: list[int] = []

    async def handler(event: FactLearned) -> None:
        if event.number == 1:
            attempts.append(current_delivery().attempt)
            raise RuntimeError("cannot")
        fine.append(event.number)

    consumer = await reader.subscribe(FactLearned, handler, policy=QUICK)
    await bus.publish(FactLearned(number=1))
    await bus.publish(FactLearned(number=2))
    await eventually(lambda: consumer.dead == 1 and fine == [2])
    assert attempts == [1, 2, 3, 4]
    [(subject, headers)] = await dead_letters(bus)
    assert subject == "dead.mainpc.Reader.fact.learned"
    assert headers["Tandem-Reason"] == "RuntimeError: cannot"
    assert headers["Tandem-Subject"] == "event.mainpc.fact.learned"
    assert headers["Tandem-Attempts"] == "4"
    info = await consumer.measure()
    assert (info.num_pending, info.num_ack_pending) == (0, 0)


async def test_what_no_retry_can_mend_is_a_dead_letter_at_once(bus, reader, eventually):
    """An event that does not fit its type, and one its handler rejects, are not tried again."""
    calls: list[int] = []

    async def handler(event: FactLearned) -> None:
        calls.append(event.number)
        raise Rejected("never")

    consumer = await reader.subscribe(FactLearned, handler)
    await bus.publisher.publish("event.mainpc.fact.learned", b'{"number":"NaN"}', {"Nats-Msg-Id": "bad"})
    await bus.publish(FactLearned(number=7))
    await eventually(lambda: consumer.dead == 2)
    assert calls == [7]
    reasons = [headers["Tandem-Reason"] for _, headers in await dead_letters(bus)]
    assert reasons[0].startswith("not a FactLearned")
    assert reasons[1] == "never"


async def test_fields_of_a_newer_release_are_ignored(bus, reader, eventually):
    """An event with fields this release does not know is handled."""
    got: list[FactLearned] = []

    async def handler(event: FactLearned) -> None:
        got.append(event)

    await reader.subscribe(FactLearned, handler)
    await bus.publisher.publish("event.mainpc.fact.learned", b'{"number":1,"new":true}', {"Nats-Msg-Id": "n"})
    await eventually(lambda: got == [FactLearned(number=1)])


async def test_the_handler_continues_the_publishers_trace(bus, reader, eventually):
    """Publisher and handler record spans of one trace, the handler's below the publisher's."""
    spans: list[tracing.Span] = []
    tracing.set_sink(spans.append)
    done = asyncio.Event()

    async def handler(event: FactLearned) -> None:
        with tracing.span("inside"):
            done.set()

    try:
        await reader.subscribe(FactLearned, handler)
        with tracing.start_turn():
            await bus.publish(FactLearned(number=1))
        await asyncio.wait_for(done.wait(), 30)
        await eventually(lambda: len(spans) == 4)
    finally:
        tracing.set_sink(None)
    by_name = {span.name: span for span in spans}
    assert len({span.trace_id for span in spans}) == 1
    assert by_name["process fact.learned"].parent_id == by_name["publish fact.learned"].span_id
    assert by_name["inside"].parent_id == by_name["process fact.learned"].span_id


async def test_publishing_without_a_server_ends_within_the_budget(nats_server, bus):
    """With NATS gone a publish raises Unreachable after its budget and never hangs."""
    nats_server.kill()
    with pytest.raises(Unreachable):
        await asyncio.wait_for(bus.publish(FactLearned(number=1), timeout=0.5), 30)


async def test_publishing_to_a_stopped_server_ends_within_the_budget(nats_server, bus):
    """A server that accepts bytes and never answers costs the budget, no more."""
    os.kill(nats_server.process.pid, signal.SIGSTOP)
    await asyncio.to_thread(os.waitid, os.P_PID, nats_server.process.pid, os.WSTOPPED)  # it goes on for a moment
    try:
        with pytest.raises(Unreachable):
            await asyncio.wait_for(bus.publish(FactLearned(number=1), timeout=0.5), 30)
    finally:
        os.kill(nats_server.process.pid, signal.SIGCONT)
    await bus.publish(FactLearned(number=2), timeout=30)


async def test_a_connection_that_ends_while_it_is_made_is_made_again(nats_server, monkeypatch):
    """A server that dies between its welcome and our first step leaves nobody with a client that is closed for ever."""
    made: list[Client] = []

    class Hasty(Client):
        async def connect(self, *args: Any, **options: Any) -> None:
            await super().connect(*args, **options)
            made.append(self)
            if len(made) == 1:
                await self.close()

    monkeypatch.setattr("tandem.events.connection.Client", Hasty)
    connection = Connection(nats_server.access, "hasty")
    connection.start()
    client = await connection.client(30)
    assert client.is_connected and client is not made[0]
    await connection.close()


async def test_a_publish_waits_out_a_restart(nats_server, bus, reader, eventually):
    """A publish begun while the server restarts is stored once it is back; nothing is logged as a traceback."""
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    await reader.subscribe(FactLearned, handler)
    nats_server.kill()
    publishing = asyncio.create_task(bus.publish(FactLearned(number=5), timeout=60))
    await nats_server.start()
    await publishing
    await eventually(lambda: got == [5])


async def test_too_large_an_event_is_refused(bus):
    """Above the server's limit the error says so instead of breaking the connection."""
    with pytest.raises(TooLarge):
        await bus.publish(FactLearned(number=1, text="x" * 2_000_000))
    await bus.publish(FactLearned(number=2))


async def test_acknowledged_events_survive_kill_9_under_load(nats_server, bus, reader, eventually, caplog):
    """Whatever a publish returned for reaches the subscriber once, through two kill -9 of the server under load."""
    got: list[int] = []
    acknowledged: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    consumer = await reader.subscribe(FactLearned, handler, policy=ConsumerPolicy(window=64, ack_wait_s=1.0))

    async def produce(worker: int) -> None:
        for number in range(250):
            await bus.publish(FactLearned(number=worker * 1000 + number), timeout=60)
            acknowledged.append(worker * 1000 + number)

    load = asyncio.gather(*(produce(worker) for worker in range(4)))
    for limit in (200, 600):
        await eventually(lambda limit=limit: len(acknowledged) > limit)
        nats_server.kill()
        await nats_server.start()
    await load
    await eventually(lambda: set(acknowledged) <= set(got))
    assert sorted(got) == sorted(acknowledged)
    assert consumer.handled == 1000
    assert "Traceback" not in caplog.text

    async def settled() -> bool:
        info = await consumer.measure()
        return info is not None and info.num_pending == 0 and info.num_ack_pending == 0

    await eventually(settled)
    assert reader.health() == []


async def test_what_a_dead_process_held_goes_to_the_next(nats_server, bus, eventually):
    """Events taken but not acknowledged by a process that vanished are delivered to its successor."""
    first = Bus(nats_server.access, "Reader")
    await first.connect(20)
    hanging = asyncio.Event()

    async def never(event: FactLearned) -> None:
        hanging.set()
        await asyncio.Event().wait()

    await first.subscribe(FactLearned, never, policy=QUICK)
    await bus.publish(FactLearned(number=1))
    await asyncio.wait_for(hanging.wait(), 30)
    # As after kill -9: nothing is given back, nothing is prolonged any more.
    (await first.connection.client())._transport.close()
    for task in [
        t for t in asyncio.all_tasks() if t.get_name() in ("nats:Reader", "consume:Reader-fact_learned")
    ]:
        task.cancel()
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(current_delivery().attempt)

    second = Bus(nats_server.access, "Reader")
    await second.connect(20)
    await second.subscribe(FactLearned, handler, policy=QUICK)
    await eventually(lambda: len(got) == 1)
    assert got[0] > 1
    await second.close()
    await first.close()


async def test_a_slow_handler_keeps_what_it_works_on(bus, reader, eventually):
    """An event is not delivered again while its handler takes longer than the server would wait."""
    calls: list[int] = []
    release = asyncio.Event()

    async def handler(event: FactLearned) -> None:
        calls.append(event.number)
        await release.wait()

    consumer = await reader.subscribe(FactLearned, handler, policy=ConsumerPolicy(ack_wait_s=0.6))
    for number in range(3):
        await bus.publish(FactLearned(number=number))
    await eventually(lambda: calls == [0])

    async def waited_longer_than_ack_wait() -> bool:
        info = await consumer.measure()
        return loop.time() - began > 2.0 and info is not None and info.num_ack_pending == 3

    loop = asyncio.get_running_loop()
    began = loop.time()
    await eventually(waited_longer_than_ack_wait)
    release.set()
    await eventually(lambda: consumer.handled == 3)
    assert calls == [0, 1, 2]
    assert consumer.duplicates == 0


async def test_a_subscription_made_without_nats_covers_what_comes_later(nats_server, bus, eventually):
    """Subscribing while the server is away neither fails nor loses events published before it connects."""
    nats_server.kill()
    late = Bus(nats_server.access, "Late")
    await late.connect()
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    await late.subscribe(FactLearned, handler)
    await eventually(lambda: any("NATS" in issue.message for issue in late.health()))
    await nats_server.start()
    await bus.publish(FactLearned(number=1), timeout=60)
    await eventually(lambda: got == [1])
    assert late.health() == []
    await late.close()


async def test_a_deleted_consumer_is_made_again(bus, reader, eventually):
    """When somebody removes the consumer on the server the subscription restores itself."""
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    consumer = await reader.subscribe(FactLearned, handler)
    await bus.publish(FactLearned(number=1))
    await eventually(lambda: got == [1])
    await (await bus.connection.client()).jetstream().delete_consumer("EVENTS_ALL", consumer.name)
    await bus.publish(FactLearned(number=2))
    await eventually(lambda: 2 in got)


async def test_ensuring_streams_again_keeps_their_messages(bus):
    """Creating the streams is idempotent, and changed limits are applied in place."""
    await bus.publish(FactLearned(number=1))
    client = await bus.connection.client()
    manager = client.jetstream()
    config = (await manager.stream_info("EVENTS_LOCAL")).config
    await manager.update_stream(config.evolve(max_age=600.0))
    await ensure_streams(client, "mainpc")
    info = await manager.stream_info("EVENTS_LOCAL")
    assert info.config.max_age == 7 * 86400.0
    assert info.state.messages == 1


async def test_streams_of_an_earlier_release_are_brought_up_to_date(nats_server, eventually, caplog):
    """What can be changed of a stream is, though what cannot differs as well; its messages and a reader's place in it stay,
    and the next time there is nothing to do."""
    bus = Bus(nats_server.access, "Writer")
    await bus.connect(20)
    client = await bus.connection.client()
    manager = client.jetstream()
    for former in former_streams():
        await manager.add_stream(former)
    await bus.publish(FactLearned(number=1))

    async def is_copied() -> bool:
        return (await manager.stream_info("EVENTS_ALL")).state.messages == 1

    await eventually(is_copied)
    reader = await manager.pull_subscribe("event.>", durable="reader", stream="EVENTS_ALL")
    for message in await reader.fetch(1, timeout=30):
        await message.ack_sync()

    await ensure_streams(client, "mainpc", ["pc2"])
    for pair in PAIRS:
        for name in (pair.local, pair.all):
            found = (await manager.stream_info(name)).config
            assert (found.max_bytes, found.max_age) == (pair.max_bytes, pair.max_age_s)
            assert (found.duplicate_window, found.discard) == (DUPLICATE_WINDOW_S, DiscardPolicy.OLD)
            assert (found.storage, found.persist_mode) == (StorageType.FILE, None)
            apis = {source.external.api for source in found.sources or [] if source.external}
            assert apis == ({"$JS.pc2.API"} if name == pair.all else set())
    assert (await manager.stream_info(DEAD_LETTERS)).config.max_age == 30 * DAY_S
    assert (await manager.stream_info("EVENTS_ALL")).state.messages == 1
    assert (await manager.consumer_info("EVENTS_ALL", "reader")).num_pending == 0
    caplog.clear()
    with caplog.at_level("INFO", "tandem.events"):
        await ensure_streams(client, "mainpc", ["pc2"])
    assert "updating" not in caplog.text
    await bus.close()


async def test_a_setting_that_is_also_the_servers_default_is_brought_back(bus):
    """What is wanted counts, whether or not a new stream would have it without a word."""
    client = await bus.connection.client()
    manager = client.jetstream()
    existing = (await manager.stream_info("EVENTS_LOCAL")).config
    await manager.update_stream(existing.evolve(discard=DiscardPolicy.NEW))
    await ensure_streams(client, "mainpc")
    assert (await manager.stream_info("EVENTS_LOCAL")).config.discard == DiscardPolicy.OLD


def former_streams() -> list[StreamConfig]:
    """This machine's streams as another release may have made them: other limits, no links, all of it written through."""
    other = {"max_bytes": 8 * 2**20, "max_age": 60.0, "duplicate_window": 10.0, "discard": DiscardPolicy.NEW}
    return [
        *(StreamConfig(name=pair.local, subjects=[f"{pair.prefix}.mainpc.>"], **other) for pair in PAIRS),
        *(StreamConfig(name=pair.all, sources=[StreamSource(name=pair.local)], **other) for pair in PAIRS),
        StreamConfig(name=DEAD_LETTERS, subjects=["dead.mainpc.>"], **other),
    ]


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


async def test_a_connection_outlives_missing_certificates(nats_server, tmp_path):
    """Unreadable files are told as the reason, and waiting for the connection ends within its time."""
    access = msgspec.structs.replace(nats_server.access, ca_file=str(tmp_path / "no-ca.pem"))
    connection = Connection(access, "Agent")
    connection.start()
    with pytest.raises(Unreachable, match="No such file"):
        await connection.client(1.0)
    assert not connection.connected
    await connection.close()
    await connection.close()
