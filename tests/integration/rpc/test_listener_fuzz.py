"""Whatever reaches a listener, it answers its callers and keeps nothing of the rest."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import struct
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fuzzing import descriptors, try_all
from hypothesis import strategies as st
from rpc_frames import IDS, frames
from rpc_rig import BOUND_S, METHODS, SERVICE, At, Echo, authenticate, until

from tandem.rpc import Limits, Peers, Server, handlers_from
from tandem.rpc.envelope import FRAME_LIMIT, PROTOCOL_VERSION, Hello, encode

pytestmark = pytest.mark.integration

HELLO_S = 1.0
_LENGTH = struct.Struct("<I")


def framed(*frames: bytes) -> bytes:
    return b"".join(_LENGTH.pack(len(frame)) + frame for frame in frames)


HELLO = encode(Hello(1, PROTOCOL_VERSION, SERVICE, "c", f"A@{SERVICE}"))
"""A caller that proves who it is: what follows is read with more trust."""

GOOD = frames(HELLO)
BENT = st.builds(
    lambda frame, at, bit: frame[: at % len(frame)] + bytes([frame[at % len(frame)] ^ bit]) + frame[at % len(frame) + 1 :],
    GOOD, IDS, st.integers(1, 255),
)  # fmt: skip
TALK = st.one_of(
    st.binary(max_size=300),
    st.lists(st.one_of(GOOD, BENT, st.binary(max_size=100)), max_size=8).map(lambda frames: framed(*frames)),
    st.lists(st.one_of(GOOD, BENT), max_size=8).map(lambda frames: framed(HELLO, *frames)),
    st.integers(FRAME_LIMIT - 5, 2**32 - 1).map(lambda size: framed(HELLO) + _LENGTH.pack(size) + b"x" * 100),
)


class Open:
    """A listening service and an honest caller of it."""

    def __init__(self, path: Path):
        self.path = path
        self.server = Server(
            SERVICE, handlers_from(Echo(), METHODS), authenticate=authenticate, limits=Limits(hello_s=HELLO_S)
        )
        self.friend = Peers(At("unix", str(path)), token=lambda audience: f"Friend@{audience}")

    async def throw(self, data: bytes) -> None:
        """Send ``data``, read what is answered, and go."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        try:
            writer.write(data)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), BOUND_S)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serves(self) -> bool:
        return bool(await self.friend.call("Echo", "who", timeout=BOUND_S) == "Friend")


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    opened = Open(tmp_path / "e.sock")
    await opened.server.listen_unix(opened.path)
    assert await opened.serves()
    yield opened
    await opened.friend.close()
    await opened.server.close()


async def test_nonsense_harms_nobody(opened: Open) -> None:
    """Random bytes, bent frames, unknown ids and impossible lengths end their own connection at most; nothing is kept."""
    before = descriptors()
    await try_all(TALK, opened.throw, 300)
    await until(lambda: opened.server.connections == 1 and opened.server.in_flight == 0 and descriptors() <= before)
    assert await opened.serves()


async def test_a_huge_length_costs_no_memory(opened: Open) -> None:
    """A hundred callers that announce the largest frames and send little of them make the process no larger than they do."""
    tracemalloc.start()
    try:
        crowd = []
        for _ in range(100):
            _, writer = await asyncio.open_unix_connection(str(opened.path))
            writer.write(framed(HELLO) + _LENGTH.pack(FRAME_LIMIT) + b"x" * 1000)
            await writer.drain()
            crowd.append(writer)
        await until(lambda: opened.server.connections == 101)
        assert await opened.serves()
        gc.collect()
        assert tracemalloc.get_traced_memory()[1] < FRAME_LIMIT
        for writer in crowd:
            writer.close()
    finally:
        tracemalloc.stop()
    await until(lambda: opened.server.connections == 1)


async def test_a_silent_crowd_is_shown_out(opened: Open) -> None:
    """Callers that say HELLO byte by byte, or nothing, are hung up on when their time is over, and others served meanwhile."""
    before = descriptors()
    crowd = [await asyncio.open_unix_connection(str(opened.path)) for _ in range(100)]
    for index, (_, writer) in enumerate(crowd):
        writer.write(framed(HELLO)[: index % 20])
    assert await opened.serves()
    async with asyncio.timeout(BOUND_S):
        await asyncio.gather(*(_ended(reader) for reader, _ in crowd))
    await until(lambda: opened.server.connections == 1)
    assert await opened.serves()
    for _, writer in crowd:
        writer.close()
    await until(lambda: descriptors() <= before)


async def _ended(reader: asyncio.StreamReader) -> None:
    """Return when the other side has hung up, which who still writes then hears of as an error."""
    with contextlib.suppress(ConnectionError):
        await reader.read()
