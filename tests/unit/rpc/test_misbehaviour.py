"""Either side of a connection against another that breaks the rules; nothing hangs, nothing else is harmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec import Raw
from rpc_rig import BOUND_S, ECHO, METHODS, SERVICE, Collector, Echo, MemoryTransport, Note, Rig, until

from tandem.core.errors import DeadlineExceeded, Overloaded, TandemError, Unreachable
from tandem.rpc import Limits, Server, handlers_from
from tandem.rpc.channel import Channel, Gate
from tandem.rpc.envelope import (
    Bye,
    Cancel,
    Credit,
    Drain,
    End,
    Failure,
    Frame,
    Hello,
    Item,
    Ping,
    Pong,
    Reply,
    Request,
    Welcome,
    decode,
    encode,
    encode_request,
)
from tandem.rpc.transports.memory import MemoryChannel
from tandem.security import Principal

ONE = Raw(b"\x01")
Answers = Callable[[Frame], list[Frame | bytes]]


class Scripted:
    """A callee that answers each frame as ``answers`` says, and welcomes everybody."""

    def __init__(self, rig: Rig, answers: Answers):
        assert isinstance(rig.transport, MemoryTransport)
        self.heard: list[Frame] = []
        self.lost = asyncio.Event()
        self._answers = answers
        rig.transport.network.listen("Echo", self._accept)

    def _accept(self, channel: Channel) -> Scripted:
        self.channel = channel
        return self

    def frame_received(self, data: bytes | memoryview) -> None:
        frame = decode(data)
        self.heard.append(frame)
        answers = [Welcome(1, SERVICE, "scripted")] if isinstance(frame, Hello) else self._answers(frame)
        for answer in answers:
            self.channel.send(answer if isinstance(answer, bytes) else encode(answer))

    def channel_lost(self, reason: TandemError) -> None:
        self.lost.set()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig(MemoryTransport())
    yield rig
    await rig.close()


def to_requests(*answers: Frame | bytes) -> Answers:
    """The same answers to every REQUEST, none to anything else."""
    return lambda frame: list(answers) if isinstance(frame, Request) else []


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xc1",
        b"",
        encode(Hello(1, 1, SERVICE, "c")),
        encode(Welcome(1, SERVICE, "again")),
        encode(Cancel(1)),
    ],
    ids=["garbage", "empty", "hello", "second welcome", "cancel"],
)
async def test_callee_that_sends_nonsense_is_hung_up_on(rig: Rig, nonsense: bytes) -> None:
    """The caller ends the connection and the call; a call that must not run twice is not repeated elsewhere."""
    scripted = Scripted(rig, to_requests(nonsense))
    with pytest.raises((Unreachable, DeadlineExceeded)):
        await rig.peers().call("Echo", "add", {"name": "x"}, timeout=BOUND_S)
    await scripted.lost.wait()


async def test_answers_nobody_asked_for_are_ignored(rig: Rig) -> None:
    """Replies, items, ends and errors for unknown calls, and a second DRAIN, do no harm."""
    strays: list[Frame] = [Reply(999, ONE), Item(999, ONE), End(999), Failure(999, "x", "y"), Pong(77)]

    def answers(frame: Frame) -> list[Frame | bytes]:
        return [*strays, Reply(frame.id, ONE), Drain(), Drain()] if isinstance(frame, Request) else []

    Scripted(rig, answers)
    peers = rig.peers()
    assert await peers.call("Echo", "add", {"name": "x"}, result=int) == 1
    assert await peers.call("Echo", "add", {"name": "x"}, result=int) == 1


async def test_callee_beyond_its_credit_is_hung_up_on(rig: Rig) -> None:
    """Items that were not granted end the connection; those before them are delivered."""

    def answers(frame: Frame) -> list[Frame | bytes]:
        return [Item(frame.id, ONE)] * 6 if isinstance(frame, Request) else []

    scripted = Scripted(rig, answers)
    got = []
    with pytest.raises(Unreachable):
        async for item in rig.peers().stream("Echo", "count", {"to": 9}, item=int, prefetch=4):
            got.append(item)  # noqa: PERF401 (the loop ends by an error)
    assert got == [1] * 4
    await scripted.lost.wait()


async def test_callee_may_ping_and_say_goodbye(rig: Rig) -> None:
    """A PING is answered, and BYE ends calls under way at once."""

    def answers(frame: Frame) -> list[Frame | bytes]:
        match frame:
            case Request():
                return [Ping(7)]
            case Pong(7):
                return [Bye()]
        return []

    scripted = Scripted(rig, answers)
    with pytest.raises((Unreachable, DeadlineExceeded)):
        await rig.peers().call("Echo", "add", {"name": "x"}, timeout=BOUND_S)
    assert Pong(7) in scripted.heard


async def test_ping_fails_with_its_connection(rig: Rig) -> None:
    """A PING under way does not wait for a peer that has hung up."""
    scripted = Scripted(rig, lambda frame: [])
    peers = rig.peers()
    ping = asyncio.create_task(peers.ping("Echo"))
    await until(lambda: any(isinstance(frame, Ping) for frame in scripted.heard))
    with pytest.raises(DeadlineExceeded):
        await peers.ping("Echo", timeout=0.05)
    scripted.channel.close()
    with pytest.raises(Unreachable):
        await ping


async def test_stream_item_of_another_type_ends_the_stream(rig: Rig) -> None:
    """The consumer learns that the contract was broken, and the producer is told to stop."""

    def answers(frame: Frame) -> list[Frame | bytes]:
        return [Item(frame.id, Raw(b"\xa1x"))] if isinstance(frame, Request) else []

    scripted = Scripted(rig, answers)
    with pytest.raises(TandemError, match="contract"):
        async for _ in rig.peers().stream("Echo", "count", {"to": 9}, item=int):
            pass
    await until(lambda: any(isinstance(frame, Cancel) for frame in scripted.heard))


async def test_congested_channel_holds_calls_back_within_their_budget(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call waits for room to send; without any it fails at its deadline, and was never sent."""
    await rig.serve()
    peers = rig.peers()
    await peers.ping("Echo")
    gate = Gate()
    gate.close()
    monkeypatch.setattr(MemoryChannel, "congested", property(lambda _: gate.shut))
    monkeypatch.setattr(MemoryChannel, "wait", lambda _: gate.wait())
    with pytest.raises(DeadlineExceeded, match="no room"):
        await peers.call("Echo", "add", {"name": "x"}, timeout=0.5)
    assert rig.echo.seen == []
    call = asyncio.create_task(peers.invoke("Echo", ECHO, (Note("x"),)))
    await asyncio.sleep(0.01)
    gate.open()
    assert await call == [Note("x")]


