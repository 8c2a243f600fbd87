"""Whatever is thrown at the door through which computers join, it serves the invited, and forgets the rest."""

from __future__ import annotations

import asyncio
import struct
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from fuzzing import descriptors, try_all
from hypothesis import given
from hypothesis import strategies as st
from ports import free_port

from tandem.core.errors import TandemError
from tandem.core.paths import Home
from tandem.infra import JoinDesk, join, joining
from tandem.infra.joining import GUESTS_AT_ONCE, GUESTS_PER_ADDRESS, QUESTION_MAX
from tandem.security import Authority, Guest, Host
from tandem.security.invitation import Channel, Sealed

pytestmark = pytest.mark.integration

BOUND_S = 60.0


class Door:
    """An open door, and everybody it refused."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.host = Host(home, Authority.open(home))
        self.refused: list[str] = []
        self.desk = JoinDesk(self.host, refused=lambda where, why: self.refused.append(why))
        self.port = free_port()

    async def throw(self, data: bytes) -> bytes:
        """Send ``data`` and nothing more; what comes back until the door hangs up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            writer.write_eof()
            return await asyncio.wait_for(reader.read(), BOUND_S)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def let_in(self, home: Path) -> None:
        """Somebody invited comes through."""
        code = self.host.invite("pc2")
        async with asyncio.timeout(BOUND_S):
            await join(Guest(Home(home), "pc2", code), "127.0.0.1", self.port)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    door = Door(Home(tmp_path / "home"))
    await door.desk.open("127.0.0.1", door.port)
    yield door
    await door.desk.close()


CODE = "ABCDEF-GHIJKL-MNOPQR-STUVWX"
FRAMES = st.one_of(
    st.binary(max_size=200),
    st.integers(0, 2**32 - 1).map(lambda size: struct.pack(">I", size)),
    st.binary(max_size=2000).map(lambda body: struct.pack(">I", len(body)) + body),
    st.builds(Sealed, st.text(max_size=40), st.binary(max_size=20), st.binary(max_size=500))
    .map(msgspec.msgpack.encode)
    .map(lambda body: struct.pack(">I", len(body)) + body),
    # Whoever has a code may still send nonsense under its seal.
    st.binary(max_size=500)
    .map(lambda body: Channel.of(CODE).seal("ask", body))
    .map(lambda body: struct.pack(">I", len(body)) + body),
)


async def test_nonsense_gets_no_answer_and_leaves_nothing(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random bytes, frames, seals and sealed nonsense are hung up on without a word; then an invited computer joins."""
    monkeypatch.setattr("tandem.security.invitation.new_code", lambda: CODE)
    door.host.invite("pc2")
    monkeypatch.undo()

    async def attempt(data: bytes) -> None:
        assert await door.throw(data) == b""

    await try_all(FRAMES, attempt, 150)
    assert door.desk._guests.total() == 0
    assert Authority.open(door.home).local_machines() == []
    await door.let_in(tmp_path / "second")


@given(st.binary(max_size=300))
def test_no_message_breaks_the_host(data: bytes) -> None:
    """Every byte string is either admitted or refused with a typed error."""
    host = _Shared.host()
    with pytest.raises(TandemError):
        host.admit(data)


class _Shared:
    """One host for all examples."""

    _host: Host | None = None

    @classmethod
    def host(cls) -> Host:
        import tempfile

        if cls._host is None:
            home = Home(Path(tempfile.mkdtemp(prefix="tandem-fuzz-")))
            cls._host = Host(home, Authority.open(home))
        return cls._host


async def test_those_who_dawdle_shut_out_nobody_but_themselves(door: Door) -> None:
    """An address gets a few places; its further connections are ended at once, and no more are held than there are places."""
    crowd = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(3 * GUESTS_AT_ONCE)]
    for _, writer in crowd:
        writer.write(b"\x00")  # one byte of a length, and never the rest

    async def ended() -> int:
        results = await asyncio.gather(*(asyncio.wait_for(_end(reader), 0.2) for reader, _ in crowd), return_exceptions=True)
        return sum(result is True for result in results)

    async with asyncio.timeout(BOUND_S):
        while await ended() < len(crowd) - GUESTS_PER_ADDRESS:
            continue
    assert door.desk._guests.total() <= GUESTS_PER_ADDRESS
    for _, writer in crowd:
        writer.close()


async def _end(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True


async def test_a_huge_length_is_believed_by_nobody(door: Door) -> None:
    """A message that claims to be larger than any question is refused before its first byte is read."""
    assert await door.throw(struct.pack(">I", QUESTION_MAX + 1) + b"x" * 100) == b""
    assert door.refused and "bytes" in door.refused[0]


async def test_drop_by_drop_is_no_way_to_stay(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually
) -> None:
    """Callers that send a question one byte at a time are hung up on when the exchange's time is over, however busy they
    are; their descriptors are given back, and the invited comes through meanwhile from the same address."""
    before = descriptors()
    with monkeypatch.context() as hurried:
        hurried.setattr(joining, "EXCHANGE_S", 3.0)
        crowd = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(GUESTS_PER_ADDRESS - 1)]
        await eventually(lambda: door.desk._guests.total() == len(crowd))
    for _, writer in crowd:
        writer.write(struct.pack(">I", QUESTION_MAX))
    ends = asyncio.gather(*(_end(reader) for reader, _ in crowd))
    await door.let_in(tmp_path / "second")
    async with asyncio.timeout(BOUND_S):
        while not ends.done():
            for _, writer in crowd:
                writer.write(b"x")
            await asyncio.sleep(0.05)
    assert all(await ends)
    for _, writer in crowd:
        writer.close()
    await eventually(lambda: not door.desk._guests.total() and descriptors() <= before)


async def test_whoever_has_the_code_cannot_hold_the_door_either(
    door: Door, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, eventually
) -> None:
    """A guest that asks, and then neither reads the code it is given nor gives its verdict, is hung up on in bounded time
    and memory, and the invitation still serves it."""
    for limit in ("PIECE_S", "INSTALL_S"):
        monkeypatch.setattr(joining, limit, 1.0)
    await door.desk.close()
    door.desk = JoinDesk(door.host, refused=lambda where, why: door.refused.append(why), parcel=bytes(32 * 2**20))
    await door.desk.open("127.0.0.1", door.port)
    code = door.host.invite("pc2")
    question = Guest(Home(tmp_path / "second"), "pc2", code).question()
    tracemalloc.start()
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1024)
        writer.write(struct.pack(">I", len(question)) + question)
        await eventually(lambda: door.desk._guests.total())
        tracemalloc.reset_peak()
        await eventually(lambda: not door.desk._guests.total())
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
        writer.close()
    finally:
        tracemalloc.stop()
    monkeypatch.undo()
    async with asyncio.timeout(BOUND_S):
        await join(Guest(Home(tmp_path / "second"), "pc2", code), "127.0.0.1", door.port)
