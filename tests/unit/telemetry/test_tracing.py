"""Trace context, spans and turns."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.core import clock
from tandem.core.errors import Cancelled, Unreachable
from tandem.core.ids import new_id
from tandem.telemetry import tracing
from tandem.telemetry.resource import Resource, resource_scope
from tandem.telemetry.tracing import Span, SpanContext, SpanQueue


@pytest.fixture
def spans():
    """The spans finished during the test."""
    collected: list[Span] = []
    tracing.set_sink(collected.append)
    yield collected
    tracing.set_sink(None)


HEX32 = st.integers(1, 2**128 - 1).map(lambda value: f"{value:032x}")
HEX16 = st.integers(1, 2**64 - 1).map(lambda value: f"{value:016x}")


@given(HEX32, HEX16, st.booleans())
def test_traceparent_round_trips(trace_id, span_id, sampled):
    """Parsing a rendered header gives the same context."""
    context = SpanContext(trace_id, span_id, sampled)
    assert SpanContext.parse(context.traceparent()) == context


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01-more",
        "00-" + "1" * 31 + "-" + "1" * 16 + "-01",
    ],
)
def test_malformed_traceparent_is_ignored(header):
    """The standard says a receiver restarts the trace instead of failing."""
    assert SpanContext.parse(header) is None


def test_future_version_with_more_fields_is_understood():
    """A higher version may append fields; its first four keep their meaning."""
    context = SpanContext.parse("01-" + "1" * 32 + "-" + "2" * 16 + "-03-what-comes")
    assert context == SpanContext("1" * 32, "2" * 16, True)


@given(HEX32)
def test_turn_and_trace_are_the_same_bits(trace_id):
    """A turn's ULID and its trace id convert into each other without loss."""
    assert tracing.trace_of(tracing.turn_of(trace_id)) == trace_id


def test_turn_of_a_new_id_sorts_by_time_and_reads_back():
    """A freshly made id is a valid turn, in either letter case."""
    turn = new_id()
    assert tracing.turn_of(tracing.trace_of(turn.upper())) == turn


@pytest.mark.parametrize("turn", ["", "short", "u" * 26, "z" * 26])
def test_something_else_is_no_turn(turn):
    """Wrong length, letters outside the alphabet and values over 128 bits are refused."""
    with pytest.raises(ValueError, match="turn id"):
        tracing.trace_of(turn)


def test_nothing_is_recorded_outside_a_sampled_turn(spans):
    """A span without a turn, and one in an unsampled turn, reach no sink."""
    with tracing.span("alone") as span:
        span.set("key", 1)
        span.fail(RuntimeError())
    with tracing.start_turn(sampled=False), tracing.span("unsampled"):
        assert tracing.current_context() is not None
    assert spans == []
    assert tracing.current_context() is None


def test_children_name_their_parents(spans):
    """Nested spans of one turn share its trace and point at the span around them."""
    turn = new_id()
    with tracing.start_turn(turn, source="voice"), tracing.span("a", "client"), tracing.span("b", k=2):
        pass
    b, a, root = spans
    assert [s.name for s in spans] == ["b", "a", "turn"]
    assert {s.trace_id for s in spans} == {tracing.trace_of(turn)}
    assert (b.parent_id, a.parent_id, root.parent_id) == (a.span_id, root.span_id, "")
    assert (a.kind, b.attributes, root.attributes) == ("client", {"k": 2}, {"source": "voice"})


def test_a_remote_header_is_continued(spans):
    """A server's span becomes the child of the caller's span."""
    caller = SpanContext("a" * 32, "b" * 16, True)
    with tracing.remote_context(caller.traceparent()), tracing.span("served", "server"):
        inner = tracing.current_traceparent()
    assert spans[0].trace_id == caller.trace_id
    assert spans[0].parent_id == caller.span_id
    assert SpanContext.parse(inner) == SpanContext(caller.trace_id, spans[0].span_id, True)
    assert tracing.current_traceparent() == ""


def test_errors_mark_the_span_and_pass_on(spans):
    """An exception leaves the block unchanged; our own carry their wire code."""
    with pytest.raises(Unreachable), tracing.start_turn(), tracing.span("call"):
        raise Unreachable("gone")
    assert [(s.status, s.attributes["error.type"]) for s in spans] == [("error", "unreachable")] * 2


