"""What Peers and Server do as time passes, exactly, on a virtual clock."""

from __future__ import annotations

import asyncio

import pytest
from rpc_rig import ECHO, METHODS, SERVICE, Collector, Echo, MemoryTransport, Note, Rig

from tandem.agent.testing import virtual_time
from tandem.core import clock, deadline
from tandem.core.deadline import Deadline
from tandem.core.errors import DeadlineExceeded, Unreachable
from tandem.rpc import BreakerState, CircuitOpen, Endpoint, Limits, Server, current_principal, handlers_from
from tandem.rpc.breaker import FAILURES_TO_OPEN, OPEN_S
from tandem.rpc.envelope import Bye, Hello, Welcome, decode, encode
from tandem.rpc.pool import CONNECT_S


class Mute:
    """A peer that takes connections and frames and never says a word, unless told to."""

    def __init__(self, rig: Rig, *, welcomes: bool = True):
        assert isinstance(rig.transport, MemoryTransport)
        self.welcomes = welcomes
        self.frames: list[object] = []
        rig.transport.network.listen("Echo", self._accept)

    def _accept(self, channel: object) -> Mute:
        self.channel = channel
        return self

    def frame_received(self, data: bytes | memoryview) -> None:
        frame = decode(data)
        self.frames.append(frame)
        if self.welcomes and isinstance(frame, Hello):
            self.channel.send(encode(Welcome(1, SERVICE, "mute")))  # type: ignore[attr-defined]

    def channel_lost(self, reason: BaseException) -> None:
        self.frames.append(Bye())


@virtual_time
async def test_default_budget() -> None:
    """A call without any deadline ends after the default budget, to the millisecond."""
    rig = Rig(MemoryTransport())
    await rig.serve()
    started = clock.monotonic()
    with pytest.raises(DeadlineExceeded):
        await rig.peers().call("Echo", "hold", {"name": "a"})
    assert clock.monotonic() - started == pytest.approx(deadline.DEFAULT_BUDGET_S, abs=0.002)
    await rig.close()


@virtual_time
async def test_callers_with_their_own_deadlines_each_get_theirs() -> None:
    """One timer serves calls of different budgets."""
    rig = Rig(MemoryTransport())
    await rig.serve()
    peers = rig.peers()

    async def ended(budget: float) -> float:
        started = clock.monotonic()
        with pytest.raises(DeadlineExceeded):
            await peers.call("Echo", "hold", {"name": str(budget)}, timeout=budget)
        return clock.monotonic() - started

    budgets = [3.0, 1.0, 2.0, 0.5, 10.0]
    took = await asyncio.gather(*(ended(budget) for budget in budgets))
    assert took == pytest.approx(budgets, abs=0.002)
    await rig.close()


@virtual_time
async def test_silence_opens_the_breaker_and_a_word_closes_it() -> None:
    """Calls that end in complete silence count as failures; anything heard from the peer takes that back."""
    rig = Rig(MemoryTransport())
    mute = Mute(rig)
    peers = rig.peers()
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(DeadlineExceeded):
            await peers.call("Echo", "who", timeout=1)
    assert peers.breaker("Echo") is BreakerState.OPEN
    started = clock.monotonic()
    with pytest.raises(CircuitOpen):
        await peers.call("Echo", "who", timeout=1)
    assert clock.monotonic() == started
    from tandem.rpc.envelope import Failure

    mute.channel.send(encode(Failure(1, "cancelled", "late")))  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)
    assert peers.breaker("Echo") is BreakerState.CLOSED
    await rig.close()


@virtual_time
async def test_slow_answers_leave_the_breaker_closed() -> None:
    """A peer that is heard while a call times out is slow, not gone."""
    rig = Rig(MemoryTransport())
    await rig.serve()
    peers = rig.peers()
    for number in range(2 * FAILURES_TO_OPEN):
        call = asyncio.create_task(peers.call("Echo", "hold", {"name": str(number)}, timeout=1))
        await asyncio.sleep(0.5)
        await peers.call("Echo", "who")
        with pytest.raises(DeadlineExceeded):
            await call
    assert peers.breaker("Echo") is BreakerState.CLOSED
    await rig.close()


