"""Whatever arrives at an agent's TCP port, its callers are served, and nothing of the rest is kept."""

from __future__ import annotations

import asyncio
import gc
import struct
import tracemalloc
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import zmq
from fuzzing import descriptors, try_all
from hypothesis import strategies as st
from rpc_frames import frames
from rpc_rig import BOUND_S, METHODS, SERVICE, At, Echo, Watcher, authenticate, until

from tandem.rpc import Limits, Peers, Server, handlers_from
from tandem.rpc.envelope import FRAME_LIMIT, PROTOCOL_VERSION, Hello, encode
from tandem.security import CurveKeys

pytestmark = pytest.mark.integration

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + b"\0" + bytes(31)
"""ZMTP 3.1 (https://rfc.zeromq.org/spec/37/): signature, version, mechanism, as-server, filler."""


def command(name: bytes, body: bytes) -> bytes:
    """A ZMTP command frame (short or long)."""
    content = bytes([len(name)]) + name + body
    return (b"\x04" + bytes([len(content)]) if len(content) < 256 else b"\x06" + struct.pack(">Q", len(content))) + content


HELLOS = st.binary(min_size=194, max_size=194).map(lambda body: command(b"HELLO", b"\x01\x00" + body[2:]))
"""As long as CurveZMQ's HELLO is (https://rfc.zeromq.org/spec/26/), with random keys and boxes."""
WIRE = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=100).map(lambda tail: GREETING + tail),
    st.integers(0, 63).map(lambda cut: GREETING[:cut]),
    st.builds(lambda at, bit: GREETING[:at] + bytes([GREETING[at] ^ bit]) + GREETING[at + 1 :], st.integers(0, 63), st.integers(1, 255)),
    HELLOS.map(lambda hello: GREETING + hello),
    st.builds(lambda hello, more: GREETING + hello + command(b"INITIATE", more), HELLOS, st.binary(max_size=400)),
    st.builds(lambda name, body: GREETING + command(name, body), st.sampled_from([b"HELLO", b"READY", b"PING", b"ERROR", b"\xff"]), st.binary(max_size=400)),
    # Frames that claim to be as large as 64 bits can tell.
    st.integers(0, 2**64 - 1).map(lambda size: GREETING + b"\x06" + struct.pack(">Q", size) + b"x" * 50),
)

FRAMES = st.one_of(st.binary(max_size=300), frames(encode(Hello(1, PROTOCOL_VERSION, SERVICE, "c", f"Friend@{SERVICE}"))))
MESSAGES = st.lists(st.lists(FRAMES, min_size=1, max_size=3), max_size=8)


class Open:
    """A listening service, an honest caller of it, and what it holds."""

    def __init__(self) -> None:
        self.watcher = Watcher()
        self.keys, self.member = CurveKeys(*zmq.curve_keypair()), CurveKeys(*zmq.curve_keypair())
        self.server = Server(
            SERVICE, handlers_from(Echo(), METHODS), authenticate=authenticate, limits=Limits(hello_s=1.0), observer=self.watcher
        )

    async def open(self) -> None:
        self.address = await self.server.listen_zmq(endpoint="tcp://127.0.0.1:*", keys=self.keys, allow=self._owner)
        self.friend = Peers(
            At("zmq", self.address, self.keys.public), curve=self.member, token=lambda audience: f"Friend@{audience}"
        )
        assert await self.serves()
        self.descriptors = descriptors()

    async def _owner(self, public: bytes) -> str | None:
        return "Friend" if public == self.member.public else None

    async def close(self) -> None:
        await self.friend.close()
        await self.server.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.address)
        return await asyncio.open_connection(parts.hostname, parts.port)

    async def throw(self, data: bytes) -> None:
        """Send ``data``, and go when nothing more can come of it."""
        reader, writer = await self.connect()
        try:
            writer.write(data)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), BOUND_S)
        except TimeoutError:
            raise
        except OSError:  # hung up on already
            pass
        finally:
            writer.close()

    async def serves(self) -> bool:
        return bool(await self.friend.call("Echo", "who", timeout=BOUND_S) == "Friend")

    async def holds_no_more(self) -> None:
        """Every descriptor and session but the friend's is given back."""
        await until(lambda: descriptors() <= self.descriptors and self.server.connections == 1 and self.server.in_flight == 0)


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    opened = Open()
    await opened.open()
    yield opened
    await opened.close()


