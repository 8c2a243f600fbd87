"""Faults foreseen, and what is tried."""

from __future__ import annotations

import logging
import math
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.fleet.model import Fleet
from tandem.hub.caretaker import Care, Caretaker
from tandem.hub.picture import AgentPicture
from tandem.hub.predict import CERTAIN, MIB, Forecast, Quantity, foresee, trend
from tandem.hub.recovery import (
    Attempt,
    Budget,
    Surroundings,
    Tier,
    exhausted,
    next_attempt,
    reason_for,
    targets,
    trouble_of,
)
from tandem.hub.series import Point

NOW = 1_000_000.0
HOUR = 3600.0


def curve(value, hours: float = 3.0, count: int = 60, **more: float) -> list[Point]:
    """Points up to now whose memory is ``value(hours since the first)`` in MiB."""
    step = hours * HOUR / count
    return [
        Point(
            agent="A", machine="m", at=NOW - (count - 1 - n) * step, span_s=step,
            rss_bytes=value(n * step / HOUR) * MIB, **more,
        )
        for n in range(count)
    ]  # fmt: skip


def test_a_leak_is_foreseen_with_its_hour() -> None:
    """100 MiB an hour from 200 towards 1,000 is told about five hours before, and explained in numbers."""
    [found] = foresee(curve(lambda h: 200 + 100 * h), NOW, 6 * HOUR, 1000 * MIB)
    assert (found.quantity, found.agent) == ("memory", "A")
    assert found.at - NOW == pytest.approx(5 * HOUR, rel=0.03)
    assert found.per_hour == pytest.approx(100 * MIB, rel=0.01)
    assert "100 MiB an hour" in found.sentence and "1,000 MiB" in found.sentence


@pytest.mark.parametrize(
    "value",
    [
        lambda h: 300.0,
        lambda h: 900 - 50 * h,
        lambda h: 300 + 200 * math.sin(h * 20),
        lambda h: 300 + (900 if 1.0 < h < 1.1 else 0),
        lambda h: 300 + 5 * h,
        lambda h: 300 + random.Random(int(h * 1000)).uniform(-100, 100),
    ],
    ids=["flat", "falling", "breathing", "one spike", "tiny growth", "noise"],
)
def test_what_only_looks_like_a_leak_is_not_told(value) -> None:
    """Nothing is foreseen from rest, release, rhythm, an outlier or noise."""
    assert foresee(curve(value), NOW, 6 * HOUR, 1000 * MIB) == []


def test_a_leak_under_noise_and_outliers_is_still_seen() -> None:
    """A quarter of wild points moves the forecast by little."""
    dice = random.Random(7)

    def value(hours: float) -> float:
        return 200 + 100 * hours + dice.uniform(-20, 20) + (500 if dice.random() < 0.15 else 0)

    [found] = foresee(curve(value), NOW, 8 * HOUR, 1000 * MIB)
    assert found.score > CERTAIN
    assert 3.5 * HOUR < found.at - NOW < 6.5 * HOUR


def test_a_restart_begins_the_series_anew() -> None:
    """Growth of the process before says nothing about the one after."""
    before = [replace(p, restarts=0.0) for p in curve(lambda h: 200 + 200 * h)]
    after = [replace(p, restarts=1.0, rss_bytes=200 * MIB) for p in before[-8:]]
    assert foresee([*before[:-8], *after], NOW, 6 * HOUR, 1000 * MIB) == []


def test_slower_and_slower_answers_are_foreseen() -> None:
    """Requests that take ever longer reach the callers' budget."""
    slow = [replace(p, requests=10.0, busy_s=10 * (0.5 + 1.0 * n / 60)) for n, p in enumerate(curve(lambda h: 100))]
    [found] = foresee(slow, NOW, 24 * HOUR, None)
    assert found.quantity == "request" and found.limit == 5.0


