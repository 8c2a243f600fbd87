"""The agent that acts on what the hub foresees: tells of faults before they happen, and tries what may help."""

from __future__ import annotations

from collections.abc import Iterable

from tandem.agent import Agent, Issue, action, every
from tandem.core.errors import Unavailable
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.hub.caretaker import FORESEE_S, LOOK_S, Care, CareStatus, Caretaker
from tandem.hub.contract import HUB, Measurements
from tandem.hub.incidents import require_operator
from tandem.hub.predict import Forecast
from tandem.hub.recovery import Attempt, Tier


class HealthMonitor(Agent):
    """Watches one machine: foretells faults from the hub's measurements and tries to mend what the supervisor did not."""

    class Settings(Care, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """See :class:`~tandem.hub.caretaker.Care`."""

    settings: Settings

    async def start(self) -> None:
        fleet = self.observe().fleet
        if fleet is None:
            raise Unavailable("the monitor needs to know the fleet")
        self._caretaker = Caretaker(
            AgentId.of(self.name, self.machine), fleet, Home.from_environment().machine(self.machine), self.settings,
            self.state_dir / "attempts.db", self._forecasts, self.report_error, self.log,
        )  # fmt: skip
        await self._caretaker.open()

    async def stop(self) -> None:
        await self._caretaker.close()

    async def check(self) -> Iterable[Issue]:
        blind = self._caretaker.blind
        return [Issue(f"nothing can be foreseen: {blind}", fix="tandem status")] if blind else []

    @every(seconds=FORESEE_S)
    async def foresee(self) -> None:
        """Ask the hub what it foresees, and tell of it before it happens."""
        await self._caretaker.foresee()

    @every(seconds=LOOK_S)
    async def look_after(self) -> None:
        """See who is in trouble, judge what was tried, and try the next thing."""
        await self._caretaker.look_after()

    @action(idempotent=True)
    async def get_status(self) -> CareStatus:
        """What is foreseen, who is in trouble, and what was done about it."""
        return self._caretaker.status()

    @action(idempotent=True)
    async def recoveries(self, agent: str = "", limit: int = 100) -> list[Attempt]:
        """What was tried and whether it helped, the latest first; of one agent (bare name) or of all, for 90 days."""
        return self._caretaker.recoveries(agent, limit)

    @action
    async def trigger_recovery(self, agent: str, tier: Tier = "agent") -> Attempt:
        """Try one tier for an agent (bare name) now; only the operator may."""
        require_operator()
        return await self._caretaker.recover(agent, tier)

    async def _forecasts(self) -> list[Forecast]:
        return await self.peer(Measurements, f"{HUB}@{self.machine}").forecasts()
