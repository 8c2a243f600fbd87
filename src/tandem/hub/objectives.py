"""Whether this machine keeps what the fleet promises, from the hub's own history; nothing else need be installed."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tandem.core import clock
from tandem.hub.series import History, Point
from tandem.hub.turns import TurnStore
from tandem.telemetry.objectives import BURNS, WINDOWS_S, Burn, Objective, span_name

FEWEST = {"requests": 20, "turns": 10, "start": 3}
"""Below so many in a window a ratio says nothing."""

FEWEST_SLOW = 3
"""So many turns must have been too slow before anybody is told: one of ten is a long question, not a broken promise."""

EXPECTED_CHECK_S = 10.0
"""One health check in so many seconds is normal; what a young history lacks counts as passed, not as unknown."""


class Standing(Struct, frozen=True, kw_only=True):
    """``good`` maps a window ("1h") to the part that was good, None where nothing happened. ``burning``: severity of the
    alert, empty when the promise is kept. ``worst`` are the agents most to blame, worst first."""

    objective: Objective
    machine: str
    good: dict[str, float | None]
    burning: str
    burn: Burn | None
    worst: list[str]

    def rate(self, window: str) -> float | None:
        """How many times faster than allowed the budget was spent in ``window`` ("1h"); None where nothing happened."""
        good = self.good.get(window)
        return None if good is None else (1.0 - good) / self.objective.budget

    @property
    def left(self) -> float | None:
        """The part of the longest window's budget that is left; below 0 when more was spent than there is."""
        rate = self.rate(span_name(WINDOWS_S[-1]))
        return None if rate is None else 1.0 - rate


async def stand(
    history: History, turns: TurnStore | None, machine: str, agents: Iterable[str], objectives: Iterable[Objective]
) -> list[Standing]:
    """How each objective stands on ``machine``, whose ``agents`` are bare names; ``turns`` where turns are judged."""
    names = set(agents)
    now = clock.wall()
    points = {
        window: [point for point in await history.totals(window, machine) if point.agent in names] for window in WINDOWS_S
    }
    found = []
    for objective in objectives:
        if objective.measure == "turns":
            if turns is None:
                continue
            tallies = {w: await turns.tally(now - w, objective.limit_s or 0.0) for w in WINDOWS_S}
            good = {w: _ratio(bad, every, FEWEST["turns"]) for w, (bad, every) in tallies.items()}
            telling = {w: good[w] if bad >= FEWEST_SLOW else None for w, (bad, _) in tallies.items()}
            worst: list[str] = []
        else:
            good = telling = {window: _good(objective, points[window], window) for window in WINDOWS_S}
            worst = _worst(objective, points[WINDOWS_S[0]])
        burn = burning(objective, telling)
        found.append(
            Standing(
                objective=objective, machine=machine, good={span_name(w): value for w, value in good.items()},
                burning="" if burn is None else burn.severity, burn=burn, worst=worst if burn else [],
            )
        )  # fmt: skip
    return found


def burning(objective: Objective, good: dict[float, float | None]) -> Burn | None:
    """The first alert both of whose windows burn fast enough."""
    for burn in BURNS:
        ratios = (good[burn.long_s], good[burn.short_s])
        if all(ratio is not None and 1.0 - ratio >= min(objective.budget * burn.rate, 1.0) for ratio in ratios):
            return burn
    return None


def _good(objective: Objective, points: list[Point], window_s: float) -> float | None:
    bad = sum(_bad(objective, point) for point in points)
    match objective.measure:
        case "health":
            return _ratio(bad, max(sum(p.checks for p in points), len(points) * window_s / EXPECTED_CHECK_S), 1)
        case "availability":
            wanted = [point for point in points if point.wanted_s]
            return _ratio(bad, max(sum(p.wanted_s for p in wanted), len(wanted) * window_s), 1)
        case "start":
            return _ratio(bad, sum(point.start_s > 0 for point in points), FEWEST["start"])
        case _:
            return _ratio(bad, sum(point.requests for point in points), FEWEST["requests"])


def _bad(objective: Objective, point: Point) -> float:
    match objective.measure:
        case "health":
            return point.checks - point.passed
        case "availability":
            return max(0.0, point.wanted_s - point.up_s)
        case "start":
            return float(point.start_s > (objective.limit_s or 0.0))
        case _:
            return point.errors


def _ratio(bad: float, every: float, fewest: float) -> float | None:
    return 1.0 - bad / every if every >= fewest else None


def _worst(objective: Objective, points: list[Point]) -> list[str]:
    blamed = sorted(((_bad(objective, point), point.agent) for point in points), reverse=True)
    return [agent for bad, agent in blamed[:3] if bad > 0]
