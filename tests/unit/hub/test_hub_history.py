"""Measurements on a hub's disk, and how they are made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tandem.core import clock
from tandem.hub.exposition import merge
from tandem.hub.measure import Totals, totals_of
from tandem.hub.series import DAY_S, History, Point
from tandem.telemetry.metrics import Metrics, RequestMetrics


@pytest.fixture
async def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[History]:
    monkeypatch.setattr(clock, "wall", lambda: 1_800_000_000.0)
    made = History(tmp_path / "history.db")
    await made.open()
    yield made
    await made.close()


def points(ago_s: float, count: int, agent: str = "A", **values: float) -> list[Point]:
    """One every ten seconds, the first ``ago_s`` ago."""
    start = clock.wall() - ago_s
    return [
        Point(agent=agent, machine="m", at=start + 10 * n, span_s=10, **{k: v * (n + 1) for k, v in values.items()})
        for n in range(count)
    ]


async def test_sums_means_and_maxima_survive_thinning(history: History) -> None:
    """A day later the total of requests, the mean memory and its peak are what they were."""
    made = points(3600, 360, requests=1.0, rss_bytes=10.0, rss_max_bytes=10.0)
    for at in range(0, 360, 7):
        await history.add(made[at : at + 7])
    for seconds in (3600 + 60, DAY_S, 30 * DAY_S):
        [total] = await history.totals(seconds)
        assert (total.requests, total.span_s) == (sum(range(1, 361)), 3600)
        assert total.rss_bytes == pytest.approx(10 * 361 / 2)
        assert total.rss_max_bytes == 3600
        assert sum(p.requests for p in await history.curve("m", "A", seconds)) == total.requests


async def test_a_point_counts_once_and_late_ones_are_welcome(history: History) -> None:
    """What a cut link delivers hours later, twice and out of order, is in every level once."""
    made = points(5 * 3600, 90, requests=1.0)
    await history.add(points(60, 3, requests=1.0))
    for batch in (made[60:], made[:60], made[30:70]):
        await history.add(batch)
    for seconds in (6 * 3600, 2 * DAY_S, 60 * DAY_S):
        assert sum(p.requests for p in await history.curve("m", "A", seconds)) == sum(range(1, 91)) + 6


async def test_forgetting_the_fine_leaves_the_coarse(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """After days only the coarse levels are left, complete; after months nothing."""
    await history.add(points(600, 60, requests=1.0))
    begun = clock.wall()
    for later, expected in ((10 * 3600.0, 1830), (10 * DAY_S, 1830), (100 * DAY_S, 0)):
        monkeypatch.setattr(clock, "wall", lambda later=later: begun + later)
        await history.tidy()
        # A straggler of the same quarter must not replace what its forgotten neighbours added up to.
        assert sum(p.requests for p in await history.curve("m", "A", later + 1200)) == expected


async def test_agents_do_not_mix(history: History) -> None:
    """One row each; a machine's own has no agent."""
    await history.add([*points(30, 3, requests=1.0), *points(30, 3, agent="B", requests=2.0), *points(30, 3, agent="")])
    assert [(p.agent, p.requests) for p in await history.totals(60)] == [("", 0), ("A", 6), ("B", 12)]
    assert await history.curve("other", "A", 60) == []


def test_totals_leave_the_platforms_own_calls_out() -> None:
    """Health checks are no work, refusals are answers, failures count."""
    metrics = Metrics()
    requests = RequestMetrics(metrics, "A", "m")
    for method, outcome in (("look_up", "ok"), ("look_up", "not_found"), ("look_up", "internal"), ("ping", "ok")):
        requests.observe(method, 0.5, outcome)
    metrics.computed("agent_requests_in_flight", "Now", {"agent": "A"}, lambda: 3)
    assert totals_of(metrics.render()) == Totals(requests=3, errors=1, busy_s=1.5, queue=2)
    assert totals_of("") == Totals(0, 0, 0.0, 0)


def test_equal_families_become_one() -> None:
    """Two agents' texts and the hub's own: each family is described once and holds all series."""
    texts = []
    for agent in ("A", "B"):
        metrics = Metrics()
        RequestMetrics(metrics, agent, "m").observe("go", 0.1)
        texts.append(metrics.render())
    merged = merge(texts)
    assert merged.count("# TYPE agent_requests_total counter") == 1
    assert 'agent_requests_total{agent="A"' in merged and 'agent_requests_total{agent="B"' in merged
    parser = pytest.importorskip("prometheus_client.parser")
    families = {family.name: family for family in parser.text_string_to_metric_families(merged)}
    assert len(families["agent_requests"].samples) == 2
    assert merge([]).strip() == ""
