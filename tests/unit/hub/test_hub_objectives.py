"""Promises kept and missed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tandem.core import clock
from tandem.core.ids import new_id
from tandem.hub.objectives import Standing, burning, stand
from tandem.hub.series import History, Point
from tandem.hub.turns import TurnStore
from tandem.telemetry.objectives import BURNS, DEFAULT_OBJECTIVES, WINDOWS_S, Objective, promised
from tandem.telemetry.tracing import Span, trace_of

NOW = 1_800_000_000.0


@pytest.fixture
async def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[History]:
    monkeypatch.setattr(clock, "wall", lambda: NOW)
    made = History(tmp_path / "history.db")
    await made.open()
    yield made
    await made.close()


def hours(count: float, agent: str = "A", **values: float) -> list[Point]:
    """The last ``count`` hours in points of a minute."""
    minutes = int(count * 60)
    whole = {"span_s": 60.0, "wanted_s": 60.0, "up_s": 60.0, "checks": 6.0, "passed": 6.0} | values
    return [Point(agent=agent, machine="m", at=NOW - 60 * n, **whole) for n in range(minutes)]


async def standings(history: History, turns: TurnStore | None = None) -> dict[str, Standing]:
    found = await stand(history, turns, "m", ["A", "B"], DEFAULT_OBJECTIVES)
    return {standing.objective.measure: standing for standing in found}


async def test_a_quiet_fleet_keeps_every_promise(history: History) -> None:
    """All up, all passed: nothing burns; what has not happened is unknown, not missed."""
    await history.add([*hours(7), *hours(7, agent="B")])
    found = await standings(history)
    assert [s.burning for s in found.values()] == [""] * 4
    assert found["availability"].good["1h"] == 1.0
    assert found["requests"].good["1h"] is None


async def test_an_agent_down_for_minutes_burns_the_budget(history: History) -> None:
    """Five minutes of one of two agents: a month's budget is being spent in a day, and it says by whom."""
    await history.add([*hours(7, agent="B"), *hours(7)[5:], *hours(5 / 60, up_s=0.0, passed=0.0)])
    found = await standings(history)
    assert (found["availability"].burning, found["availability"].worst) == ("critical", ["A"])
    assert found["health"].burning == ""


async def test_it_ends_soon_after_the_fault(history: History) -> None:
    """Half an hour later the short window is clean again, and the alert is over though the hour still shows it."""
    down = [point for point in hours(0.6, up_s=0.0) if point.at < NOW - 31 * 60]
    await history.add([*hours(7, agent="B"), *[p for p in hours(7) if p.at not in {d.at for d in down}], *down])
    standing = (await standings(history))["availability"]
    assert standing.good["1h"] is not None and standing.good["1h"] < 0.99
    assert standing.burning != "critical"


async def test_a_cold_start_is_no_alarm(history: History) -> None:
    """Two seconds of starting in a history of one minute are not one thirtieth of an hour."""
    await history.add([Point(agent="A", machine="m", at=NOW - 50, span_s=2, wanted_s=2, up_s=0)])
    await history.add([Point(agent="A", machine="m", at=NOW - 40 + 10 * n, span_s=10, wanted_s=10, up_s=10) for n in range(4)])
    assert (await standings(history))["availability"].burning == ""


async def test_failing_requests_and_slow_starts_count(history: History) -> None:
    """Faults among requests, and agents that took too long to be ready."""
    await history.add([*hours(2, requests=10.0, errors=4.0, start_s=99.0), *hours(2, agent="B", start_s=0.5)])
    found = await standings(history)
    assert found["requests"].good["1h"] == pytest.approx(0.6)
    assert found["requests"].burning == "critical"
    assert found["start"].good["1h"] is None, "two agents are too few to judge"


async def test_turns_are_judged_by_time_and_errors(history: History, tmp_path: Path) -> None:
    """Too slow or failed is bad; fewer than ten say nothing, and two bad ones of eleven are no reason to call anybody."""
    turns = TurnStore(tmp_path / "turns.db")
    await turns.open()
    try:
        for number in range(12):
            status = "error" if number == 9 else "ok"
            span = Span(
                trace_id=trace_of(new_id()), span_id="1" * 16, name="turn", machine="m", start=NOW - 100,
                duration_s=9.0 if number in (10, 11) else 1.0, status=status,  # type: ignore[arg-type]
            )  # fmt: skip
            await turns.take([span])
            if number == 8:
                assert (await standings(history, turns))["turns"].good["1h"] is None
            if number == 10:
                few = (await standings(history, turns))["turns"]
                assert (few.burning, few.good["1h"]) == ("", pytest.approx(9 / 11))
        told = (await standings(history, turns))["turns"]
        assert told.burning
        assert told.good["1h"] == pytest.approx(9 / 12)
    finally:
        await turns.close()


def test_both_windows_must_burn() -> None:
    """A long window alone, or a short one alone, wakes nobody."""
    objective = Objective(measure="availability", target=0.999)
    clean: dict[float, float | None] = dict.fromkeys(WINDOWS_S, 1.0)
    page = BURNS[0]
    assert burning(objective, clean) is None
    assert burning(objective, clean | {page.long_s: 0.98}) is None
    assert burning(objective, clean | {page.short_s: 0.5}) is None
    assert burning(objective, clean | {page.long_s: 0.98, page.short_s: 0.5}) == page
    assert burning(objective, dict.fromkeys(WINDOWS_S)) is None
    assert promised(objective) == "99.9% availability"