def test_more_restarts_than_usual_are_told() -> None:
    """Four in an hour after a quiet day are an omen; four an hour, as always, are not."""
    day = [Point(agent="A", machine="m", at=NOW - 86_400 + n * 300, restarts=0.0) for n in range(288)]
    quiet = [replace(p, restarts=max(0.0, float(n - 283))) for n, p in enumerate(day)]
    [found] = foresee([quiet[-1]], NOW, HOUR, None, quiet)
    assert found.quantity == "restarts" and "4 times" in found.sentence
    always = [replace(p, restarts=float(n // 3)) for n, p in enumerate(day)]
    assert foresee([always[-1]], NOW, HOUR, None, always) == []


def test_too_little_is_not_judged() -> None:
    """A dozen points are the least."""
    assert trend([(float(n), float(n)) for n in range(11)]) is None
    assert foresee([], NOW, HOUR, 1.0) == []


# ---- recovery ----

AROUND = Surroundings(
    dependants={"A": ["B", "C"]}, groups={"g": ["A", "B", "D"]}, disposable=frozenset({"A"}),
    serving=frozenset({"A", "B", "C", "D"}),
)
BUDGET = Budget(per_hour=10, per_agent=5, settle_s=60, patience_s=60)


def agent(state: str = "unhealthy", verdict: str = "trouble", name: str = "A", escalated: str = "") -> AgentPicture:
    return AgentPicture(name=name, machine="m", group="g", state=state, verdict=verdict, escalated=escalated)  # type: ignore[arg-type]


def test_tiers_widen_until_something_helps() -> None:
    """Agent, its state, its dependants, its group; each gets its time; then it is over."""
    past: list[Attempt] = []
    now = NOW
    seen = []
    while (attempt := next_attempt(agent(), "unhealthy", past, AROUND, now, BUDGET)) is not None:
        seen.append((attempt.tier, attempt.targets))
        assert next_attempt(agent(), "unhealthy", [*past, attempt], AROUND, now + 30, BUDGET) is None
        past.append(replace(attempt, outcome="did not help"))
        now += 61
    assert seen == [("agent", ["A"]), ("state", ["A"]), ("dependants", ["A", "B", "C"]), ("group", ["A", "B", "D"])]
    assert exhausted("A", past, now, BUDGET)


def test_state_that_cannot_be_made_anew_is_never_touched() -> None:
    """An agent that is not declared disposable keeps its state whatever happens."""
    past = [Attempt(at=NOW - 100, agent="B", reason="unhealthy", tier="agent", targets=["B"], outcome="did not help")]
    attempt = next_attempt(agent(name="B"), "unhealthy", past, AROUND, NOW, BUDGET)
    assert attempt is not None and attempt.tier == "dependants"
    narrow = next_attempt(agent(name="B"), "unhealthy", past, AROUND, NOW, BUDGET, "state")
    assert narrow is None


def test_what_helped_before_is_tried_first() -> None:
    """Yesterday only the restart of its dependants helped: today it is the first thing tried."""
    past = [Attempt(at=NOW - 86_400, agent="A", reason="unhealthy", tier="dependants", targets=[], outcome="helped")]
    attempt = next_attempt(agent(), "unhealthy", past, AROUND, NOW, BUDGET)
    assert attempt is not None and attempt.tier == "dependants"


def test_the_budget_holds_for_one_and_for_all() -> None:
    """So many attempts an hour and no more; an hour later there are new ones."""
    used = [Attempt(at=NOW - 1000 - n, agent=f"X{n}", reason="", tier="agent", targets=[]) for n in range(10)]
    assert next_attempt(agent(), "unhealthy", used, AROUND, NOW, BUDGET) is None
    assert next_attempt(agent(), "unhealthy", used, AROUND, NOW + 3600, BUDGET) is not None
    own = [Attempt(at=NOW - 1000 + n, agent="A", reason="memory", tier="agent", targets=[]) for n in range(5)]
    assert next_attempt(agent(), "unhealthy", own, AROUND, NOW, BUDGET) is None
    assert exhausted("A", own, NOW, BUDGET)


@pytest.mark.parametrize(
    ("state", "verdict", "escalated", "trouble"),
    [
        ("unhealthy", "trouble", "", "unhealthy"),
        ("unhealthy", "trouble", "operator", "unhealthy"),
        ("backoff", "pending", "", ""),
        ("backoff", "trouble", "group", ""),
        ("backoff", "trouble", "operator", "dying"),
        ("starting", "trouble", "operator", "dying"),
        ("starting", "pending", "", ""),
        ("waiting", "pending", "group", ""),
        ("healthy", "up", "operator", ""),
        ("failed", "trouble", "", ""),
        ("stopped", "off", "operator", ""),
        ("unhealthy", "off", "", ""),
        ("draining", "pending", "", ""),
    ],
)
def test_supervision_and_recovery_share_no_agent(state: str, verdict: str, escalated: str, trouble: str) -> None:
    """Who dies is supervision's until the operator is called, who lives and does not work is ours, who was stopped nobody's."""
    found = agent(state, verdict, escalated=escalated)
    assert trouble_of(found) == trouble
    assert reason_for(found, NOW - 61, [], NOW, BUDGET) == trouble
    assert reason_for(found, NOW - 59, [], NOW, BUDGET) == ""


def test_who_goes_on_dying_only_has_its_state_set_aside() -> None:
    """Supervision has restarted agent and group in vain: one attempt without its state, where that is allowed, and no more."""
    dying = agent("backoff", escalated="operator")
    attempt = next_attempt(dying, "dying", [], AROUND, NOW, BUDGET)
    assert attempt is not None and (attempt.tier, attempt.targets) == ("state", ["A"])
    past = [replace(attempt, outcome="did not help")]
    assert next_attempt(dying, "dying", past, AROUND, NOW + 61, BUDGET) is None
    assert next_attempt(agent("backoff", name="B", escalated="operator"), "dying", [], AROUND, NOW, BUDGET) is None


@pytest.mark.parametrize("tier", ["dependants", "group"])
def test_nobody_is_restarted_for_another_who_does_not_serve(tier: Tier) -> None:
    """A neighbour the operator has stopped, or that supervision has in hand, is left out of the wider tiers."""
    assert targets(tier, agent(), replace(AROUND, serving=frozenset({"A", "C"}))) == (["A", "C"] if tier == "dependants" else ["A"])


def test_memory_is_foreseen_of_those_who_serve_only() -> None:
    """A leak is no reason to restart who is just being started anew."""
    soon = Forecast(
        agent="A", machine="m", quantity="memory", now=1, limit=2, per_hour=1, at=NOW + 600, score=9, sentence=""
    )
    assert reason_for(agent("backoff", "pending"), NOW, [soon], NOW, BUDGET) == ""
    assert reason_for(agent("degraded", "up"), NOW, [soon], NOW, BUDGET) == "memory"


def test_the_operator_and_the_supervisor_come_first() -> None:
    """Who was stopped is left alone, and trouble has its patience; memory about to run out has not."""
    assert reason_for(agent(verdict="off"), NOW - 999, [], NOW, BUDGET) == ""
    assert reason_for(agent(), NOW - 59, [], NOW, BUDGET) == ""
    assert reason_for(agent(), NOW - 61, [], NOW, BUDGET) == "unhealthy"
    soon = Forecast(
        agent="A", machine="m", quantity="memory", now=1, limit=2, per_hour=1, at=NOW + 600, score=9, sentence=""
    )
    healthy = agent("healthy", "up")
    assert reason_for(healthy, NOW, [soon], NOW, BUDGET) == "memory"
    assert reason_for(healthy, NOW, [replace(soon, at=NOW + 3600)], NOW, BUDGET) == ""
    assert reason_for(healthy, NOW, [replace(soon, agent="B")], NOW, BUDGET) == ""


async def test_what_is_foreseen_is_told_again_while_it_is_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trend every ten minutes, restarts of the last hour only when there are more, and each about the agent it concerns."""
    now = NOW
    monkeypatch.setattr("tandem.core.clock.wall", lambda: now)
    memory = forecast("memory", 3.0)
    restarts = {0: 5.0, 30: 6.0}
    told: list[tuple[int, str, dict[str, object]]] = []
    count = 0.0

    async def foreseen() -> list[Forecast]:
        return [memory, forecast("restarts", count)]

    def hear(kind: str, _message: str, _severity: str, context: dict[str, object]) -> None:
        told.append((minute, kind, context))

    fleet = Fleet(name="f", machines={}, groups={}, agents={})
    dirs = Home(tmp_path).machine("m")
    monitor = AgentId("HealthMonitor@m")
    caretaker = Caretaker(monitor, fleet, dirs, Care(), tmp_path / "a.db", foreseen, hear, logging.getLogger("test"))
    for minute in range(40):
        now, count = NOW + 60 * minute, restarts.get(minute, count)
        await caretaker.foresee()
    kinds = [(at, kind) for at, kind, _ in told]
    assert [at for at, kind in kinds if kind == "FaultForeseen:memory"] == [0, 10, 20, 30]
    assert [at for at, kind in kinds if kind == "FaultForeseen:restarts"] == [0, 30]
    assert {context["about"] for _, _, context in told} == {"A@m"}


def forecast(quantity: Quantity, now: float) -> Forecast:
    return Forecast(
        agent="A", machine="m", quantity=quantity, now=now, limit=9.0, per_hour=1.0, at=NOW, score=4.0, sentence="it grows"
    )
