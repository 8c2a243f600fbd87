"""A circuit breaker per peer, as a pure state table.

Five failures in a row open it; while open, calls fail at once instead of each waiting out its budget. After
sixty seconds one call may probe. A peer that answers with an error of its own is alive and counts as a success.
A new instance behind the name deserves a probe at once.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from tandem.core.errors import Unreachable

FAILURES_TO_OPEN = 5
"""Failures in a row (design 5.3)."""

OPEN_S = 60.0
"""Seconds until a probe is let through (design 5.3)."""


class CircuitOpen(Unreachable):
    """The call was not tried, because too many before it failed."""


class BreakerState(StrEnum):
    """Whether calls go through: all, none, or one to try."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class BreakerEvent(StrEnum):
    """What the breaker of a peer learns."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """A call ended without telling anything about the peer, for example withdrawn by its caller."""
    REPLACED = "replaced"
    """Another instance answers under the name now."""
    ASKED = "asked"
    """A call would like to go through."""


class Breaker(Struct, frozen=True):
    """Times are monotonic seconds; ``failures`` counts while closed, ``probe_at`` is when the next probe may go
    through while open, and while half-open when one more may, should the last never have told anything."""

    state: BreakerState = BreakerState.CLOSED
    failures: int = 0
    probe_at: float = 0.0


CLOSED = Breaker()

_S, _E = BreakerState, BreakerEvent


def _same(breaker: Breaker, now: float) -> Breaker:
    return breaker


def _close(breaker: Breaker, now: float) -> Breaker:
    return CLOSED


def _count(breaker: Breaker, now: float) -> Breaker:
    failures = breaker.failures + 1
    return _open(breaker, now) if failures >= FAILURES_TO_OPEN else Breaker(_S.CLOSED, failures)


def _open(breaker: Breaker, now: float) -> Breaker:
    return Breaker(_S.OPEN, probe_at=now + OPEN_S)


def _probe_next(breaker: Breaker, now: float) -> Breaker:
    return Breaker(_S.OPEN, probe_at=now)


def _probe_if_due(breaker: Breaker, now: float) -> Breaker:
    return Breaker(_S.HALF_OPEN, probe_at=now + OPEN_S) if now >= breaker.probe_at else breaker


TABLE: dict[tuple[BreakerState, BreakerEvent], Callable[[Breaker, float], Breaker]] = {
    (_S.CLOSED, _E.SUCCEEDED): _close,
    (_S.CLOSED, _E.FAILED): _count,
    (_S.CLOSED, _E.ABANDONED): _same,
    (_S.CLOSED, _E.REPLACED): _close,
    (_S.CLOSED, _E.ASKED): _same,
    (_S.OPEN, _E.SUCCEEDED): _close,  # a call begun before it opened was answered after all
    (_S.OPEN, _E.FAILED): _same,
    (_S.OPEN, _E.ABANDONED): _same,
    (_S.OPEN, _E.REPLACED): _probe_next,
    (_S.OPEN, _E.ASKED): _probe_if_due,
    (_S.HALF_OPEN, _E.SUCCEEDED): _close,
    (_S.HALF_OPEN, _E.FAILED): _open,
    (_S.HALF_OPEN, _E.ABANDONED): _probe_next,
    (_S.HALF_OPEN, _E.REPLACED): _probe_next,
    (_S.HALF_OPEN, _E.ASKED): _probe_if_due,
}


def advance(breaker: Breaker, event: BreakerEvent, now: float) -> Breaker:
    """The breaker after ``event``."""
    return TABLE[breaker.state, event](breaker, now)


def admit(breaker: Breaker, now: float) -> tuple[Breaker, bool]:
    """The breaker after a call asked to go through, and whether it may. While half-open, only the probe may."""
    after = advance(breaker, _E.ASKED, now)
    return after, after.state is _S.CLOSED or after is not breaker
