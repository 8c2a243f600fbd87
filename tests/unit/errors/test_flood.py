"""The flood rules of the plans, by table and in time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.errors import ErrorReport, Severity
from tandem.errors.flood import DEFAULT_RULES, FloodRule, FloodWatch

_numbers = itertools.count()


def report(
    kind: str, at: float, *, agent: str = "A", severity: Severity = Severity.ERROR, count: int = 1
) -> ErrorReport:
    return ErrorReport(
        id=str(next(_numbers)), agent=agent, machine="mainpc", type=kind, message="m", severity=severity, time=at,
        count=count,
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "count", "within"), [("ConnectionError", 10, 60), ("TimeoutError", 5, 30)])
def test_throttled_after_the_rule_s_count(kind: str, count: int, within: float) -> None:
    """The first ones pass, further ones within the window are counted only, and after a pause they pass again."""
    watch = FloodWatch()
    verdicts = [watch.judge(report(kind, n * 0.1)).throttled for n in range(count * 3)]
    assert verdicts == [False] * count + [True] * (count * 2)
    assert not watch.judge(report(kind, 1000 + within)).throttled


@pytest.mark.parametrize(
    ("kind", "severity", "count", "within"),
    [("MemoryError", Severity.ERROR, 3, 300), ("Anything", Severity.CRITICAL, 5, 60)],
)
def test_escalated_at_the_rule_s_count(kind: str, severity: Severity, count: int, within: float) -> None:
    """The last one of the count escalates, once; the next escalation takes as many again."""
    watch = FloodWatch()
    step = within / count / 2
    found = [bool(watch.judge(report(kind, n * step, severity=severity)).escalated) for n in range(count * 2)]
    assert found == ([False] * (count - 1) + [True]) * 2


def test_slow_errors_are_no_flood() -> None:
    """As many errors over a longer time break no rule."""
    watch = FloodWatch()
    for n in range(50):
        assert watch.judge(report("ConnectionError", n * 7.0)) == watch.judge(
            report("MemoryError", n * 151.0)
        )


def test_a_type_stands_for_its_family() -> None:
    """A refused connection is a connection error, and our own deadline a timeout."""
    watch = FloodWatch()
    kinds = ["ConnectionRefusedError", "Unreachable", "CircuitOpen", "BrokenPipeError"]
    throttled = [watch.judge(report(kinds[n % 4], n)).throttled for n in range(12)]
    assert throttled == [False] * 10 + [True] * 2


def test_agents_are_judged_apart_and_critical_ones_together() -> None:
    """One agent's flood does not silence another; five critical errors anywhere are worth a call."""
    watch = FloodWatch()
    for n in range(20):
        watch.judge(report("TimeoutError", n, agent="A"))
    assert not watch.judge(report("TimeoutError", 20, agent="B")).throttled
    found = [
        watch.judge(report("X", n, agent=f"A{n}", severity=Severity.CRITICAL)).escalated for n in range(5)
    ]
    assert found == ["", "", "", "", "5 critical errors in 60 s"]


def test_a_report_that_stands_for_many_counts_as_many() -> None:
    """A report with a count of ten fills a window of ten."""
    watch = FloodWatch()
    watch.judge(report("ConnectionError", 0.0, count=10))
    assert watch.judge(report("ConnectionError", 1.0)).throttled


def test_own_rules_replace_the_defaults() -> None:
    """A fleet may have rules of its own, per machine or for the whole fleet."""
    watch = FloodWatch([FloodRule(type="Slow", count=2, within_s=10, then="throttle", per="machine")])
    found = [watch.judge(report("Slow", n, agent=f"A{n}")).throttled for n in range(3)]
    assert found == [False, False, True]
    assert not any(watch.judge(report("TimeoutError", 1.0)).throttled for _ in range(50))


def test_the_defaults_are_the_plans() -> None:
    """Type or severity, count, seconds and consequence as the plans list them."""
    assert [(r.type or r.severity, r.count, r.within_s, r.then) for r in DEFAULT_RULES] == [
        ("ConnectionError", 10, 60, "throttle"),
        ("TimeoutError", 5, 30, "throttle"),
        ("MemoryError", 3, 300, "escalate"),
        ("critical", 5, 60, "escalate"),
    ]


@given(st.lists(st.floats(0, 500), max_size=60).map(sorted))
def test_throttling_agrees_with_a_count_by_hand(times: list[float]) -> None:
    """A report is throttled exactly when the window before it already holds as many as the rule allows."""
    watch = FloodWatch([FloodRule(count=4, within_s=30, then="throttle")])
    for n, at in enumerate(times):
        expected = sum(earlier > at - 30 for earlier in times[:n]) >= 4
        assert watch.judge(report("T", at)).throttled == expected
