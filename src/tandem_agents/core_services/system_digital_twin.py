"""Live model of the whole two-machine system."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from tandem.agent import Agent, Issue, action, every
from tandem.core import clock
from tandem.core.errors import InvalidArguments, NotFound, TandemError
from tandem.core.ids import AgentId
from tandem_agents.core_services.contracts import (
    AgentView,
    Directory,
    Fits,
    LoadVerdict,
    Outlook,
    PlannedLoad,
)
from tandem_agents.core_services.load_forecast import would_fit
from tandem_agents.infrastructure.contracts import MachineReading, Reading
from tandem_agents.machine import read_machine

PERIOD_S = 10
KEPT_S = 6 * 3600
UP = ("healthy", "degraded", "ok")


class SystemDigitalTwin(Agent):
    """Knows which agents are up and how busy both machines were for six hours, and says whether a planned load would fit."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        """``readers`` names an agent of each other machine that can read its load."""

        readers: tuple[str, ...] = ("AsyncProcessor@pc2",)

    settings: Settings

    async def start(self) -> None:
        self._history: dict[str, deque[MachineReading]] = {}
        self._silent: dict[str, str] = {}
        self._keep(read_machine(self.machine, self.state_dir))

    async def check(self) -> Iterable[Issue]:
        return [
            Issue(f"no reading of {machine}: {why}", fix="tandem status")
            for machine, why in self._silent.items()
        ]

    @every(seconds=PERIOD_S)
    async def look(self) -> None:
        self._keep(read_machine(self.machine, self.state_dir))
        for reader in self.settings.readers:
            machine = AgentId(reader).machine
            try:
                self._keep(await self.peer(Reading, reader).read_machine())
                self._silent.pop(machine, None)
            except TandemError as error:
                self._silent[machine] = error.message

    @action(idempotent=True)
    async def get_metrics(self) -> list[MachineReading]:
        """The newest reading of every machine."""
        return [readings[-1] for readings in self._history.values()]

    @action(idempotent=True)
    async def get_history(self, machine: str = "", seconds: float = 3600.0) -> list[MachineReading]:
        """Readings of the last ``seconds``, oldest first; at most six hours are kept."""
        since = clock.wall() - seconds
        readings = self._of(machine) if machine else [r for known in self._history.values() for r in known]
        return sorted(
            (reading for reading in readings if reading.at >= since), key=lambda reading: reading.at
        )

    @action(idempotent=True)
    async def get_all_agents(self) -> list[AgentView]:
        """Every agent with its status."""
        return await self.peer(Directory).list_agents()

    @action(idempotent=True)
    async def get_ok_agents(self) -> list[AgentView]:
        """Those that are up."""
        return [view for view in await self.get_all_agents() if view.status in UP]

    @action(idempotent=True)
    async def get_agent_info(self, name: str) -> AgentView:
        """One agent."""
        return await self.peer(Directory).get_agent_endpoint(name)

    @action(idempotent=True)
    async def simulate_load(
        self, kind: Literal["cpu", "ram"], amount: float, machine: str = "mainpc"
    ) -> LoadVerdict:
        """Would this much more fit?"""
        if amount < 0:
            raise InvalidArguments(f"amount must not be negative: {amount}")
        return would_fit(self._of(machine), kind, amount, clock.wall())

    @action(idempotent=True)
    async def what_if(self, loads: list[PlannedLoad], without: tuple[str, ...] = ()) -> Outlook:
        """What a plan would come to, with some machines switched off. Changes nothing."""
        planned: dict[tuple[str, str], float] = {}
        verdicts = []
        for load in loads:
            if load.amount < 0:
                raise InvalidArguments(f"amount must not be negative: {load.amount}")
            before = planned.get((load.machine, load.kind), 0.0)
            planned[load.machine, load.kind] = before + load.amount
            readings = self._of(load.machine)
            if load.machine in without:
                verdicts.append(LoadVerdict(fits="no", left=0.0, why=f"{load.machine} would be switched off"))
            else:
                verdicts.append(would_fit(readings, load.kind, before + load.amount, clock.wall()))
        gone = [f"{v.name}@{v.machine}" for v in await self.get_all_agents() if v.machine in without]
        found = {verdict.fits for verdict in verdicts}
        worst: Fits = "no" if "no" in found else "unknown" if "unknown" in found else "yes"
        return Outlook(fits=worst, verdicts=verdicts, gone=sorted(gone))

    def _keep(self, reading: MachineReading) -> None:
        readings = self._history.setdefault(reading.machine, deque(maxlen=KEPT_S // PERIOD_S))
        if not readings or readings[-1].at != reading.at:
            readings.append(reading)

    def _of(self, machine: str) -> list[MachineReading]:
        if machine not in self._history:
            raise NotFound(
                f"no machine called {machine} has been read", hint=f"known: {', '.join(self._history)}"
            )
        return list(self._history[machine])
