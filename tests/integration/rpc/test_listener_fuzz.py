"""Whatever reaches a listener, it answers its callers and keeps nothing of the rest."""

from __future__ import annotations

import asyncio
import gc
import os
import struct
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rpc_rig import BOUND_S, METHODS, SERVICE, Echo, authenticate, until

from tandem.core.deadline import Deadline
from tandem.rpc import Endpoint, Limits, Peers, Server, handlers_from
from tandem.rpc.envelope import (
    FRAME_LIMIT,
    PROTOCOL_VERSION,
    Cancel,
    Credit,
    Hello,
    Ping,
    encode,
    encode_request,
)

pytestmark = pytest.mark.integration

HELLO_S = 1.0
_LENGTH = struct.Struct("<I")


def framed(*frames: bytes) -> bytes:
    return b"".join(_LENGTH.pack(len(frame)) + frame for frame in frames)


HELLO = encode(Hello(1, PROTOCOL_VERSION, SERVICE, "c", f"A@{SERVICE}"))
"""A caller that proves who it is: what follows is read with more trust."""

IDS = st.integers(0, 2**40)
GOOD = st.one_of(
    st.just(HELLO),
    st.builds(lambda i, a, b: encode_request(i, a, {"name": b}, 50), IDS, st.sampled_from([*METHODS, "x"]), st.text(max_size=20)),
    st.builds(lambda i, c: encode_request(i, "chunks", {"count": 3, "size": 10}, 50, c), IDS, st.integers(1, 5000)),
    IDS.map(lambda i: encode(Cancel(i))),
    st.builds(lambda i, n: encode(Credit(i, n)), IDS, st.integers(-5, 10_000)),
    IDS.map(lambda i: encode(Ping(i))),
)
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


class At:
    def __init__(self, path: Path):
        self._endpoint = Endpoint("unix", str(path), service=SERVICE)

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        return self._endpoint


class Open:
    """A listening service and an honest caller of it."""

    def __init__(self, path: Path):
        self.path = path
        self.server = Server(
            SERVICE, handlers_from(Echo(), METHODS), authenticate=authenticate, limits=Limits(hello_s=HELLO_S)
        )
        self.friend = Peers(At(path), token=lambda audience: f"Friend@{audience}")

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


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


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
    loop = asyncio.get_running_loop()

    def run() -> None:
        @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
        @given(TALK)
        def attempt(data: bytes) -> None:
            asyncio.run_coroutine_threadsafe(opened.throw(data), loop).result(BOUND_S)

        attempt()

    before = descriptors()
    await asyncio.to_thread(run)
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
        await asyncio.gather(*(reader.read() for reader, _ in crowd))
    await until(lambda: opened.server.connections == 1)
    assert await opened.serves()
    for _, writer in crowd:
        writer.close()
    await until(lambda: descriptors() <= before)
