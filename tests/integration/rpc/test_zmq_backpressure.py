"""ZeroMQ queues are bounded: whoever does not read holds back its own partner, and nobody else."""

from __future__ import annotations

import asyncio

import pytest
import zmq
from rpc_rig import BOUND_S, METHODS, SERVICE, At, Echo, until

from tandem.core.errors import DeadlineExceeded
from tandem.rpc import Peers, Server, handlers_from
from tandem.rpc.envelope import (
    PROTOCOL_VERSION,
    Hello,
    Reply,
    Request,
    Welcome,
    decode,
    encode,
    encode_request,
)
from tandem.rpc.transports import zmq as transport
from tandem.rpc.transports import zmq_socket

pytestmark = pytest.mark.integration

BIG = 256 * 1024


@pytest.fixture(autouse=True)
def small_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queues of a few messages, so that a test need not move gigabytes."""
    monkeypatch.setattr(zmq_socket, "HIGH_WATER", 4)


class Greedy:
    """A caller by hand that asks for much and reads nothing until told."""

    def __init__(self, address: str):
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.rcvhwm = 1
        self.socket.connect(address)
        self.socket.send(encode(Hello(1, PROTOCOL_VERSION, SERVICE, "greedy")))
        assert isinstance(decode(self.socket.recv()), Welcome)

    def ask(self, calls: int) -> None:
        for number in range(1, calls + 1):
            self.socket.send(encode_request(number, "make", {"size": BIG}, 60_000))

    def close(self) -> None:
        self.context.destroy(linger=0)


async def test_answers_wait_for_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """More answers than fit into the queues are all delivered once the caller reads, and others are served meanwhile."""
    server = Server(SERVICE, handlers_from(Echo(), METHODS))
    address = await server.listen_zmq(endpoint="tcp://127.0.0.1:*", keys=None)
    greedy = await asyncio.to_thread(Greedy, address)
    await asyncio.to_thread(greedy.ask, 100)
    await until(lambda: [session for session in server._sessions if session.channel.congested])
    peers = Peers(At("zmq", address))
    assert await peers.call("Echo", "who", timeout=BOUND_S) == "nobody"

    def read() -> list[int]:
        return [decode(greedy.socket.recv()).id for _ in range(100)]  # type: ignore[union-attr]

    assert sorted(await asyncio.to_thread(read)) == list(range(1, 101))
    await peers.close()
    greedy.close()
    await server.close()


async def test_reader_that_never_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its share of memory a caller loses its session and what was kept for it."""
    monkeypatch.setattr(transport, "QUEUE_LIMIT", 4 * BIG)
    server = Server(SERVICE, handlers_from(Echo(), METHODS))
    address = await server.listen_zmq(endpoint="tcp://127.0.0.1:*", keys=None)
    greedy = await asyncio.to_thread(Greedy, address)
    assert server.connections == 1
    await asyncio.to_thread(greedy.ask, 100)
    await until(lambda: server.connections == 0)
    peers = Peers(At("zmq", address))
    assert await peers.call("Echo", "who", timeout=BOUND_S) == "nobody"
    await peers.close()
    greedy.close()
    await server.close()


async def test_calls_wait_for_a_callee_that_does_not_read() -> None:
    """Calls to a full pipe wait within their budgets; what still has time is delivered when the callee reads again."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.rcvhwm = 1
    router.bind("tcp://127.0.0.1:*")

    def greet() -> bytes:
        route, _hello = router.recv_multipart()
        router.send_multipart([route, encode(Welcome(PROTOCOL_VERSION, SERVICE, "by hand"))])
        return route

    peers = Peers(At("zmq", router.getsockopt_string(zmq.LAST_ENDPOINT)))
    data = bytes(BIG)
    greeting = asyncio.create_task(asyncio.to_thread(greet))
    calls = [
        asyncio.create_task(peers.call("Echo", "size_of", {"data": data}, timeout=BOUND_S)) for _ in range(60)
    ]
    await greeting
    link = peers._pool.peer("Echo")
    await until(
        lambda: link.link is not None and link.link._channel is not None and link.link._channel.congested
    )
    with pytest.raises(DeadlineExceeded):
        await peers.call("Echo", "size_of", {"data": data}, timeout=0.1)

    def answer() -> None:
        answered = 0
        while answered < len(calls):
            route, body = router.recv_multipart()
            frame = decode(body)
            if isinstance(frame, Request):
                router.send_multipart([route, encode(Reply(frame.id, frame.args))])
                answered += 1

    await asyncio.to_thread(answer)
    assert len(await asyncio.gather(*calls)) == 60
    await peers.close()
    context.destroy(linger=0)
