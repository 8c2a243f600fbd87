"""Faults foreseen from what was measured, with statistics one can explain in a sentence. Pure.

A trend is the median of the slopes between all pairs of points (Theil and Sen), which a few outliers do not move. It
counts only when the points rise far more often than they fall: Mann and Kendall's test, whose score is that of a normal
distribution; 3.3 happens by chance once in 2,000 quiet series. Extended in a straight line the trend says when a limit
is reached. Restarts are compared with the agent's own rate of the day before (Poisson).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from statistics import median
from typing import Literal

from msgspec import Struct

from tandem.hub.series import Point

Quantity = Literal["memory", "health check", "request", "restarts"]

CERTAIN = 3.3
"""Score of Mann and Kendall's test a trend must have."""

FEWEST_POINTS = 12
MOST_POINTS = 60
MIB = 1024 * 1024

GROWTH = 0.2
"""A trend is told when it has added so much to the value since the window's start: less is the breathing of a process."""

GROWTH_BYTES = 32 * MIB
GROWTH_S = 0.05
LATENCY_LIMIT_S = {"health check": 3.0, "request": 5.0}
"""Where the hub's health check and a caller's default time budget end."""

RESTARTS_AT_LEAST = 3
RARE = 0.001


class Trend(Struct, frozen=True):
    """``slope`` per second, ``score`` of the test, ``start`` and ``now`` of the fitted line."""

    slope: float
    score: float
    start: float
    now: float


class Forecast(Struct, frozen=True, kw_only=True):
    """``agent`` (bare name; empty: the machine) will probably reach ``limit`` of ``quantity`` at Unix time ``at``.

    ``now`` and ``limit`` are bytes, seconds, or restarts in an hour; ``per_hour`` is the change. ``sentence`` explains it.
    """

    agent: str
    machine: str
    quantity: Quantity
    now: float
    limit: float
    per_hour: float
    at: float
    score: float
    sentence: str


def trend(series: Sequence[tuple[float, float]]) -> Trend | None:
    """Of (time, value) pairs in the order of time; None for fewer than :data:`FEWEST_POINTS`."""
    if len(series) < FEWEST_POINTS:
        return None
    step = max(1, math.ceil(len(series) / MOST_POINTS))
    kept = series[::-1][::step][::-1]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(kept, 2) if b[0] > a[0]]
    if not slopes:
        return None
    slope = median(slopes)
    middle = median(value - slope * at for at, value in kept)
    return Trend(slope, _score(slopes, len(kept)), middle + slope * kept[0][0], middle + slope * kept[-1][0])


def foresee(
    points: Sequence[Point], now: float, horizon_s: float, memory_limit: float | None, day: Sequence[Point] = ()
) -> list[Forecast]:
    """What will probably happen to one agent (or machine) within ``horizon_s``.

    ``points`` are of the last hours of its present process, oldest first; ``day`` of the last day, for its restarts.
    ``memory_limit`` in bytes, None when unknown.
    """
    if not points:
        return []
    last = points[-1]
    own = _present_process(points)
    found = []
    if memory_limit is not None:
        series = [(p.at, p.rss_bytes) for p in own if p.rss_bytes]
        found.append(_reach(last, "memory", series, memory_limit, now, horizon_s))
    found.append(
        _reach(last, "health check", [(p.at, p.health_s) for p in own if p.health_s], LATENCY_LIMIT_S["health check"], now, horizon_s)
    )
    busy = [(p.at, p.busy_s / p.requests) for p in own if p.requests]
    found.append(_reach(last, "request", busy, LATENCY_LIMIT_S["request"], now, horizon_s))
    found.append(_restarting(last, day, now))
    return [forecast for forecast in found if forecast is not None]


def _present_process(points: Sequence[Point]) -> Sequence[Point]:
    """Since its last restart: a new process begins small."""
    restarts = points[-1].restarts
    return [point for point in points if point.restarts == restarts]


def _reach(
    last: Point, quantity: Quantity, series: Sequence[tuple[float, float]], limit: float, now: float, horizon_s: float
) -> Forecast | None:
    found = trend(series)
    if found is None or found.slope <= 0 or found.score < CERTAIN:
        return None
    least = GROWTH_BYTES if quantity == "memory" else GROWTH_S
    if found.now - found.start < max(least, GROWTH * abs(found.start)):
        return None
    at = now + max(0.0, (limit - found.now) / found.slope)
    if at - now > horizon_s:
        return None
    per_hour = found.slope * 3600
    who = last.agent or last.machine
    sentence = (
        f"{_what(quantity)} of {who} grows by {_amount(quantity, per_hour)} an hour, is at {_amount(quantity, found.now)} and "
        f"reaches {_amount(quantity, limit)} in {_span(at - now)}"
    )
    return Forecast(
        agent=last.agent, machine=last.machine, quantity=quantity, now=found.now, limit=limit, per_hour=per_hour, at=at,
        score=found.score, sentence=sentence,
    )  # fmt: skip


def _restarting(last: Point, day: Sequence[Point], now: float) -> Forecast | None:
    """More restarts in this hour than the day before explains."""
    if not last.agent or len(day) < 2:
        return None
    steps = [(b.at, max(0.0, b.restarts - a.restarts)) for a, b in pairwise(day)]
    recent = sum(count for at, count in steps if at > now - 3600)
    before = [(at, count) for at, count in steps if at <= now - 3600]
    hours = (before[-1][0] - day[0].at) / 3600 if before else 0.0
    usual = (sum(count for _, count in before) + 0.5) / max(hours, 1.0)
    if recent < RESTARTS_AT_LEAST or _at_least(recent, usual) > RARE:
        return None
    sentence = f"{last.agent} restarted {recent:.0f} times within the last hour, {usual:.1f} are usual for it"
    return Forecast(
        agent=last.agent, machine=last.machine, quantity="restarts", now=recent, limit=RESTARTS_AT_LEAST, per_hour=recent,
        at=now, score=-math.log10(max(_at_least(recent, usual), 1e-12)), sentence=sentence,
    )  # fmt: skip


def _score(slopes: Sequence[float], count: int) -> float:
    """Mann and Kendall's Z: rises less falls, by what chance alone would scatter."""
    rises = sum((slope > 0) - (slope < 0) for slope in slopes)
    scatter = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return (abs(rises) - 1) / scatter * (1 if rises > 0 else -1) if rises else 0.0


def _at_least(count: float, usual: float) -> float:
    """The chance of ``count`` or more where ``usual`` are expected (Poisson)."""
    below = sum(math.exp(-usual) * usual**k / math.factorial(k) for k in range(int(count)))
    return max(0.0, 1.0 - below)


def _what(quantity: Quantity) -> str:
    return {"memory": "memory", "health check": "the time of a health check", "request": "the time of a request"}.get(
        quantity, quantity
    )


def _amount(quantity: Quantity, value: float) -> str:
    if quantity == "memory":
        return f"{value / MIB:,.0f} MiB" if value < 10_240 * MIB else f"{value / MIB / 1024:,.1f} GiB"
    return f"{value:.3g} s"


def _span(seconds: float) -> str:
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
