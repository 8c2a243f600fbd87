"""What every transport must do alike when all goes well, and when calls fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
from rpc_rig import ADD, BOUND_S, COUNT, ECHO, Note, Rig, until

from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import (
    DeadlineExceeded,
    InvalidArguments,
    NotFound,
    Overloaded,
    RemoteError,
    TooLarge,
    Unavailable,
    UnknownAction,
    Unreachable,
)
from tandem.rpc import Limits
from tandem.rpc.envelope import CHUNK_LIMIT, FRAME_LIMIT
from tandem.telemetry import tracing


class RpcContract:
    """Calls, errors, deadlines, cancellation, streams and limits."""

    async def test_call_returns_the_declared_type(self, rig: Rig) -> None:
        """A contract's method returns what its annotation says, with arguments by position and by name."""
        await rig.serve()
        assert (
            await rig.peers().invoke("Echo", ECHO, (Note("tea", ["hot"]),), {"times": 2})
            == [Note("tea", ["hot"])] * 2
        )

    async def test_callee_fills_in_defaults(self, rig: Rig) -> None:
        """An argument left out takes the callee's default."""
        await rig.serve()
        assert await rig.peers().call("Echo", "echo", {"note": {"text": "x"}}, result=list[Note]) == [
            Note("x")
        ]

    async def test_many_calls_share_one_connection(self, rig: Rig) -> None:
        """Two hundred concurrent calls each get their own answer over one connection."""
        server = await rig.serve()
        peers = rig.peers()
        await peers.ping("Echo")
        answers = await asyncio.gather(
            *(peers.call("Echo", "echo", {"note": {"text": str(n)}}, result=list[Note]) for n in range(200))
        )
        assert [str(n) for n in range(200)] == [answer[0].text for answer in answers]
        assert server.connections == 1

    async def test_error_arrives_as_the_class_it_was_raised(self, rig: Rig) -> None:
        """A typed error keeps class, message, hint and details."""
        await rig.serve()
        with pytest.raises(Unavailable) as caught:
            await rig.peers().call("Echo", "deny")
        assert (caught.value.message, caught.value.hint) == ("no model", "fetch one")
        assert caught.value.details == {"model": "tiny", "bytes": 5}

    async def test_unhandled_exception_is_a_remote_error(self, rig: Rig) -> None:
        """A fault in the callee reaches the caller as its type and words, and the observer as the exception itself."""
        await rig.serve()
        with pytest.raises(RemoteError) as caught:
            await rig.peers().call("Echo", "crash")
        assert caught.value.details == {"type": "ZeroDivisionError"}
        assert "Traceback" not in str(caught.value)
        assert [action for action, _ in rig.watcher.unhandled] == ["crash"]

    async def test_result_that_cannot_travel_is_a_remote_error(self, rig: Rig) -> None:
        """A handler that returns something msgpack cannot carry has a fault of its own, and the connection lives on."""
        await rig.serve()
        peers = rig.peers()
        with pytest.raises(RemoteError):
            await peers.call("Echo", "unencodable")
        assert await peers.call("Echo", "who") == "nobody"

    async def test_result_of_another_type_is_a_broken_contract(self, rig: Rig) -> None:
        """The caller checks the answer against the type it declared."""
        await rig.serve()
        with pytest.raises(RemoteError, match="lie"):
            await rig.peers().call("Echo", "lie", result=int)

    @pytest.mark.parametrize(
        ("action", "args", "error", "says"),
        [
            ("nothing", {}, UnknownAction, "nothing"),
            ("echo", {}, InvalidArguments, "note"),
            ("echo", {"note": {"text": 3}}, InvalidArguments, "note.text"),
            ("echo", {"note": {"text": "x"}, "tims": 2}, InvalidArguments, "tims"),
            ("count", {"to": 1}, InvalidArguments, "stream"),
        ],
    )
    async def test_bad_call_is_refused_by_name(
        self, rig: Rig, action: str, args: dict[str, object], error: type[Exception], says: str
    ) -> None:
        """A call that does not fit is refused with the argument or action at fault."""
        await rig.serve()
        with pytest.raises(error, match=says):
            await rig.peers().call("Echo", action, args)

    async def test_unknown_peer_is_not_found(self, rig: Rig) -> None:
        """The resolver's answer for a name nobody has reaches the caller."""
        with pytest.raises(NotFound):
            await rig.peers().call("Nobody", "who")

    async def test_large_frames_pass_and_larger_ones_do_not(self, rig: Rig) -> None:
        """Megabytes travel whole; above 16 MiB arguments and results are refused and the connection lives on."""
        await rig.serve()
        peers = rig.peers()
        data = bytes(range(256)) * 8192
        assert await peers.call("Echo", "blob", {"data": data}, result=bytes, timeout=BOUND_S) == data
        with pytest.raises(TooLarge):
            await peers.call("Echo", "size_of", {"data": bytes(FRAME_LIMIT)}, timeout=BOUND_S)
        with pytest.raises(TooLarge):
            await peers.call("Echo", "make", {"size": FRAME_LIMIT}, timeout=BOUND_S)
        assert await peers.call("Echo", "who") == "nobody"

    async def test_deadline_ends_both_sides(self, rig: Rig) -> None:
        """A call that outlives its budget fails at the caller, and its handler is cancelled."""
        await rig.serve()
        peers = rig.peers()
        await peers.ping("Echo")
        budget_s = 0.2
        while "a began" not in rig.echo.seen:  # a busy computer may use up a budget before the call has arrived
            with pytest.raises(DeadlineExceeded):
                await peers.call("Echo", "hold", {"name": "a"}, timeout=budget_s)
            budget_s *= 2
        await until(lambda: "a cancelled" in rig.echo.seen)

    async def test_handler_inherits_what_is_left(self, rig: Rig) -> None:
        """The handler sees the caller's remaining budget, which the inherited deadline shortens."""
        await rig.serve()
        rig.echo.release.set()
        peers = rig.peers()
        with deadline_scope(Deadline.after(60)):
            await peers.call("Echo", "hold", {"name": "a"}, timeout=600)
        await peers.call("Echo", "hold", {"name": "b"}, timeout=600)
        first, second = rig.echo.budgets
        assert first is not None and 0 < first <= 60
        assert second is not None and 60 < second <= 600

    async def test_no_time_left_sends_nothing(self, rig: Rig) -> None:
        """A call without any budget fails at once and does not run."""
        await rig.serve()
        peers = rig.peers()
        await peers.ping("Echo")
        with pytest.raises(DeadlineExceeded):
            await peers.call("Echo", "add", {"name": "x"}, timeout=0)
        assert rig.echo.seen == []

    async def test_cancelling_the_caller_cancels_the_handler(self, rig: Rig) -> None:
        """A withdrawn call stops at the callee too."""
        await rig.serve()
        call = asyncio.create_task(rig.peers().call("Echo", "hold", {"name": "a"}, timeout=60))
        await until(lambda: "a began" in rig.echo.seen)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: "a cancelled" in rig.echo.seen)

    async def test_stream_delivers_in_order(self, rig: Rig) -> None:
        """All items arrive, once, in order, and more of them than the window holds."""
        await rig.serve()
        items = [item async for item in rig.peers().iterate("Echo", COUNT, (500,), prefetch=8)]
        assert items == list(range(500))

    async def test_stream_of_nothing_ends(self, rig: Rig) -> None:
        """A generator that yields nothing is an empty stream."""
        await rig.serve()
        assert [item async for item in rig.peers().stream("Echo", "count", {"to": 0})] == []

    async def test_slow_consumer_holds_the_producer_back(self, rig: Rig) -> None:
        """The producer is advanced only as far as the consumer has granted."""
        await rig.serve()
        items = rig.peers().iterate("Echo", COUNT, (1000,), prefetch=4)
        async with aclosing(items):
            assert await anext(items) == 0
            await until(lambda: "made 3" in rig.echo.seen)
            # A round trip on the same connection: whatever the producer would have sent has arrived by now.
            await rig._peers[0].ping("Echo")
            assert "made 4" not in rig.echo.seen
            for expected in range(1, 10):
                assert await anext(items) == expected

    async def test_leaving_a_stream_closes_its_generator(self, rig: Rig) -> None:
        """A consumer that stops early runs the producer's clean-up, and nothing stays in flight."""
        server = await rig.serve()
        async with aclosing(rig.peers().iterate("Echo", COUNT, (1_000_000,), prefetch=4)) as items:
            async for item in items:
                if item == 10:
                    break
        await until(lambda: "count closed" in rig.echo.seen)
        await until(lambda: server.in_flight == 0)

    async def test_error_in_a_stream_follows_its_items(self, rig: Rig) -> None:
        """Items made before the error arrive before it."""
        await rig.serve()
        got = []
        with pytest.raises(Unavailable, match="gave up"):
            async for item in rig.peers().stream("Echo", "count", {"to": 9, "fail_at": 3}, item=int):
                got.append(item)  # noqa: PERF401 (the loop ends by an error)
        assert got == [0, 1, 2]

    async def test_stream_ends_at_its_deadline(self, rig: Rig) -> None:
        """A bounded stream fails when its time is up, on both sides."""
        await rig.serve()
        peers = rig.peers()
        await peers.ping("Echo")
        items: list[object] = []
        budget_s = 0.2
        while not items:  # a busy computer may use up a budget before the stream has begun
            with pytest.raises(DeadlineExceeded):
                async for item in peers.stream("Echo", "ticks", timeout=budget_s):
                    items.append(item)  # noqa: PERF401 (the loop ends by an error)
            budget_s *= 2
        await until(lambda: "ticks closed" in rig.echo.seen)

    async def test_chunk_limit_of_streams(self, rig: Rig) -> None:
        """A chunk of 64 KiB passes, a much larger one ends the stream with TooLarge."""
        await rig.serve()
        peers = rig.peers()
        sizes = [
            len(c)
            async for c in peers.stream("Echo", "chunks", {"size": CHUNK_LIMIT, "number": 40}, item=bytes)
        ]
        assert sizes == [CHUNK_LIMIT] * 40
        with pytest.raises(TooLarge):
            async for _ in peers.stream("Echo", "chunks", {"size": 2 * CHUNK_LIMIT}):
                pass

    async def test_call_to_a_stream_and_back_are_told_apart(self, rig: Rig) -> None:
        """Opening an ordinary action as a stream is refused."""
        await rig.serve()
        with pytest.raises(InvalidArguments, match="a call"):
            async for _ in rig.peers().stream("Echo", "who"):
                pass

    async def test_too_many_calls_are_refused(self, rig: Rig) -> None:
        """Above the limit in flight a call is Overloaded; it succeeds once there is room within its budget."""
        await rig.serve(limits=Limits(in_flight=1))
        peers = rig.peers()
        holding = asyncio.create_task(peers.call("Echo", "hold", {"name": "a"}, timeout=60))
        await until(lambda: "a began" in rig.echo.seen)
        await refused(lambda: peers.call("Echo", "add", {"name": "x"}, timeout=0.2))
        waiting = asyncio.create_task(peers.call("Echo", "add", {"name": "y"}, timeout=BOUND_S))
        rig.echo.release.set()
        await holding
        await waiting
        assert rig.echo.seen == ["a began", "a ended", "y"]

    async def test_one_caller_cannot_take_every_place(self, rig: Rig) -> None:
        """The limit per connection leaves room for others."""
        await rig.serve(limits=Limits(in_flight_per_connection=1))
        greedy, other = rig.peers(), rig.peers()
        holding = asyncio.create_task(greedy.call("Echo", "hold", {"name": "a"}, timeout=60))
        await until(lambda: "a began" in rig.echo.seen)
        await refused(lambda: greedy.call("Echo", "who", timeout=0.1))
        assert await other.call("Echo", "who") == "nobody"
        rig.echo.release.set()
        await holding

    async def test_overload_within_a_handler_may_have_run(self, rig: Rig) -> None:
        """Overloaded raised by the handler itself is not retried for an action that must not run twice."""
        await rig.serve()
        rig.echo.fail_first = 1
        with pytest.raises(Overloaded):
            await rig.peers().call("Echo", "flaky")
        assert rig.echo.seen == ["flaky"]

    async def test_ping_measures_a_round_trip(self, rig: Rig) -> None:
        """PING is answered by the peer's event loop."""
        await rig.serve()
        assert 0 < await rig.peers().ping("Echo") < BOUND_S

    async def test_trace_continues_at_the_callee(self, rig: Rig) -> None:
        """The server's span is a child of the caller's span, in the same trace."""
        await rig.serve()
        spans = tracing.SpanQueue()
        tracing.set_sink(spans)
        try:
            with tracing.start_turn():
                await rig.peers().call("Echo", "who")
        finally:
            tracing.set_sink(None)
        recorded = {span.kind: span for span in spans.drain()}
        assert recorded["server"].parent_id == recorded["client"].span_id
        assert {span.trace_id for span in recorded.values()} == {recorded["internal"].trace_id}

    async def test_observer_hears_of_every_call(self, rig: Rig) -> None:
        """Each finished call is reported once with its outcome, streams included."""
        await rig.serve()
        peers = rig.peers()
        await peers.call("Echo", "who")
        with pytest.raises(Unavailable):
            await peers.call("Echo", "deny")
        assert [item async for item in peers.stream("Echo", "count", {"to": 2})] == [0, 1]
        await until(lambda: len(rig.watcher.calls) == 3)
        outcomes = [(action, type(error).__name__) for action, error in rig.watcher.calls]
        assert outcomes == [("who", "NoneType"), ("deny", "Unavailable"), ("count", "NoneType")]

    async def test_closing_the_caller_fails_its_calls(self, rig: Rig) -> None:
        """Calls under way fail with Unreachable, and later ones are refused."""
        await rig.serve()
        peers = rig.peers()
        call = asyncio.create_task(peers.call("Echo", "hold_once", {"name": "a"}, timeout=60))
        await until(lambda: "a began" in rig.echo.seen)
        await peers.close()
        with pytest.raises(Unreachable):
            await call
        with pytest.raises(Unreachable):
            await peers.invoke("Echo", ADD, ("x",))


async def stopped(items: AsyncIterator[object]) -> BaseException | None:
    """How a stream ends, after reading all of it."""
    try:
        async for _ in items:
            pass
    except Exception as error:
        return error
    return None


async def refused(call: Callable[[], Awaitable[object]]) -> None:
    """There is no room for the call. On a busy computer its time may be over before it hears so; then it asks again."""
    async with asyncio.timeout(BOUND_S):
        with pytest.raises(Overloaded):
            while True:
                with contextlib.suppress(DeadlineExceeded):
                    pytest.fail(f"it was answered: {await call()}")