async def test_nonsense_on_the_port_harms_nobody(opened: Open) -> None:
    """Random bytes, bent greetings, CURVE handshakes of random keys and boxes, and impossible lengths are hung up on; no
    session begins, no descriptor stays, and the friend is served."""
    await try_all(WIRE, opened.throw, 250)
    assert await opened.serves()
    await opened.holds_no_more()
    assert ("", "CONNECT") in opened.watcher.denied


async def test_a_member_that_talks_nonsense_loses_its_session_only(opened: Open) -> None:
    """Behind a good key, random frames, many-part messages and frames in the wrong order reach no action of others, and
    nothing of them stays."""

    async def talk(messages: list[list[bytes]]) -> None:
        context = zmq.Context()
        with context.socket(zmq.DEALER) as odd:
            odd.linger = 100
            odd.curve_publickey, odd.curve_secretkey = opened.member.public, opened.member.secret
            odd.curve_serverkey = opened.keys.public
            odd.connect(opened.address)
            for message in messages:
                odd.send_multipart(message)
            assert await opened.serves()
        await asyncio.to_thread(context.term)

    await try_all(MESSAGES, talk, 60)
    await opened.holds_no_more()


async def test_a_crowd_of_half_open_handshakes_is_shown_out(opened: Open) -> None:
    """Three hundred callers that greet byte by byte, stop in the middle of CURVE, or say nothing, shut nobody out and are
    hung up on when their time is over."""
    crowd = [await opened.connect() for _ in range(300)]
    stages = [b"", GREETING[:1], GREETING[:20], GREETING, GREETING + command(b"HELLO", b"\x01\x00" + bytes(192))[:50]]
    for index, (_, writer) in enumerate(crowd):
        writer.write(stages[index % len(stages)])
    assert await opened.serves()
    async with asyncio.timeout(BOUND_S):
        ends = asyncio.gather(*(_ended(reader) for reader, _ in crowd))
        while not ends.done():
            # Drop by drop is no way to stay longer.
            for _, writer in crowd[::5]:
                writer.write(GREETING[:1])
            assert await opened.serves()
            await asyncio.sleep(0.2)
    for _, writer in crowd:
        writer.close()
    await opened.holds_no_more()


async def _ended(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(1000):
            continue
    except ConnectionError:
        pass


async def test_frames_beyond_the_limit_cost_no_memory(opened: Open) -> None:
    """A member whose frame is larger than any may be loses its connection, and the process does not grow by it."""
    context = zmq.Context()
    tracemalloc.start()
    try:
        with context.socket(zmq.DEALER) as large:
            large.linger = 0
            large.curve_publickey, large.curve_secretkey = opened.member.public, opened.member.secret
            large.curve_serverkey = opened.keys.public
            monitor = large.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            large.connect(opened.address)
            large.send(encode(Hello(1, PROTOCOL_VERSION, SERVICE, "c", f"Friend@{SERVICE}")))
            await until(lambda: large.poll(0))
            large.send(bytes(FRAME_LIMIT + 1))
            gc.collect()
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            await until(lambda: monitor.poll(0))
            assert tracemalloc.get_traced_memory()[1] - before < FRAME_LIMIT // 4
            large.disable_monitor()
            monitor.close()
            assert await opened.serves()
    finally:
        tracemalloc.stop()
        context.destroy(linger=0)
    await opened.holds_no_more()
