"""What follows from the measurements: whether the promises are kept, and what will probably break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from tandem.core import clock
from tandem.core.ids import AgentId
from tandem.fleet.model import Fleet
from tandem.hub.objectives import Standing, stand
from tandem.hub.picture import AgentPicture, MachinePicture
from tandem.hub.predict import MIB, Forecast, foresee
from tandem.hub.series import DAY_S, HOUR_S, History
from tandem.hub.turns import TurnStore
from tandem.telemetry.objectives import Objective, promised, span_name

WINDOW_S = 3 * HOUR_S
"""How far back a trend is looked for: long enough for a leak, short enough for today's load."""

HORIZON_S = 6 * HOUR_S
FRESH_S = 30.0
POINTS = 60
DAY_POINTS = 288
TOLD_AGAIN_S = 300.0
FULL = 0.97
"""Of a machine's memory; beyond, the kernel begins to kill."""


class Judging:
    """One machine's. ``report`` is :meth:`tandem.agent.Agent.report_error`."""

    def __init__(
        self,
        fleet: Fleet,
        machine: str,
        history: History,
        turns: TurnStore,
        objectives: Iterable[Objective],
        report: Callable[..., Any],
    ):
        self.standings: list[Standing] = []
        self._agents = {agent.name: agent for agent in fleet.on(machine)}
        self._machine = machine
        self._history = history
        door = AgentId(fleet.front_door).machine if fleet.front_door else machine
        # Turns begin at the front door; judged twice they would be told twice.
        self._turns = turns if door == machine else None
        self._objectives = tuple(objectives)
        self._report = report
        self._told: dict[str, float] = {}
        self._foreseen: list[Forecast] = []
        self._foreseen_at = 0.0
        self._foreseeing = asyncio.Lock()

    async def judge(self) -> None:
        """Look at every objective, and report those whose budget burns, again while it does."""
        self.standings = await stand(self._history, self._turns, self._machine, self._agents, self._objectives)
        now = clock.wall()
        for standing in self.standings:
            measure = standing.objective.measure
            if standing.burn is None or now - self._told.get(measure, 0.0) < TOLD_AGAIN_S:
                continue
            self._told[measure] = now
            burn = standing.burn
            message = (
                f"{promised(standing.objective)} is being missed on {self._machine}: the budget is spent more than "
                f"{burn.rate:g} times too fast over {span_name(burn.long_s)}"
            )
            context = {"worst": ", ".join(standing.worst), "good": standing.good[span_name(burn.long_s)]}
            self._report(f"ObjectiveMissed:{measure}", message, burn.severity, context)

    async def forecasts(self, machine: MachinePicture) -> list[Forecast]:
        """What will probably happen within six hours, soonest first; computed anew after :data:`FRESH_S`."""
        async with self._foreseeing:
            if clock.wall() - self._foreseen_at >= FRESH_S:
                self._foreseen, self._foreseen_at = await self._foresee(machine), clock.wall()
        return self._foreseen

    async def _foresee(self, machine: MachinePicture) -> list[Forecast]:
        now = clock.wall()
        found: list[Forecast] = []
        for agent in machine.agents:
            if agent.verdict != "off":
                found += await self._forecast(agent.name, self._limit(agent, machine), now)
        found += await self._forecast("", machine.memory_total_bytes * FULL, now)
        return sorted(found, key=lambda forecast: forecast.at)

    async def _forecast(self, agent: str, limit: float | None, now: float) -> list[Forecast]:
        points = await self._history.curve(self._machine, agent, WINDOW_S, POINTS)
        day = await self._history.curve(self._machine, agent, DAY_S, DAY_POINTS)
        return await asyncio.to_thread(foresee, points, now, HORIZON_S, limit, day)

    def _limit(self, agent: AgentPicture, machine: MachinePicture) -> float | None:
        """What the fleet file allows it, else what the machine has left for it."""
        config = self._agents.get(agent.name)
        if config is not None and config.limits.memory_mb is not None:
            return float(config.limits.memory_mb * MIB)
        own = agent.figures.rss_bytes
        return None if own is None else max(0.0, machine.memory_total_bytes * FULL - machine.memory_bytes + own)
