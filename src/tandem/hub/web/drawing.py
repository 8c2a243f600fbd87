"""Bars and lines in the units of an SVG ``viewBox``; templates turn them into shapes, so that no style is written inline."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from tandem.telemetry.waterfall import Row

WIDTH = 1000.0
LEAST = 3.0
"""Width below which a bar would not be seen."""


class Bar(Struct, frozen=True):
    """From ``x``, ``width`` long, of which ``own`` is the time no child covers."""

    x: float
    width: float
    own: float


class Hop(Struct, frozen=True):
    """One row of a waterfall: a call with what it took as the caller saw it, or work that is no call.

    ``machine`` numbers the machines in order of appearance. ``waited_s`` is what the way there and back took; None for
    what did not travel.
    """

    row: Row
    depth: int
    bar: Bar
    duration_s: float
    machine: int
    waited_s: float | None = None


class Share(Struct, frozen=True):
    """The time an agent itself took in a turn, of all such time."""

    agent: str
    machine: str
    number: int
    seconds: float
    width: float


class Waterfall(Struct, frozen=True):
    """A turn as it is drawn; ``ticks`` are seconds from its begin."""

    hops: list[Hop]
    machines: list[str]
    ticks: list[float]
    shares: list[Share]


def draw_waterfall(rows: Sequence[Row], duration_s: float) -> Waterfall:
    """Rows of :func:`tandem.telemetry.waterfall.waterfall` on a line of ``duration_s`` seconds."""
    machines = list(dict.fromkeys(row.span.machine for row in rows))
    scale = WIDTH / duration_s if duration_s > 0 else 0.0
    hops = [
        _hop(row, depth, caller, scale, machines.index(row.span.machine))
        for row, depth, caller in _calls(rows)
    ]
    ticks = [duration_s * part / 4 for part in range(5)]
    return Waterfall(hops, machines, ticks, _shares(rows, machines))


def _calls(rows: Sequence[Row]) -> Iterator[tuple[Row, int, Row | None]]:
    """Rows with their depth, where a caller's span and its callee's are one: the callee's, with the caller's beside it."""
    children: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        children[row.span.parent_id].append(row)
    lifted: dict[str, int] = {}
    callers: dict[str, Row] = {}
    for row in rows:
        span, lift = row.span, lifted.get(row.span.parent_id, 0)
        below = children[span.span_id]
        if span.kind == "client" and len(below) == 1 and below[0].span.kind == "server":
            lifted[span.span_id] = lift + 1
            callers[span.span_id] = row
            continue
        lifted[span.span_id] = lift
        yield row, row.depth - lift, callers.get(span.parent_id)


def _hop(row: Row, depth: int, caller: Row | None, scale: float, machine: int) -> Hop:
    whole = caller or row
    x = min(WIDTH - LEAST, max(0.0, whole.offset_s * scale))
    width = min(WIDTH - x, max(LEAST, whole.span.duration_s * scale))
    own = min(width, max(row.self_s * scale, LEAST if caller is None else 0.0))
    waited = None if caller is None else max(0.0, caller.span.duration_s - row.span.duration_s)
    bar = Bar(round(x, 1), round(width, 1), round(own, 1))
    return Hop(row, depth, bar, whole.span.duration_s, machine, waited)


def _shares(rows: Iterable[Row], machines: list[str]) -> list[Share]:
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        seconds[row.span.agent, row.span.machine] += row.self_s
    most = max(seconds.values(), default=0.0) or 1.0
    ordered = sorted(seconds.items(), key=lambda pair: -pair[1])
    return [
        Share(agent, machine, machines.index(machine), spent, round(WIDTH * spent / most, 1))
        for (agent, machine), spent in ordered
    ]


def path_of(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Who called whom in a turn, in the order it happened: pairs of identities, each once; nobody ('') called the first."""
    agents = {row.span.span_id: f"{row.span.agent}@{row.span.machine}" for row in rows}
    pairs = [(agents.get(row.span.parent_id, ""), agents[row.span.span_id]) for row in rows if row.span.agent]
    return list(dict.fromkeys((caller, callee) for caller, callee in pairs if caller != callee))


def line(values: Sequence[float], height: float = 40.0) -> tuple[str, str]:
    """A sparkline from 0 to the largest value, and the area under it, as SVG paths; empty below two values."""
    if len(values) < 2:
        return "", ""
    most, step = max(values) or 1.0, WIDTH / (len(values) - 1)
    points = " ".join(
        f"{number * step:.1f},{height - value / most * (height - 2):.1f}"
        for number, value in enumerate(values)
    )
    return f"M{points}", f"M0,{height:g} L{points} L{WIDTH:g},{height:g}Z"
