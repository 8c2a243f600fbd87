"""Agents of the test fleet, and its hub."""

from __future__ import annotations

from tandem.agent import Agent, action
from tandem.api import IncidentHub


class Cook(Agent):
    """Raises what it is not prepared for."""

    @action
    async def burn(self, what: str) -> None:
        raise ValueError(f"burnt {what}")


class Waiter(Agent):
    """Leans on the cook."""

    @action
    async def serve(self) -> None:
        await self.peer("Cook").burn(what="soup")


class ObservabilityHub(IncidentHub):
    """The fleet's incidents."""
