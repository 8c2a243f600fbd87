"""Order, depth, own time and clocks of a turn's rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.core.ids import new_id
from tandem.telemetry.tracing import Span, trace_of
from tandem.telemetry.waterfall import summarise, waterfall

TURN = new_id()


def span(
    span_id: str, parent: str = "", start: float = 0.0, duration: float = 1.0, machine: str = "a", **more
) -> Span:
    """A span of the turn; its name is its id."""
    return Span(
        trace_id=trace_of(TURN), span_id=span_id, parent_id=parent, name=span_id, start=start, duration_s=duration,
        machine=machine, **more,
    )  # fmt: skip


def outline(spans) -> list[tuple[str, int]]:
    """Names and depths, top to bottom."""
    return [(row.span.name, row.depth) for row in waterfall(spans)]


def test_children_stand_below_their_parent_by_start():
    """Depth first, whatever order the spans arrived in."""
    spans = [span("c", "a", 3), span("d", "b", 2), span("a", "", 0, 10), span("b", "a", 1, 2)]
    assert outline(spans) == [("a", 0), ("b", 1), ("d", 2), ("c", 1)]


def test_a_span_whose_parent_was_lost_stands_at_the_top():
    """Nothing that was recorded is hidden."""
    assert outline([span("a"), span("b", "lost", 5)]) == [("a", 0), ("b", 0)]


def test_a_repeated_span_counts_once():
    """At-least-once delivery does not double the picture."""
    assert outline([span("a"), span("a"), span("b", "a")]) == [("a", 0), ("b", 1)]


def test_own_time_is_what_no_child_covers():
    """Overlapping children are not subtracted twice."""
    rows = waterfall([span("a", "", 0, 10), span("b", "a", 1, 4), span("c", "a", 3, 4), span("d", "a", 9, 1)])
    assert [row.self_s for row in rows] == pytest.approx([3.0, 4.0, 4.0, 1.0])


def test_a_wrong_clock_is_set_right():
    """A child on another machine that lies outside its parent is put into its middle, with what is below it."""
    rows = waterfall(
        [
            span("a", "", 100.0, 10.0),
            span("b", "a", 5000.0, 4.0, machine="b"),
            span("c", "b", 5001.0, 2.0, machine="b"),
        ]
    )
    assert [row.offset_s for row in rows] == pytest.approx([0.0, 3.0, 4.0])


def test_a_right_clock_is_believed():
    """A child on another machine that fits stays where it says."""
    rows = waterfall([span("a", "", 100.0, 10.0), span("b", "a", 101.0, 4.0, machine="b")])
    assert [row.offset_s for row in rows] == [0.0, 1.0]


def test_a_summary_counts_what_is_there():
    """Name and start of the root, length up to the last end, agents and errors."""
    summary = summarise(
        [
            span("turn", "", 10.0, 2.0, agent="X"),
            span("late", "turn", 11.5, 3.0, agent="Y", status="error"),
            span("z", "turn", 10.5, 0.1, agent="Y"),
        ]
    )
    assert (summary.turn, summary.name, summary.start) == (TURN, "turn", 10.0)
    assert (summary.spans, summary.agents, summary.errors) == (3, 2, 1)
    assert summary.duration_s == pytest.approx(4.5)
    with pytest.raises(ValueError, match="without spans"):
        summarise([])


def test_a_turn_is_called_by_what_was_done():
    """The root's intent, where a front door told it."""
    assert summarise([span("turn", attributes={"intent": "math"}), span("x", "turn")]).name == "math"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 8), st.integers(0, 8), st.floats(0, 100), st.floats(0, 10), st.sampled_from("ab")
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_spans_give_each_reachable_one_row(raw):
    """Whatever the parents say, cycles included, the rows are finite, unique and have no negative own time."""
    spans = [span(f"s{a}", f"s{b}", start, duration, machine) for a, b, start, duration, machine in raw]
    rows = waterfall(spans)
    names = [row.span.span_id for row in rows]
    assert len(names) == len(set(names))
    assert set(names) == {s.span_id for s in spans}
    assert all(row.self_s >= 0 for row in rows)
