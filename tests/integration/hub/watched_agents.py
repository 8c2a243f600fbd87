"""Agents of the fleet the hub tests look at."""

from __future__ import annotations

from collections.abc import Iterable

from tandem.agent import Agent, Issue, action
from tandem.api import HealthMonitor, Hub, start_turn


class ObservabilityHub(Hub):
    """The hub itself."""


class Worker(Agent):
    """Does as it is told."""

    async def start(self) -> None:
        self.log.info("<b>ready</b> to work")

    @action(idempotent=True)
    async def work(self, fail: bool = False) -> str:
        """Work, or fail."""
        if fail:
            raise ValueError("the tool broke")
        return "done"

    @action(idempotent=True)
    async def turn(self) -> None:
        """Have a turn of its own."""
        with start_turn():
            await self.peer("Worker@west").work()

    @action(idempotent=True)
    async def worry(self, what: str) -> None:
        """Report something critical."""
        self.report_error(what, f"{what} in the workshop", "critical")


class PredictiveHealthMonitor(HealthMonitor):
    """Mends what restarts alone do not."""


class Sick(Agent):
    """Ill for as long as its state says so."""

    async def check(self) -> Iterable[Issue]:
        return [Issue("ill", blocking=True)] if (self.state_dir / "germ").exists() else []

    @action(idempotent=True)
    async def fall_ill(self) -> None:
        """A restart will not help."""
        (self.state_dir / "germ").touch()
