"""Publish and subscribe against one real nats-server."""

from __future__ import annotations

import asyncio

import pytest
from events_rig import DoorOpened, FactLearned

from tandem.core.errors import TooLarge
from tandem.events import Bus, current_delivery
from tandem.telemetry import tracing

pytestmark = pytest.mark.integration


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
    await asyncio.gather(*(bus.publish(FactLearned(number=1000), timeout=60) for _ in range(300)))
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
        await asyncio.wait_for(done.wait(), 60)
        await eventually(lambda: len(spans) == 4)
    finally:
        tracing.set_sink(None)
    by_name = {span.name: span for span in spans}
    assert len({span.trace_id for span in spans}) == 1
    assert by_name["process fact.learned"].parent_id == by_name["publish fact.learned"].span_id
    assert by_name["inside"].parent_id == by_name["process fact.learned"].span_id


async def test_too_large_an_event_is_refused(bus):
    """Above the server's limit the error says so instead of breaking the connection."""
    with pytest.raises(TooLarge):
        await bus.publish(FactLearned(number=1, text="x" * 2_000_000))
    await bus.publish(FactLearned(number=2))
