"""A turn's spans in the order a person reads them: every hop below its caller, with its share of the time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct

from tandem.telemetry.tracing import INTENT, Span, turn_of


class Row(Struct, frozen=True):
    """One span. ``offset_s`` is seconds from the turn's start, ``self_s`` the time none of its children covers."""

    span: Span
    depth: int
    offset_s: float
    self_s: float


class TurnSummary(Struct, frozen=True, kw_only=True):
    """One line of a list of turns; ``start`` is Unix seconds. ``name`` is the intent, where one was understood."""

    turn: str
    trace_id: str
    name: str
    start: float
    duration_s: float
    spans: int
    agents: int
    errors: int


def waterfall(spans: Iterable[Span]) -> list[Row]:
    """Rows depth first, siblings by start. Spans whose parent is missing stand at the top; repeats count once.

    Two computers' clocks disagree by more than a hop takes. A child measured elsewhere that does not lie within its
    parent is therefore moved to its parent's middle, half of the difference before it and half behind.
    """
    known = {span.span_id: span for span in spans}
    children: dict[str, list[Span]] = defaultdict(list)
    for span in known.values():
        children[span.parent_id].append(span)
    by_start = sorted(known.values(), key=lambda span: span.start)
    roots = [span for span in by_start if span.parent_id not in known]
    rows: list[Row] = []
    seen: set[str] = set()
    # Spans that name each other as parents (damaged data) have no root; the earliest of them then serves as one.
    for root in (*roots, *by_start):
        rows += _below(root, (roots or by_start)[0].start, children, seen)
    return rows


def _below(root: Span, origin: float, children: dict[str, list[Span]], seen: set[str]) -> list[Row]:
    """``root`` and all under it that was not seen yet."""
    rows: list[Row] = []
    pending = [(root, 0, root.start)]
    while pending:
        span, depth, start = pending.pop()
        if span.span_id in seen:
            continue
        seen.add(span.span_id)
        placed = sorted(
            ((child, _placed(child, span, start)) for child in children[span.span_id]),
            key=lambda pair: pair[1],
        )
        rows.append(Row(span, depth, start - origin, _self_time(span, start, placed)))
        pending += [(child, depth + 1, at) for child, at in reversed(placed)]
    return rows


def summarise(spans: Iterable[Span]) -> TurnSummary:
    """The summary of one trace's spans, at least one; raises ``ValueError`` without any."""
    rows = waterfall(spans)
    if not rows:
        raise ValueError("a turn without spans")
    first = rows[0].span
    return TurnSummary(
        turn=turn_of(first.trace_id),
        trace_id=first.trace_id,
        name=str(first.attributes.get(INTENT, first.name)),
        start=first.start,
        duration_s=max(row.offset_s + row.span.duration_s for row in rows),
        spans=len(rows),
        agents=len({(row.span.agent, row.span.machine) for row in rows}),
        errors=sum(row.span.status == "error" for row in rows),
    )


def _placed(child: Span, parent: Span, parent_start: float) -> float:
    """Where ``child`` starts on the turn's time line, given where its parent was placed."""
    shifted = child.start + (parent_start - parent.start)
    within = parent_start <= shifted and shifted + child.duration_s <= parent_start + parent.duration_s
    if child.machine == parent.machine or within:
        return shifted
    return parent_start + max(0.0, parent.duration_s - child.duration_s) / 2


def _self_time(span: Span, start: float, children: list[tuple[Span, float]]) -> float:
    """The span's duration less the union of its children's intervals."""
    end, covered, reached = start + span.duration_s, 0.0, start
    for child, at in children:
        begin, finish = max(at, reached), min(at + child.duration_s, end)
        if finish > begin:
            covered += finish - begin
            reached = finish
    return max(0.0, span.duration_s - covered)
