"""Agents of the fleet the hub tests look at."""

from __future__ import annotations

from tandem.agent import Agent, action
from tandem.api import Hub


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
    async def worry(self, what: str) -> None:
        """Report something critical."""
        self.report_error(what, f"{what} in the workshop", "critical")
