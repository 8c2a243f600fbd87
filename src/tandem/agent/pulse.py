"""The agent's own regular signs of life: watchdog, health, and its lease on its name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import copy

from tandem.agent.notify import Notifier
from tandem.agent.runtime import Runtime
from tandem.agent.tally import Tally
from tandem.core.health import HealthReport, Status
from tandem.registry import LEASE_TTL_S

CHECK_PERIOD_S = 1.0
"""Seconds between two looks at the agent's health."""

LEASE_PERIOD_S = LEASE_TTL_S / 3
"""Seconds between two refreshes of the lease; a third of its life, so one lost refresh does no harm."""


async def report_health(runtime: Runtime, notifier: Notifier, tally: Tally) -> None:
    """Tell the supervisor once a second that the loop turns, and how the agent is and what it did whenever that changes."""
    told: HealthReport | None = None
    counted = Tally()
    while True:
        report = await runtime.health()
        if told is None or (report.status, report.issues, report.capabilities) != (told.status, told.issues, told.capabilities):
            notifier.health(report)
            told = report
        if tally != counted:
            notifier.calls(tally)
            counted = copy(tally)
        notifier.alive()
        if notifier.mend():
            told, counted = None, Tally()
            if report.status is not Status.STARTING:
                notifier.ready()
            continue
        await asyncio.sleep(CHECK_PERIOD_S)


async def keep_lease(runtime: Runtime, refresh: Callable[[HealthReport], Awaitable[None]]) -> None:
    """Refresh the lease for ever; ``refresh`` deals with an absent registry itself."""
    while True:
        await refresh(await runtime.health())
        await asyncio.sleep(LEASE_PERIOD_S)
