"""Two machines joined by a leaf link: nothing lost, nothing twice, whatever is cut or killed."""

from __future__ import annotations

import asyncio
import contextlib

import nats.errors
import pytest
from events_rig import FactLearned

from tandem.core.tasks import end
from tandem.events import Bus, SourceHealer, current_delivery, ensure_streams

pytestmark = pytest.mark.integration

MACHINES = ("mainpc", "pc2")


class Side:
    """One machine: an agent that writes, one that reads, and what it has read."""

    def __init__(self, access, machine: str) -> None:
        self.machine = machine
        self.writer = Bus(access, "Writer")
        self.reader = Bus(access, "Reader")
        self.got: list[tuple[str, int]] = []
        self.healer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.writer.connect(20)
        await self.reader.connect(20)
        await ensure_streams(await self.writer.connection.client(), self.machine, MACHINES)
        await self.reader.subscribe(FactLearned, self._handle)
        self.healer = asyncio.create_task(self._heal())

    async def close(self) -> None:
        await end(self.healer)
        await self.writer.close()
        await self.reader.close()

    async def publish(self, numbers: range) -> None:
        for number in numbers:
            await self.writer.publish(FactLearned(number=number), timeout=60)

    def of(self, machine: str) -> list[int]:
        return [number for origin, number in self.got if origin == machine]

    async def _handle(self, event: FactLearned) -> None:
        self.got.append((current_delivery().origin.machine, event.number))

    async def _heal(self) -> None:
        healer = SourceHealer(self.machine, MACHINES)
        while True:
            await asyncio.sleep(1)
            with contextlib.suppress(nats.errors.Error, TimeoutError):
                await healer.heal(await self.writer.connection.client())


@pytest.fixture
async def sides(nats_pair):
    """Both machines with streams, writers and readers."""
    sides = Side(nats_pair.mainpc.access, "mainpc"), Side(nats_pair.pc2.access, "pc2")
    for side in sides:
        await side.open()
    yield sides
    for side in sides:
        await side.close()


async def complete(sides, eventually, numbers: range) -> None:
    """Both sides have read every number of both sides, once and in order of its origin."""
    for side in sides:
        await eventually(lambda side=side: len(side.got) >= 2 * len(numbers), 100)
    await asyncio.gather(*(side.reader.publish(FactLearned(number=-1)) for side in sides))
    for side in sides:
        await eventually(lambda side=side: sum(number == -1 for _, number in side.got) == 2, 100)
        for machine in MACHINES:
            assert side.of(machine) == [*numbers, -1]


async def test_events_of_both_machines_reach_both_once_and_in_order(sides, eventually):
    """Each side reads its own and the other's events, without duplicates, in the order of their origin."""
    await asyncio.gather(*(side.publish(range(200)) for side in sides))
    await complete(sides, eventually, range(200))


@pytest.mark.timeout(240)
async def test_a_cut_link_delays_and_never_loses(nats_pair, sides, eventually):
    """While cut, each side works alone; after healing each has all events, once and in order."""
    mainpc, pc2 = sides
    await asyncio.gather(*(side.publish(range(50)) for side in sides))
    await eventually(lambda: len(mainpc.got) == len(pc2.got) == 100)
    await nats_pair.cable.cut()
    await nats_pair.unlinked()
    await asyncio.gather(*(side.publish(range(50, 250)) for side in sides))
    await eventually(lambda: mainpc.of("mainpc") == pc2.of("pc2") == list(range(250)))
    assert mainpc.of("pc2") == pc2.of("mainpc") == list(range(50))
    await nats_pair.cable.heal()
    await nats_pair.linked()
    await asyncio.gather(*(side.publish(range(250, 300)) for side in sides))
    await complete(sides, eventually, range(300))


@pytest.mark.timeout(240)
async def test_kill_9_of_either_server_with_the_link_cut_loses_nothing(nats_pair, sides, eventually):
    """Acknowledged while cut, then both servers killed, restarted and joined again: all there, once."""
    await asyncio.gather(*(side.publish(range(50)) for side in sides))
    await nats_pair.cable.cut()
    await nats_pair.unlinked()
    await asyncio.gather(*(side.publish(range(50, 150)) for side in sides))
    for server in (nats_pair.mainpc, nats_pair.pc2):
        server.kill()
        await server.start()
    await nats_pair.cable.heal()
    await nats_pair.linked()
    await asyncio.gather(*(side.publish(range(150, 200)) for side in sides))
    await complete(sides, eventually, range(200))


@pytest.mark.timeout(240)
async def test_the_link_breaking_again_and_again_under_load(nats_pair, sides, eventually):
    """Three cuts while both sides publish without pause: all there, once and in order."""
    load = asyncio.gather(*(side.publish(range(600)) for side in sides))
    for count in (100, 250, 400):
        await eventually(lambda count=count: all(len(side.of(side.machine)) > count for side in sides))
        await nats_pair.cable.cut()
        await nats_pair.unlinked()
        await nats_pair.cable.heal()
        await nats_pair.linked()
    await load
    await complete(sides, eventually, range(600))


@pytest.mark.timeout(240)
async def test_healing_restarts_a_silent_source_and_leaves_a_lively_one(nats_pair, sides, eventually):
    """A link that is up needs no healing; after a cut the sources of the other machine are restarted once."""
    mainpc, pc2 = sides
    await end(*(side.healer for side in sides))
    await asyncio.gather(*(side.publish(range(5)) for side in sides))
    await eventually(lambda: len(mainpc.got) == len(pc2.got) == 10)
    client = await mainpc.writer.connection.client()
    healer = SourceHealer("mainpc", MACHINES)

    async def all_lively() -> bool:
        return await healer.heal(client) == []

    await eventually(all_lively)
    await nats_pair.cable.cut()
    await nats_pair.unlinked()
    assert await healer.heal(client) == []
    await pc2.publish(range(5, 10))
    await nats_pair.cable.heal()
    await nats_pair.linked()

    async def caught_up() -> bool:
        await healer.heal(client)
        return mainpc.of("pc2") == list(range(10))

    await eventually(caught_up, 100)


async def test_a_machine_that_joins_later_is_caught_up_with(nats_pair, eventually):
    """Streams made for a peer that has none yet get the peer's events once it has."""
    mainpc, pc2 = Side(nats_pair.mainpc.access, "mainpc"), Side(nats_pair.pc2.access, "pc2")
    await mainpc.open()
    await mainpc.publish(range(5))
    await pc2.open()
    await pc2.publish(range(5))
    await eventually(lambda: mainpc.of("pc2") == list(range(5)), 100)
    await eventually(lambda: pc2.of("pc2") == list(range(5)), 100)
    await mainpc.close()
    await pc2.close()