def test_closing_a_stream_is_no_error(spans):
    """GeneratorExit, which ends a generator nobody reads on, leaves the status ok."""

    def numbers():
        with tracing.span("stream"):
            yield 1

    with tracing.start_turn():
        generator = numbers()
        next(generator)
        generator.close()
    assert [s.status for s in spans] == ["ok", "ok"]


async def test_withdrawn_work_has_not_failed(spans):
    """A cancelled task and a call its caller gave up are marked as such and count as no error."""

    async def wait():
        with tracing.span("wait"):
            await asyncio.Event().wait()

    with tracing.start_turn():
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        with suppress(Cancelled), tracing.span("call"):
            raise Cancelled("withdrawn by the caller")
    assert [s.status for s in spans] == ["cancelled", "cancelled", "ok"]
    assert all("error.type" not in s.attributes for s in spans)


async def test_a_generator_closed_by_another_task_keeps_that_tasks_context(spans):
    """Ending a span in a foreign context neither raises nor disturbs the span current there."""

    async def numbers():
        with tracing.span("stream"):
            yield 1

    with tracing.start_turn():
        generator = numbers()
        await asyncio.create_task(anext(generator))
        before = tracing.current_context()
        await generator.aclose()
        assert tracing.current_context() == before
    assert sorted(s.name for s in spans) == ["stream", "turn"]


async def test_tasks_inherit_and_do_not_leak(spans):
    """A task started in a turn is inside it; its spans do not become current elsewhere."""

    async def work():
        with tracing.span("work"):
            await asyncio.sleep(0)

    with tracing.start_turn():
        await asyncio.gather(work(), work())
        root = tracing.current_context()
    assert root is not None
    assert [s.parent_id for s in spans] == [root.span_id, root.span_id, ""]


def test_a_span_without_a_block(spans):
    """A child whose context was sent along is recorded at its end with its time and error, and only if it is sampled."""
    parent = SpanContext("a" * 32, "b" * 16, True)
    child = tracing.child_context(parent)
    started = clock.monotonic() - 0.25
    tracing.record("queue", "client", child, parent.span_id, started, TimeoutError(), {"rpc.method": "x"})
    unsampled = SpanContext("a" * 32, "b" * 16, False)
    assert tracing.child_context(unsampled) is unsampled
    tracing.record("queue", "client", unsampled, "", started, None, {})
    [span] = spans
    assert (span.trace_id, span.span_id, span.parent_id) == ("a" * 32, child.span_id, "b" * 16)
    assert child.span_id != parent.span_id
    assert span.duration_s == pytest.approx(0.25, abs=0.1)
    assert span.start == pytest.approx(clock.wall() - 0.25, abs=0.1)
    assert span.attributes == {"rpc.method": "x", "error.type": "TimeoutError"}


def test_spans_say_whose_they_are(spans):
    """The resource of the running task is stamped on its spans."""
    with resource_scope(Resource("NLUAgent", "mainpc")), tracing.start_turn():
        pass
    assert (spans[0].agent, spans[0].machine) == ("NLUAgent", "mainpc")


def test_queue_keeps_the_newest_and_counts_the_rest():
    """A full queue drops its oldest span and says how many it dropped."""
    queue = SpanQueue(capacity=2)
    for number in range(5):
        queue(Span(trace_id="a", span_id=str(number), name="x", start=0.0, duration_s=0.0))
    assert queue.dropped == 3
    assert [s.span_id for s in queue.drain(1)] == ["3"]
    assert [s.span_id for s in queue.drain()] == ["4"]
    assert len(queue) == 0


def test_a_servers_span_continues_a_header_directly(spans):
    """A sampled header gives a child span, an unsampled one only its name for log lines, a malformed one nothing."""

    def continued(header: str):
        return tracing.child_of(SpanContext.parse(header), "served", "server", {})

    caller = SpanContext("a" * 32, "b" * 16, True)
    with continued(caller.traceparent()):
        pass
    unsampled = SpanContext("c" * 32, "d" * 16, False)
    with continued(unsampled.traceparent()):
        assert tracing.current_context() == unsampled
    with continued("rubbish"):
        assert tracing.current_context() is None
    [span] = spans
    assert (span.parent_id, span.kind) == (caller.span_id, "server")
