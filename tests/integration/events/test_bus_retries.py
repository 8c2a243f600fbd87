"""What becomes of an event whose handler fails, or takes long."""

from __future__ import annotations

import asyncio

import pytest
from events_rig import QUICK, FactLearned, dead_letters

from tandem.events import Bus, ConsumerPolicy, Rejected, current_delivery

pytestmark = pytest.mark.integration


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

    async def all_acknowledged() -> bool:
        info = await consumer.measure()
        return info is not None and (info.num_pending, info.num_ack_pending) == (0, 0)

    await eventually(all_acknowledged)


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


async def test_what_a_dead_process_held_goes_to_the_next(nats_server, bus, eventually):
    """Events taken but not acknowledged by a process that vanished are delivered to its successor."""
    policy = ConsumerPolicy(ack_wait_s=1.0)
    first = Bus(nats_server.access, "Reader")
    await first.connect(20)
    hanging = asyncio.Event()

    async def never(event: FactLearned) -> None:
        hanging.set()
        await asyncio.Event().wait()

    await first.subscribe(FactLearned, never, policy=policy)
    await bus.publish(FactLearned(number=1))
    await asyncio.wait_for(hanging.wait(), 60)
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
    await second.subscribe(FactLearned, handler, policy=policy)
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

    consumer = await reader.subscribe(FactLearned, handler, policy=ConsumerPolicy(ack_wait_s=4.0))
    for number in range(3):
        await bus.publish(FactLearned(number=number))
    await eventually(lambda: calls == [0])

    async def waited_longer_than_ack_wait() -> bool:
        info = await consumer.measure()
        return loop.time() - began > 9.0 and info is not None and info.num_ack_pending == 3

    loop = asyncio.get_running_loop()
    began = loop.time()
    await eventually(waited_longer_than_ack_wait)
    release.set()
    await eventually(lambda: consumer.handled == 3)
    assert calls == [0, 1, 2]
    assert consumer.duplicates == 0