@virtual_time
async def test_open_breaker_lets_one_probe_through_after_its_pause() -> None:
    """After the pause one call tries, and its success lets everybody through again."""
    rig = Rig(MemoryTransport())
    peers = rig.peers()
    for _ in range(2):
        with pytest.raises(Unreachable):
            await peers.call("Echo", "who")
    assert peers.breaker("Echo") is BreakerState.OPEN
    await rig.serve()
    await asyncio.sleep(OPEN_S - 2)
    with pytest.raises(CircuitOpen):
        await peers.call("Echo", "who")
    await asyncio.sleep(2)
    answers = await asyncio.gather(
        *(peers.call("Echo", "who", timeout=1) for _ in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [str, CircuitOpen, CircuitOpen]
    assert await peers.call("Echo", "who") == "nobody"
    assert rig.watcher.breakers == ["open", "half-open", "closed"]
    await rig.close()


@virtual_time
async def test_probe_by_a_long_stream_closes_the_breaker_at_once() -> None:
    """A probe need not wait for its own answer: the peer's PONG is proof enough."""
    rig = Rig(MemoryTransport())
    peers = rig.peers()
    for _ in range(2):
        with pytest.raises(Unreachable):
            await peers.call("Echo", "who")
    await rig.serve()
    await asyncio.sleep(OPEN_S)
    call = asyncio.create_task(peers.call("Echo", "hold", {"name": "a"}, timeout=50))
    await asyncio.sleep(0.01)
    assert peers.breaker("Echo") is BreakerState.CLOSED
    rig.echo.release.set()
    await call
    await rig.close()


@virtual_time
async def test_peer_that_never_welcomes_is_unreachable() -> None:
    """A call waits for the welcome within its budget; the attempt itself ends after its own time."""
    rig = Rig(MemoryTransport())
    mute = Mute(rig, welcomes=False)
    peers = rig.peers()
    started = clock.monotonic()
    with pytest.raises(DeadlineExceeded):
        await peers.call("Echo", "who", timeout=2)
    assert clock.monotonic() - started == pytest.approx(2, abs=0.01)
    await asyncio.sleep(CONNECT_S)
    assert isinstance(mute.frames[-1], Bye)
    await rig.close()


@virtual_time
async def test_waiting_callers_share_one_attempt() -> None:
    """However many callers wait for a peer, it sees one HELLO; each gives up at its own deadline."""
    rig = Rig(MemoryTransport())
    mute = Mute(rig, welcomes=False)
    peers = rig.peers()
    calls = [asyncio.create_task(peers.call("Echo", "who", timeout=n / 10)) for n in range(1, 6)]
    await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(call.exception(), DeadlineExceeded) for call in calls)
    assert len(mute.frames) == 1
    await rig.close()


@virtual_time
async def test_stopped_peer_fails_fast() -> None:
    """A refused connection is retried for well under a second, not for the whole budget."""
    rig = Rig(MemoryTransport())
    started = clock.monotonic()
    with pytest.raises(Unreachable):
        await rig.peers().call("Echo", "who", timeout=60)
    assert clock.monotonic() - started < 1
    await rig.close()


@virtual_time
async def test_breaker_follows_the_resolver_to_a_new_instance() -> None:
    """While open, a call asks the resolver; the same instance stays refused, another one is probed."""
    rig = Rig(MemoryTransport())
    peers = rig.peers()
    rig.instance = "one"
    for _ in range(2):
        with pytest.raises(Unreachable):
            await peers.call("Echo", "who")
    with pytest.raises(CircuitOpen):
        await peers.call("Echo", "who")
    await rig.serve()
    rig.instance = "two"
    assert await peers.call("Echo", "who") == "nobody"
    await rig.close()


@virtual_time
async def test_resolver_that_hangs_does_not_hang_the_call() -> None:
    """A registry that does not answer costs a call its budget and no more."""

    class Hanging:
        async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
            await asyncio.Event().wait()
            raise AssertionError

    from tandem.rpc import Peers

    peers = Peers(Hanging())
    with pytest.raises(DeadlineExceeded):
        await peers.call("Echo", "who", timeout=1)
    await peers.close()


@virtual_time
async def test_handler_starts_from_the_servers_context() -> None:
    """Neither the caller's principal nor its deadline leaks into a handler through the event loop."""
    rig = Rig(MemoryTransport())

    class Inner(Echo):
        async def who(self) -> str:
            principal = current_principal()
            return principal.name if principal else "nobody"

    inner = Server(SERVICE, handlers_from(Inner(), METHODS))
    assert isinstance(rig.transport, MemoryTransport)
    await inner.listen_memory(rig.transport.network, "Inner")

    class Outer(Echo):
        async def who(self) -> str:
            collector = Collector()
            transport = rig.transport
            assert isinstance(transport, MemoryTransport)
            channel = transport.network.connect("Inner", collector)
            channel.send(encode(Hello(1, 1, SERVICE, "c")))
            await asyncio.sleep(0.01)
            from tandem.rpc.envelope import Reply, encode_request

            channel.send(encode_request(1, "who", {}, 1000))
            await asyncio.sleep(0.01)
            channel.close()
            reply = collector.frames[-1]
            assert isinstance(reply, Reply)
            return bytes(reply.result)[1:].decode()

    await rig.serve(Outer(), auth=True)
    peers = rig.peers(lambda audience: f"Caller@{audience}")
    assert await peers.call("Echo", "who") == "nobody"
    await inner.close()
    await rig.close()


@virtual_time
async def test_call_of_a_lost_caller_is_still_bounded() -> None:
    """A call that runs on without its caller is cancelled at the caller's deadline, and then forgotten."""
    rig = Rig(MemoryTransport())
    server = await rig.serve()
    peers = rig.peers()
    call = asyncio.create_task(peers.call("Echo", "hold_once", {"name": "a"}, timeout=20))
    await asyncio.sleep(0.1)
    await peers.close()
    with pytest.raises(Unreachable):
        await call
    assert server.in_flight == 1
    await asyncio.sleep(20)
    assert server.in_flight == 0
    assert rig.echo.seen == ["a began", "a cancelled"]
    await rig.close()


@virtual_time
async def test_connection_without_hello_is_dropped_in_time() -> None:
    """The limit for HELLO is kept."""
    rig = Rig(MemoryTransport())
    server = await rig.serve(limits=Limits(hello_s=5))
    await rig.connect(Collector())
    await asyncio.sleep(4.9)
    assert server.connections == 1
    await asyncio.sleep(0.2)
    assert server.connections == 0
    await rig.close()


@virtual_time
async def test_abandoned_stream_is_cleaned_up() -> None:
    """A consumer that breaks off without closing still ends the producer, by garbage collection."""
    rig = Rig(MemoryTransport())
    server = await rig.serve()
    peers = rig.peers()
    async for _ in peers.stream("Echo", "ticks"):
        break
    await asyncio.sleep(0.1)
    assert server.in_flight == 0
    assert rig.echo.seen == ["ticks closed"]
    assert await peers.invoke("Echo", ECHO, (Note("x"),)) == [Note("x")]
    await rig.close()
