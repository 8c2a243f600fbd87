"""Files of a real nats-server are damaged while it is down: what it can still read is kept, and followers go on."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from tandem.events import Bus, Event
from tandem.events.consumer import Consumer
from tandem.events.healing import tell_losses
from tandem.events.streams import ensure_streams
from tandem.infra import Positions, nats_access

pytestmark = pytest.mark.integration

NONSENSE = bytes(range(255, -1, -1))


class LampSwitched(Event, topic="lamp.switched"):
    number: int


class Follower:
    """Beta, who follows what Alpha announces; a new instance each time, as after a restart."""

    def __init__(self, servers) -> None:
        self._servers = servers
        self.numbers: list[int] = []
        self.consumer: Consumer | None = None
        self._buses: list[Bus] = []

    async def _bus(self, name: str) -> Bus:
        self._buses.append(Bus(nats_access(self._servers.machine, self._servers.ports, name), name))
        await self._buses[-1].connect(timeout=60)
        return self._buses[-1]

    async def follow(self) -> None:
        async def note(event: LampSwitched) -> None:
            self.numbers.append(event.number)

        self.consumer = await (await self._bus("Beta")).subscribe(LampSwitched, note)

    async def has_settled(self) -> bool:
        """Whether the server knows that all was handled."""
        info = await self.consumer.measure() if self.consumer is not None else None
        return info is not None and (info.num_pending, info.num_ack_pending) == (0, 0)

    async def announce(self, *numbers: int) -> None:
        alpha = await self._bus("Alpha")
        for number in numbers:
            await alpha.publish(LampSwitched(number=number), timeout=60)

    async def leave(self) -> None:
        buses, self._buses = self._buses, []
        for bus in buses:
            await bus.close()


@pytest.fixture
async def beta(mainpc):
    follower = Follower(mainpc)
    await ensure_streams(await mainpc.nats(), "mainpc")
    yield follower
    await follower.leave()


def streams(servers) -> Path:
    return servers.dirs.nats / "jetstream/TANDEM/streams"


async def heard_and_left(servers, beta: Follower, eventually, *numbers: int) -> None:
    """Beta has handled ``numbers``, and the server is down."""
    await beta.follow()
    await beta.announce(*numbers)
    await eventually(lambda: beta.numbers == list(numbers))
    await eventually(beta.has_settled)
    await beta.leave()
    servers.processes["nats"].terminate()
    await asyncio.to_thread(servers.processes["nats"].wait)


@pytest.mark.parametrize("damage", [NONSENSE, bytes(64), b"\x16"], ids=["nonsense", "zeros", "cut off"])
async def test_a_position_that_cannot_be_read_is_made_anew(mainpc, beta: Follower, eventually, damage: bytes) -> None:
    """The server refuses the consumer until the file is put aside; then what is announced arrives, also after its restart."""
    await heard_and_left(mainpc, beta, eventually, 1, 2, 3)
    (position,) = streams(mainpc).glob("EVENTS_ALL/obs/*/o.dat")
    position.write_bytes(damage)
    positions = Positions(mainpc.dirs.nats, mainpc.log("nats"))
    await mainpc.start("nats")
    await beta.follow()
    put_aside: list[Path] = []

    def look() -> bool:
        put_aside.extend(positions.mend())
        return bool(put_aside)

    await eventually(look)
    assert put_aside[0].read_bytes() == damage and put_aside[0].parent == position.parent
    await beta.announce(4)
    await eventually(lambda: 4 in beta.numbers)
    mainpc.kill("nats")
    await mainpc.start("nats")
    await beta.announce(5)
    await eventually(lambda: 5 in beta.numbers)
    assert positions.mend() == [] and put_aside[0].exists()


async def test_streams_whose_descriptions_are_damaged_keep_their_events(
    mainpc, beta: Follower, eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """The server leaves them out; made again they have what was stored, the position too, and that is told."""
    await heard_and_left(mainpc, beta, eventually, 1, 2, 3)
    for description in streams(mainpc).glob("EVENTS_*/meta.inf"):
        description.write_bytes(NONSENSE)
    await mainpc.start("nats")
    node = await mainpc.nats()
    await ensure_streams(node, "mainpc")
    for name in ("EVENTS_LOCAL", "EVENTS_ALL"):
        assert (await node.jetstream().stream_info(name)).state.messages == 3
        assert f"could not read what stream {name} is: it is made anew with its 3 messages" in caplog.text
    await beta.follow()
    await beta.announce(4)
    await eventually(lambda: 4 in beta.numbers)
    assert beta.numbers == [1, 2, 3, 4]


async def test_messages_that_cannot_be_read_are_told(
    mainpc, beta: Follower, eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """The server goes on without them; the loss is not hidden."""
    await heard_and_left(mainpc, beta, eventually, 1, 2, 3)
    (block,) = streams(mainpc).glob("EVENTS_LOCAL/msgs/*.blk")
    block.write_bytes(bytes(len(block.read_bytes())))
    await mainpc.start("nats")
    node = await mainpc.nats()
    await ensure_streams(node, "mainpc")
    await tell_losses(node)
    (told,) = (record.message for record in caplog.records if record.name == "tandem.events.healing")
    assert re.fullmatch(r"nats-server could not read \d+ bytes of stream EVENTS_LOCAL: what was in them is lost", told)
    await beta.follow()
    await beta.announce(4)
    await eventually(lambda: 4 in beta.numbers)
