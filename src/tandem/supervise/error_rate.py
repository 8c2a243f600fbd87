"""Whether a canary answers with more errors than the instance it serves beside. Pure."""

from __future__ import annotations

import math

from tandem.agent.tally import Tally

Z = 2.576
"""99 % confidence: it is asked four times a second for a minute, so 95 % would cry wolf."""

FEWEST = 3
"""Errors below which nothing is concluded."""

FEW_CALLS = 20
"""An old instance that was called less often during the trial is judged by its whole life."""


def baseline(then: Tally, now: Tally) -> Tally:
    """What the old instance did since ``then``; all it ever did where that is next to nothing."""
    since = Tally(now.calls - then.calls, now.failed - then.failed, now.reports - then.reports)
    if since.calls >= FEW_CALLS:
        return since
    return Tally(now.calls, now.failed, since.reports)


def verdict(canary: Tally, old: Tally) -> str:
    """Why the canary is worse; empty when it is not, or when nobody can tell yet.

    Worse is a share of failed calls whose confidence interval lies above that of the old instance's, so an old instance that
    was never called condemns nobody, and a fault that troubles both condemns nobody either. Reports to the error bus
    are compared as counts, since both had the same time for them.
    """
    if canary.failed >= FEWEST:
        least, _ = interval(canary.failed, canary.calls)
        _, most = interval(old.failed, old.calls)
        if least > most:
            return (
                f"answered {canary.failed} of {canary.calls} calls with an error, "
                f"the one before {old.failed} of {old.calls}"
            )
    if canary.reports >= FEWEST:
        least, _ = interval(canary.reports, canary.reports + old.reports)
        if least > 0.5:
            return f"reported {canary.reports} errors, the one before {old.reports}"
    return ""


def interval(hits: int, of: int) -> tuple[float, float]:
    """Between which shares the true one lies (Wilson's score interval, 1927); everything is possible for none of none."""
    if of <= 0:
        return 0.0, 1.0
    share, squared = hits / of, Z * Z
    middle = (share + squared / (2 * of)) / (1 + squared / of)
    reach = Z / (1 + squared / of) * math.sqrt(share * (1 - share) / of + squared / (4 * of * of))
    return max(0.0, middle - reach), min(1.0, middle + reach)
