"""The small parts between protocol and transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tandem.agent.testing import virtual_time
from tandem.core import clock
from tandem.core.errors import TandemError, TooLarge, Unavailable, Unreachable
from tandem.rpc.channel import Alarm, Gate
from tandem.rpc.envelope import FRAME_LIMIT
from tandem.rpc.streams import Inbox, StreamEnded
from tandem.rpc.transports.unix import UnixChannel


class FakeTransport:
    """What a UnixChannel needs of an asyncio transport."""

    def __init__(self) -> None:
        self.written = b""
        self.calls: list[str] = []

    def set_write_buffer_limits(self, high: int) -> None: ...

    def write(self, data: bytes) -> None:
        self.calls.append("write")
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.calls.append(name)


class Collector:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.lost: list[TandemError] = []

    def frame_received(self, frame: bytes | memoryview) -> None:
        self.frames.append(bytes(frame))

    def channel_lost(self, reason: TandemError) -> None:
        self.lost.append(reason)


def unix_channel(receiver: Collector, *, callee: bool = False) -> tuple[UnixChannel, FakeTransport]:
    transport = FakeTransport()
    channel = UnixChannel(accept=lambda _: receiver) if callee else UnixChannel(receiver=receiver)
    channel.connection_made(cast(Any, transport))
    return channel, transport


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 400), max_size=20))
def test_frames_survive_any_cutting_of_the_stream(frames: list[bytes], cuts: list[int]) -> None:
    """Frames come out as they went in, however the bytes are cut on the way."""

    async def send_and_receive() -> None:
        collector = Collector()
        sender, transport = unix_channel(Collector())
        receiver, _ = unix_channel(collector)
        for frame in frames:
            sender.send(frame)
        await asyncio.sleep(0)
        data = transport.written
        for cut in [*cuts, len(data)]:
            piece, data = data[:cut], data[cut:]
            if piece:
                receiver.data_received(piece)
        while data:
            piece, data = data[:1000], data[1000:]
            receiver.data_received(piece)
        assert collector.frames == frames

    asyncio.run(send_and_receive())


async def test_frames_of_one_turn_leave_together() -> None:
    """Any number of frames sent at once costs one write."""
    channel, transport = unix_channel(Collector())
    for _ in range(10):
        channel.send(b"x")
    await asyncio.sleep(0)
    assert transport.calls == ["write"]


async def test_oversized_announcement_ends_the_connection() -> None:
    """A length above the limit is not waited for."""
    collector = Collector()
    channel, transport = unix_channel(collector)
    channel.data_received((FRAME_LIMIT + 1).to_bytes(4, "little"))
    assert transport.calls == ["abort"]
    assert isinstance(collector.lost[0], TooLarge)
    channel.connection_lost(None)
    assert len(collector.lost) == 1


async def test_callee_stops_reading_from_who_does_not_read() -> None:
    """A congested callee pauses its caller; a congested caller goes on reading."""
    callee, transport = unix_channel(Collector(), callee=True)
    callee.pause_writing()
    assert callee.congested and transport.calls == ["pause_reading"]
    callee.resume_writing()
    assert not callee.congested and transport.calls == ["pause_reading", "resume_reading"]
    caller, transport = unix_channel(Collector())
    caller.pause_writing()
    assert caller.congested and transport.calls == []


async def test_lost_channel_lets_waiters_go() -> None:
    """Whoever waits for room on a channel that dies is not left waiting."""
    collector = Collector()
    channel, _ = unix_channel(collector)
    channel.pause_writing()
    waiting = asyncio.create_task(channel.wait())
    await asyncio.sleep(0)
    channel.connection_lost(ConnectionResetError("reset"))
    await waiting
    assert isinstance(collector.lost[0], Unreachable)
    channel.send(b"dropped")


async def test_gate_holds_until_opened() -> None:
    """Waiters pass only an open gate, all of them."""
    gate = Gate()
    await gate.wait()
    gate.close()
    waiters = [asyncio.create_task(gate.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(waiter.done() for waiter in waiters)
    waiters[0].cancel()
    gate.open()
    await asyncio.gather(*waiters[1:])


@virtual_time
async def test_alarm_never_misses_a_deadline() -> None:
    """Each deadline is swept at its time, whatever the order they were set in."""
    deadlines = {3.0, 1.0, 2.0, 7.5}
    fired: dict[float, float] = {}

    def sweep(now: float) -> float | None:
        for due in [d for d in deadlines if d <= now]:
            deadlines.discard(due)
            fired[due] = now
        return min(deadlines, default=None)

    alarm = Alarm(sweep)
    for at in (3.0, 1.0, 2.0, 7.5):
        alarm.set(at)
    await asyncio.sleep(10)
    assert fired == {1.0: 1.0, 2.0: 2.0, 3.0: 3.0, 7.5: 7.5}
    alarm.set(clock.monotonic() + 1)
    alarm.cancel()
    await asyncio.sleep(2)
    assert not deadlines


def raw(value: Any) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


async def test_inbox_gives_items_before_its_end() -> None:
    """Items come first, then the error, and again the error to whoever asks on."""
    inbox = Inbox(4)
    inbox.put(raw(1))
    inbox.end(Unavailable("over"))
    inbox.end(None)
    assert bytes(await inbox.get()) == bytes(raw(1))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await inbox.get()


async def test_inbox_wakes_its_consumer() -> None:
    """A consumer that came first gets the item that comes later, or the end."""
    inbox = Inbox(4)
    waiting = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put(raw("x"))
    assert bytes(await waiting) == bytes(raw("x"))
    waiting = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.end(None)
    with pytest.raises(StreamEnded):
        await waiting


@given(st.integers(1, 40), st.integers(0, 200))
def test_inbox_credit_adds_up(prefetch: int, items: int) -> None:
    """A sender that obeys the credit is never refused and never stuck; one that does not is noticed."""

    async def exchange() -> None:
        inbox, credit, sent, received = Inbox(prefetch), prefetch, 0, 0
        while received < items:
            while credit and sent < items:
                assert inbox.put(raw(sent))
                sent, credit = sent + 1, credit - 1
            assert bytes(await inbox.get()) == bytes(raw(received))
            received += 1
            credit += inbox.earned()
        while credit:
            assert inbox.put(raw(0))
            credit -= 1
        assert not inbox.put(raw(0))

    asyncio.run(exchange())
