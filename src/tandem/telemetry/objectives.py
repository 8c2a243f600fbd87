"""What the fleet promises, and when breaking it is worth waking somebody: service level objectives and burn rates.

An objective of 99.9% leaves a budget of 0.1%. The burn rate says how many times faster than allowed it is being spent; a
rate of 14.4 spends 2% of a month's budget in an hour. An alert needs the rate in a long window, so that a moment is not
enough, and in a short one, so that it ends soon after the fault. Windows and rates: Google's SRE Workbook, chapter 5,
table 5-8 (https://sre.google/workbook/alerting-on-slos/).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Measure = Literal["health", "availability", "requests", "start", "turns"]


class Objective(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``target``: the part that must be good. ``limit_s``: what counts as good for ``start`` and ``turns``.

    health: health checks answered as healthy or degraded · availability: time up of time wanted · requests: answered
    without a fault of the agent's own · start: agents that were ready in time · turns: answered in time, without an error.
    """

    measure: Measure
    target: Annotated[float, Meta(gt=0, lt=1)]
    limit_s: Annotated[float, Meta(gt=0)] | None = None
    description: str = ""

    @property
    def budget(self) -> float:
        """The part that may be bad."""
        return 1.0 - self.target


DEFAULT_OBJECTIVES = (
    Objective(measure="health", target=0.99, description="health checks pass"),
    Objective(measure="availability", target=0.999, description="agents that should be up are up"),
    Objective(measure="requests", target=0.99, description="requests are answered without a fault"),
    Objective(measure="start", target=0.95, limit_s=30.0, description="agents are ready within 30 s"),
    Objective(measure="turns", target=0.95, limit_s=5.0, description="turns are answered within 5 s"),
)
"""99%+ of health checks and 99.9% of availability are the plans' own figures."""


class Burn(Struct, frozen=True, kw_only=True):
    """Alert when the rate is at least ``rate`` in both windows (seconds)."""

    rate: float
    long_s: float
    short_s: float
    severity: Literal["critical", "warning"]


HOUR_S = 3600.0
BURNS = (
    Burn(rate=14.4, long_s=HOUR_S, short_s=HOUR_S / 12, severity="critical"),
    Burn(rate=6.0, long_s=6 * HOUR_S, short_s=HOUR_S / 2, severity="critical"),
    Burn(rate=1.0, long_s=72 * HOUR_S, short_s=6 * HOUR_S, severity="warning"),
)
WINDOWS_S = tuple(sorted({window for burn in BURNS for window in (burn.long_s, burn.short_s)}))


def promised(objective: Objective) -> str:
    """The objective in one phrase: "99.9% availability"."""
    within = f" within {objective.limit_s:g} s" if objective.limit_s is not None else ""
    return f"{objective.target * 100:g}% {objective.measure}{within}"


def span_name(seconds: float) -> str:
    """5m, 1h, 3d: as Prometheus writes it."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
