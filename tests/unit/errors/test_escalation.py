"""Who is told of an incident, and when: by table."""

from __future__ import annotations

from datetime import datetime

import msgspec
import pytest

from tandem.errors import Severity
from tandem.errors.escalate import Policy, Route, due, is_quiet, names_clash
from tandem.errors.incident import Incident, Root, State

SLACK = Route(name="slack", to="slack://x", at=Severity.WARNING)
PAGER = Route(name="pager", to="pagerduty://x", at=Severity.CRITICAL)
BOSS = Route(name="boss", to="mailto://x", at=Severity.CRITICAL, level=1)
CHIEF = Route(name="chief", to="mailto://y", at=Severity.CRITICAL, level=2)
POLICY = Policy(routes=(SLACK, PAGER, BOSS, CHIEF))
NOON = datetime(2026, 6, 1, 12, 0).timestamp()


def incident(severity: Severity = Severity.CRITICAL, state: State = State.OPEN, **more) -> Incident:
    since = NOON if severity is Severity.CRITICAL else None
    made = Incident(
        id="i", key="agent:A@m", root=Root("died", "A@m", "ProcessDied", "exit code 1", NOON), severity=severity,
        first=NOON, last=NOON, critical_since=since,
    )  # fmt: skip
    return msgspec.structs.replace(made, state=state, **more)


def told(what: Incident, after_s: float = 0.0, sent: set[tuple[str, str]] = frozenset(), policy=POLICY):
    return [(alert.route.name, alert.stage) for alert in due(what, sent, policy, NOON + after_s)]


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (Severity.INFO, []),
        (Severity.WARNING, ["slack"]),
        (Severity.ERROR, ["slack"]),
        (Severity.CRITICAL, ["slack", "pager"]),
    ],
)
def test_severity_chooses_the_routes(severity: Severity, expected: list[str]) -> None:
    """Slack hears of warnings and worse, the pager of critical ones only."""
    assert told(incident(severity)) == [(name, "opened") for name in expected]


@pytest.mark.parametrize(
    ("after_s", "expected"),
    [(0, []), (599, []), (600, ["boss"]), (1199, ["boss"]), (1200, ["boss", "chief"])],
)
def test_sustained_critical_incidents_climb(after_s: float, expected: list[str]) -> None:
    """After ten unacknowledged minutes the next level hears of it, after twenty the one above."""
    sent = {("slack", "opened"), ("pager", "opened")}
    assert told(incident(), after_s, sent) == [(name, "sustained") for name in expected]


def test_a_broken_flood_rule_climbs_at_once() -> None:
    """An escalating rule does not wait ten minutes, and goes one level up, not two."""
    assert ("boss", "sustained") in told(incident(escalated="5 critical errors in 60 s"))
    assert ("chief", "sustained") not in told(incident(escalated="5 critical errors in 60 s"))


@pytest.mark.parametrize("state", [State.ACKNOWLEDGED, State.SNOOZED, State.MERGED])
def test_what_somebody_looks_after_is_silent(state: State) -> None:
    """Neither opened nor escalated, however long it lasts."""
    assert told(incident(state=state), 10_000) == []


def test_each_stage_once() -> None:
    """What was sent is not sent again."""
    assert told(incident(), 0, {("slack", "opened"), ("pager", "opened")}) == []


def test_the_end_is_told_to_those_who_heard_of_the_beginning() -> None:
    """A resolution goes to the routes that were told, once."""
    over = incident(state=State.RESOLVED)
    assert told(over) == []
    assert told(over, 0, {("slack", "opened")}) == [("slack", "resolved")]
    assert told(over, 0, {("slack", "opened"), ("slack", "resolved")}) == []


def test_quiet_hours_hold_back_all_but_critical() -> None:
    """A warning at night waits until morning; a critical incident does not."""
    policy = Policy(routes=(SLACK,), quiet_hours="22:00-07:00")
    night = datetime(2026, 6, 1, 23, 30).timestamp() - NOON
    morning = datetime(2026, 6, 2, 7, 0).timestamp() - NOON
    assert told(incident(Severity.WARNING), night, policy=policy) == []
    assert told(incident(Severity.WARNING), morning, policy=policy) == [("slack", "opened")]
    assert told(incident(), night, policy=policy) == [("slack", "opened")]


@pytest.mark.parametrize(
    ("hours", "clock", "quiet"),
    [
        ("22:00-07:00", "22:00", True),
        ("22:00-07:00", "03:00", True),
        ("22:00-07:00", "07:00", False),
        ("22:00-07:00", "12:00", False),
        ("12:00-13:00", "12:59", True),
        ("12:00-13:00", "13:00", False),
        (None, "03:00", False),
    ],
)
def test_quiet_hours_may_span_midnight(hours: str | None, clock: str, quiet: bool) -> None:
    """The begin is in, the end is out."""
    hour, minute = map(int, clock.split(":"))
    assert is_quiet(hours, datetime(2026, 6, 1, hour, minute).timestamp()) is quiet


def test_the_key_is_the_cause_s() -> None:
    """An alert carries the incident's stable key and its title."""
    [alert] = due(incident(Severity.WARNING), set(), POLICY, NOON)
    assert (alert.key, alert.title) == ("agent:A@m", "A@m died (exit code 1)")


@pytest.mark.parametrize("hours", ["25:00-07:00", "22-7", "night"])
def test_wrong_hours_are_refused_where_they_are_written(hours: str) -> None:
    """The settings' schema knows what hours look like."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"quiet_hours": hours}, Policy)


def test_two_routes_of_one_name_are_found() -> None:
    """Their records would hide each other."""
    assert names_clash([SLACK, PAGER, SLACK]) == "slack"
    assert names_clash([SLACK, PAGER]) == ""