async def greeted(rig: Rig) -> tuple[Collector, Channel]:
    """A connection by hand that has been welcomed."""
    collector = Collector()
    channel = await rig.connect(collector)
    channel.send(encode(Hello(1, 1, SERVICE, "by hand")))
    await until(lambda: collector.frames)
    return collector, channel


async def test_call_id_in_use_is_refused(rig: Rig) -> None:
    """Two calls at once under one id are a caller's mistake, and told as such; the first goes on."""
    await rig.serve()
    collector, channel = await greeted(rig)
    for _ in range(2):
        channel.send(encode_request(5, "hold", {"name": "a"}, 60_000))
    await until(lambda: len(collector.frames) == 2)
    refusal = collector.frames[1]
    assert isinstance(refusal, Failure) and "in use" in refusal.message
    rig.echo.release.set()
    await until(lambda: len(collector.frames) == 3)
    assert isinstance(collector.frames[2], Reply)


async def test_unbounded_credit_is_refused(rig: Rig) -> None:
    """Neither at its beginning nor later may a stream be granted more than the server's limit."""
    await rig.serve(limits=Limits(max_credit=10))
    collector, channel = await greeted(rig)
    channel.send(encode_request(1, "count", {"to": 99}, 0, credit=11))
    await until(lambda: len(collector.frames) == 2)
    refusal = collector.frames[1]
    assert isinstance(refusal, Failure) and refusal.code == Overloaded.code
    channel.send(encode_request(2, "ticks", {}, 0, credit=1))
    await until(lambda: len(collector.frames) == 3)
    channel.send(encode(Credit(2, 11)))
    await until(lambda: len(collector.frames) == 4)
    ended = collector.frames[3]
    assert isinstance(ended, Failure) and ended.code == Overloaded.code
    await until(lambda: "ticks closed" in rig.echo.seen)


async def test_frames_for_calls_that_are_over_are_ignored(rig: Rig) -> None:
    """Late CREDIT and CANCEL are normal, negative credit means nothing, and a PONG may come at any time."""
    await rig.serve()
    collector, channel = await greeted(rig)
    for frame in (Credit(9, 5), Cancel(9), Pong(1), Credit(9, -1)):
        channel.send(encode(frame))
    channel.send(encode(Ping(3)))
    await until(lambda: len(collector.frames) == 2)
    assert collector.frames[1] == Pong(3)


async def test_unexpected_frame_ends_the_connection(rig: Rig) -> None:
    """What only a callee may send is refused from a caller."""
    server = await rig.serve()
    collector, channel = await greeted(rig)
    channel.send(encode(Reply(1, ONE)))
    await until(lambda: collector.lost)
    failure = collector.frames[1]
    assert isinstance(failure, Failure) and "Reply" in failure.message
    assert server.connections == 0


async def test_goodbye_ends_the_connection(rig: Rig) -> None:
    """BYE is answered by hanging up."""
    server = await rig.serve()
    collector, channel = await greeted(rig)
    channel.send(encode(Bye()))
    await until(lambda: collector.lost)
    assert server.connections == 0


async def test_broken_authenticator_lets_nobody_in(rig: Rig) -> None:
    """A fault while checking a token refuses the caller and is reported."""

    def broken(token: str) -> Principal:
        raise KeyError(token)

    assert isinstance(rig.transport, MemoryTransport)
    server = Server(SERVICE, handlers_from(Echo(), METHODS), authenticate=broken, observer=rig.watcher)
    await server.listen_memory(rig.transport.network, "Echo")
    with pytest.raises(TandemError, match="could not be checked"):
        await rig.peers().call("Echo", "who")
    assert [where for where, _ in rig.watcher.unhandled] == ["HELLO"]
    await server.close()


async def test_call_cancelled_before_its_first_step_is_answered(rig: Rig) -> None:
    """CANCEL that arrives together with its REQUEST leaves nothing in flight."""
    server = await rig.serve()
    collector, channel = await greeted(rig)
    channel.send(encode_request(1, "hold", {"name": "a"}, 60_000))
    channel.send(encode(Cancel(1)))
    await until(lambda: len(collector.frames) == 2)
    answer = collector.frames[1]
    assert isinstance(answer, Failure) and answer.code == "cancelled"
    assert server.in_flight == 0


async def test_memory_endpoint_needs_its_network(rig: Rig) -> None:
    """Peers without the network cannot reach a memory endpoint, and say so."""
    from tandem.rpc import Peers

    peers = Peers(rig)
    with pytest.raises(TandemError, match="network"):
        await peers.call("Echo", "who")
    await peers.close()
