"""The agent that acts on what the hub foresees: tells of faults before they happen, and tries what may help."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from tandem.agent import Agent, Issue, action, every
from tandem.core import clock
from tandem.core.errors import TandemError, Unavailable
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.fleet.model import Fleet
from tandem.hub.contract import HUB, Measurements
from tandem.hub.nodes import ask_status, order
from tandem.hub.picture import AgentPicture, agent_picture
from tandem.hub.predict import Forecast
from tandem.hub.recovery import (
    TROUBLED,
    Attempt,
    Budget,
    Surroundings,
    Tier,
    exhausted,
    next_attempt,
    reason_for,
)
from tandem.hub.shelf import Shelf

LOOK_S = 5.0
FORESEE_S = 60.0
TOLD_AGAIN_S = 600.0
"""A forecast that still holds is told again before its incident would resolve itself."""

KEPT_S = 90 * 86_400.0
_SCHEMA = "CREATE TABLE IF NOT EXISTS attempts (at REAL NOT NULL, agent TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (at, agent))"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Attempt).decode


class MonitorStatus(Struct, frozen=True, kw_only=True):
    """What is foreseen, who is in trouble (bare name to state), what was tried in the last hour, and what may still be."""

    forecasts: list[Forecast]
    troubled: dict[str, str]
    attempts: list[Attempt]
    attempts_left: int


class HealthMonitor(Agent):
    """Watches one machine: foretells faults from the hub's measurements and tries to mend what the supervisor did not."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        """``act: advise`` only tells. ``disposable``: agents whose state may be set aside (kept, under another name) when a
        restart does not help, because they can make it anew; ``widest``: what may be restarted at most for one agent."""

        act: Literal["recover", "advise"] = "recover"
        budget: Budget = Budget()
        disposable: tuple[str, ...] = ()
        widest: Tier = "group"
        told_again_minutes: Annotated[float, Meta(gt=0)] = TOLD_AGAIN_S / 60

    settings: Settings

    async def start(self) -> None:
        fleet = self.observe().fleet
        if fleet is None:
            raise Unavailable("the monitor needs to know the fleet")
        self._dirs = Home.from_environment().machine(self.machine)
        self._around = surroundings(fleet, self.machine, self.settings.disposable)
        self._shelf = Shelf(self.state_dir / "attempts.db", _SCHEMA)
        await self._shelf.open()
        self._attempts: list[Attempt] = await self._shelf.run(_read)
        self._since: dict[str, tuple[str, float]] = {}
        self._forecasts: list[Forecast] = []
        self._told: dict[tuple[str, str], float] = {}
        self._agents: list[AgentPicture] = []
        self._blind = ""

    async def stop(self) -> None:
        await self._shelf.close()

    async def check(self) -> Iterable[Issue]:
        return [Issue(f"nothing can be foreseen: {self._blind}", fix="tandem status")] if self._blind else []

    @every(seconds=FORESEE_S)
    async def foresee(self) -> None:
        """Ask the hub what it foresees, and tell of it before it happens."""
        try:
            self._forecasts = await self.peer(Measurements, f"{HUB}@{self.machine}").forecasts()
            self._blind = ""
        except TandemError as error:
            self._forecasts, self._blind = [], error.message
        now = clock.wall()
        for forecast in self._forecasts:
            key = (forecast.agent, forecast.quantity)
            if now - self._told.get(key, 0.0) >= self.settings.told_again_minutes * 60:
                self._told[key] = now
                context = {"agent": forecast.agent, "quantity": forecast.quantity, "at": forecast.at, "score": forecast.score}
                self.report_error(f"FaultForeseen:{forecast.quantity}", forecast.sentence, "warning", context)

    @every(seconds=LOOK_S)
    async def look_after(self) -> None:
        """See who is in trouble, judge what was tried, and try the next thing."""
        try:
            status = await ask_status(self._dirs, self.machine)
        except TandemError as error:
            self._blind = error.message
            return
        now = clock.wall()
        self._agents = [agent_picture(view) for view in status.agents]
        for agent in self._agents:
            state, _ = self._since.get(agent.name, ("", 0.0))
            if state != agent.state:
                self._since[agent.name] = (agent.state, now)
            await self._judge(agent, now)
            reason = reason_for(agent, self._since[agent.name][1], self._forecasts, now, self.settings.budget)
            if reason and self.settings.act == "recover" and agent.name != self.name:
                await self._try(agent, reason, now)

    @action(idempotent=True)
    async def get_status(self) -> MonitorStatus:
        """What is foreseen, who is in trouble, and what was done about it."""
        recent = [attempt for attempt in self._attempts if clock.wall() - attempt.at < 3600]
        return MonitorStatus(
            forecasts=self._forecasts,
            troubled={agent.name: agent.state for agent in self._agents if agent.state in TROUBLED},
            attempts=recent,
            attempts_left=max(0, self.settings.budget.per_hour - len(recent)),
        )

    @action(idempotent=True)
    async def recoveries(self, agent: str = "", limit: int = 100) -> list[Attempt]:
        """What was tried and whether it helped, the latest first; of one agent (bare name) or of all, for 90 days."""
        found = [attempt for attempt in reversed(self._attempts) if agent in ("", attempt.agent)]
        return found[: max(0, limit)]

    async def _judge(self, agent: AgentPicture, now: float) -> None:
        """Whether the last attempt for ``agent`` has helped, once it had its time."""
        index = next((n for n in range(len(self._attempts) - 1, -1, -1) if self._attempts[n].agent == agent.name), None)
        if index is None or self._attempts[index].outcome != "pending":
            return
        attempt = self._attempts[index]
        if now - attempt.at < self.settings.budget.settle_s:
            return
        judged = replace(attempt, outcome="did not help" if agent.state in TROUBLED else "helped")
        self._attempts[index] = judged
        await self._shelf.run(lambda db: _write(db, judged))
        self.log.info("%s of %s for %s: %s", judged.tier, judged.agent, judged.reason, judged.outcome)

    async def _try(self, agent: AgentPicture, reason: str, now: float) -> None:
        attempt = next_attempt(
            agent, reason, self._attempts, self._around, now, self.settings.budget, self.settings.widest
        )
        if attempt is None:
            if agent.state in TROUBLED and exhausted(
                agent.name, self._attempts, now, self.settings.budget, self.settings.widest
            ):
                self._give_up(agent, now)
            return
        self._attempts.append(attempt)
        # Written before it is done, so that a monitor that dies of it does not do it for ever.
        await self._shelf.run(lambda db: _write(db, attempt))
        self.log.warning("recovering %s (%s): restart of %s", agent.name, reason, ", ".join(attempt.targets))
        identities = [str(AgentId.of(name, self.machine)) for name in attempt.targets]
        try:
            if attempt.tier == "state":
                await order(self._dirs, self.machine, "stop", identities)
                self._set_aside(agent.name)
                await order(self._dirs, self.machine, "start", identities)
            else:
                await order(self._dirs, self.machine, "restart", identities)
        except TandemError as error:
            self.log.error("recovering %s: %s", agent.name, error)

    def _set_aside(self, agent: str) -> None:
        """Keep the agent's state under another name, so that nothing is lost that a person may want back."""
        state = self._dirs.agent_state(agent)
        if state.exists():
            state.rename(state.with_name(f"{state.name}.aside-{int(clock.wall())}"))

    def _give_up(self, agent: AgentPicture, now: float) -> None:
        key = (agent.name, "exhausted")
        if now - self._told.get(key, 0.0) >= 3600:
            self._told[key] = now
            message = f"{agent.name} is {agent.state}, and nothing that may be tried has helped"
            self.report_error("RecoveryExhausted", message, "critical", {"agent": agent.name})


def surroundings(fleet: Fleet, machine: str, disposable: Iterable[str]) -> Surroundings:
    """Who needs whom on one machine, and its groups, by bare names."""
    dependants: dict[str, list[str]] = {}
    for agent in fleet.on(machine):
        for need in agent.needs:
            dependants.setdefault(AgentId(need).name, []).append(agent.name)
    groups = {
        group.name: [AgentId(identity).name for identity in group.agents]
        for group in fleet.groups.values()
        if group.machine == machine
    }
    return Surroundings(dependants=dependants, groups=groups, disposable=frozenset(disposable))


def _read(db: sqlite3.Connection) -> list[Attempt]:
    db.execute("DELETE FROM attempts WHERE at < ?", (clock.wall() - KEPT_S,))
    return [_decode(row[0]) for row in db.execute("SELECT data FROM attempts ORDER BY at")]


def _write(db: sqlite3.Connection, attempt: Attempt) -> None:
    db.execute("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?)", (attempt.at, attempt.agent, _encode(attempt)))
