"""Who is told of an incident, when, and how often: pure. Every (incident, route, stage) is told once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, time
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tandem.errors.incident import Incident, State
from tandem.errors.severity import Severity

SUSTAINED_S = 600.0
"""A critical incident nobody acknowledged for this long goes one level up (issue: P1 sustained over 10 minutes)."""

Stage = Literal["opened", "sustained", "resolved"]
HOURS = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody to tell. ``to`` is an apprise URL (``slack://…``, ``pagerduty://…``) or an http(s) address for JSON.

    It hears of incidents at least ``at`` severe. ``level`` 0 hears of them when they open; level *n* of critical ones
    that stayed unacknowledged for *n* times ten minutes, or that a flood rule escalated. ``name`` identifies the route
    in records; no credentials in it.
    """

    name: str
    to: str
    at: Severity = Severity.WARNING
    level: Annotated[int, Meta(ge=0, le=9)] = 0


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``quiet_hours`` ("22:00-07:00", local time) hold back everything but critical incidents until they end."""

    routes: tuple[Route, ...] = ()
    quiet_hours: Annotated[str, Meta(pattern=HOURS)] | None = None
    sustained_s: Annotated[float, Meta(gt=0)] = SUSTAINED_S


class Alert(Struct, frozen=True, kw_only=True):
    """What is to be sent. ``key`` is stable: the same cause has the same key whoever sends it and however often."""

    key: str
    incident: str
    route: Route
    stage: Stage
    severity: Severity
    title: str


def due(incident: Incident, told: Collection[tuple[str, str]], policy: Policy, now: float) -> list[Alert]:
    """What should be sent about ``incident`` now. ``told``: (route name, stage) already sent; ``now``: Unix seconds."""
    found = []
    for route in policy.routes:
        stage = _stage(incident, route, policy, now)
        if stage is None or (route.name, stage) in told:
            continue
        if stage == "resolved" and not any(name == route.name for name, _ in told):
            continue
        if incident.severity is not Severity.CRITICAL and is_quiet(policy.quiet_hours, now):
            continue
        found.append(
            Alert(
                key=incident.key, incident=incident.id, route=route, stage=stage, severity=incident.severity,
                title=incident.title(),
            )
        )  # fmt: skip
    return found


def _stage(incident: Incident, route: Route, policy: Policy, now: float) -> Stage | None:
    """What ``route`` should know by now; None: nothing."""
    if incident.severity.rank < route.at.rank:
        return None
    if incident.state is State.RESOLVED:
        return "resolved"
    if incident.state is not State.OPEN:
        return None
    if route.level == 0:
        return "opened"
    critical_for = now - incident.critical_since if incident.critical_since is not None else 0.0
    sustained = critical_for >= route.level * policy.sustained_s
    return "sustained" if sustained or (incident.escalated and route.level == 1) else None


def is_quiet(hours: str | None, now: float) -> bool:
    """Whether ``now`` (Unix seconds) lies within ``hours`` of this computer's time zone; they may span midnight."""
    if not hours:
        return False
    begin, end = (time.fromisoformat(part) for part in hours.split("-"))
    at = datetime.fromtimestamp(now).time()
    return begin <= at < end if begin <= end else at >= begin or at < end


def names_clash(routes: Iterable[Route]) -> str:
    """A name two routes share, which would make one of them silent; empty when there is none."""
    names: set[str] = set()
    for route in routes:
        if route.name in names:
            return route.name
        names.add(route.name)
    return ""
