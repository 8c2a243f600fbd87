"""Looks after the agents of one machine: tells of faults before they happen, tries what may help, remembers what did."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from tandem.core import clock
from tandem.core.errors import NotFound, TandemError, Unavailable
from tandem.core.ids import AgentId
from tandem.core.paths import MachineDirs
from tandem.errors.report import ABOUT
from tandem.fleet.model import Fleet
from tandem.hub.nodes import ask_status, mend, order
from tandem.hub.picture import AgentPicture, agent_picture
from tandem.hub.predict import Forecast
from tandem.hub.recovery import (
    SERVING,
    TROUBLED,
    Attempt,
    Budget,
    Surroundings,
    Tier,
    exhausted,
    next_attempt,
    reason_for,
    targets,
    trouble_of,
)
from tandem.hub.series import HOUR_S
from tandem.hub.shelf import Shelf

LOOK_S = 5.0
FORESEE_S = 60.0
TOLD_AGAIN_S = 600.0
"""A forecast that still holds is told again before its incident would resolve itself."""

KEPT_S = 90 * 86_400.0
_SCHEMA = "CREATE TABLE IF NOT EXISTS attempts (at REAL NOT NULL, agent TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (at, agent))"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Attempt).decode


class Care(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``act: advise`` only tells. ``disposable``: agents whose state may be set aside (kept, under another name) when a
    restart does not help, because they can make it anew; ``widest``: what may be restarted at most for one agent."""

    act: Literal["recover", "advise"] = "recover"
    budget: Budget = Budget()
    disposable: tuple[str, ...] = ()
    widest: Tier = "group"
    told_again_minutes: Annotated[float, Meta(gt=0)] = TOLD_AGAIN_S / 60


class CareStatus(Struct, frozen=True, kw_only=True):
    """What is foreseen, who is in trouble (bare name to state), what was tried in the last hour, and what may still be."""

    forecasts: list[Forecast]
    troubled: dict[str, str]
    attempts: list[Attempt]
    attempts_left: int


class Caretaker:
    """Between :meth:`open` and :meth:`close`. ``forecasts`` are asked for what will break, ``report`` is
    :meth:`tandem.agent.Agent.report_error`; ``me`` is who cares, and is left alone."""

    def __init__(
        self,
        me: AgentId,
        fleet: Fleet,
        dirs: MachineDirs,
        care: Care,
        shelf: Path,
        forecasts: Callable[[], Awaitable[list[Forecast]]],
        report: Callable[..., Any],
        log: logging.Logger,
    ):
        self.blind = ""
        """Why nothing is foreseen or seen; empty when all is well."""
        self._me = me
        self._dirs = dirs
        self._care = care
        self._around = surroundings(fleet, me.machine, care.disposable)
        self._shelf = Shelf(shelf, _SCHEMA)
        self._ask_forecasts = forecasts
        self._report = report
        self._log = log
        self._attempts: list[Attempt] = []
        self._since: dict[str, tuple[str, float]] = {}
        self._forecasts: list[Forecast] = []
        self._told: dict[tuple[str, str], tuple[float, float]] = {}
        self._agents: list[AgentPicture] = []

    async def open(self) -> None:
        await self._shelf.open()
        self._attempts = await self._shelf.run(_read)

    async def close(self) -> None:
        await self._shelf.close()

    async def foresee(self) -> None:
        """Ask what is foreseen, and tell of it before it happens."""
        try:
            self._forecasts, self.blind = await self._ask_forecasts(), ""
        except TandemError as error:
            self._forecasts, self.blind = [], error.message
        now = clock.wall()
        for forecast in self._forecasts:
            if self._is_news(forecast, now):
                self._told[forecast.agent, forecast.quantity] = (now, forecast.now)
                context = {"quantity": forecast.quantity, "at": forecast.at, "score": forecast.score, **self._about(forecast.agent)}
                self._report(f"FaultForeseen:{forecast.quantity}", forecast.sentence, "warning", context)

    async def look_after(self) -> None:
        """See who is in trouble, judge what was tried, and try the next thing."""
        try:
            status = await ask_status(self._dirs, self._me.machine)
        except TandemError as error:
            self.blind = error.message
            return
        now = clock.wall()
        self._agents = [agent_picture(view) for view in status.agents]
        self._around = replace(self._around, serving=frozenset(a.name for a in self._agents if a.state in SERVING))
        for agent in self._agents:
            trouble, _ = self._since.get(agent.name, ("", 0.0))
            if trouble != trouble_of(agent):
                self._since[agent.name] = (trouble_of(agent), now)
            await self._judge(agent, now)
            _, since = self._since.get(agent.name, ("", now))
            reason = reason_for(agent, since, self._forecasts, now, self._care.budget)
            if reason and self._care.act == "recover" and agent.name != self._me.name and not status.busy:
                await self._try(agent, reason, now)

    def status(self) -> CareStatus:
        recent = [attempt for attempt in self._attempts if clock.wall() - attempt.at < 3600]
        return CareStatus(
            forecasts=self._forecasts,
            troubled={agent.name: agent.state for agent in self._agents if agent.state in TROUBLED},
            attempts=recent,
            attempts_left=max(0, self._care.budget.per_hour - len(recent)),
        )

    def recoveries(self, agent: str = "", limit: int = 100) -> list[Attempt]:
        """What was tried and whether it helped, the latest first; of one agent (bare name) or of all, for 90 days."""
        found = [attempt for attempt in reversed(self._attempts) if agent in ("", attempt.agent)]
        return found[: max(0, limit)]

    async def recover(self, name: str, tier: Tier) -> Attempt:
        """Try one tier for an agent (bare name) now, because a person wants it; it counts against the budget.

        Raises :class:`NotFound`, and :class:`Unavailable` for a state that may not be set aside.
        """
        agent = next((known for known in self._agents if known.name == name), None)
        if name == self._me.name:
            raise Unavailable(f"{name} does not restart itself", hint=f"tandem restart {self._me}")
        if agent is None:
            raise NotFound(f"there is no agent {name} on {self._me.machine}")
        if tier == "state" and name not in self._around.disposable:
            raise Unavailable(f"the state of {name} may not be set aside", hint="`disposable:` in the fleet file says whose may")
        attempt = Attempt(
            at=clock.wall(), agent=name, reason="asked", tier=tier, targets=targets(tier, agent, self._around)
        )
        await self._do(attempt)
        return attempt

    async def _judge(self, agent: AgentPicture, now: float) -> None:
        """Whether the last attempt for ``agent`` has helped, once it had its time."""
        index = next((n for n in range(len(self._attempts) - 1, -1, -1) if self._attempts[n].agent == agent.name), None)
        if index is None or self._attempts[index].outcome != "pending":
            return
        attempt = self._attempts[index]
        if now - attempt.at < self._care.budget.settle_s or agent.verdict in ("pending", "off"):
            return
        judged = replace(attempt, outcome="did not help" if agent.verdict == "trouble" else "helped")
        self._attempts[index] = judged
        await self._shelf.run(lambda db: _write(db, judged))
        self._log.info("%s of %s for %s: %s", judged.tier, judged.agent, judged.reason, judged.outcome)

    async def _try(self, agent: AgentPicture, reason: str, now: float) -> None:
        attempt = next_attempt(agent, reason, self._attempts, self._around, now, self._care.budget, self._care.widest)
        if attempt is not None:
            await self._do(attempt)
        elif trouble_of(agent) and exhausted(
            agent.name, self._attempts, now, self._care.budget, self._care.widest
        ):
            self._give_up(agent, now)

    async def _do(self, attempt: Attempt) -> None:
        self._attempts.append(attempt)
        # Written before it is done, so that whoever cares and dies of it does not do it for ever.
        await self._shelf.run(lambda db: _write(db, attempt))
        self._log.warning("recovering %s (%s): restart of %s", attempt.agent, attempt.reason, ", ".join(attempt.targets))
        machine = self._me.machine
        identities = [str(AgentId.of(name, machine)) for name in attempt.targets if name != self._me.name]
        try:
            if attempt.tier != "state":
                await mend(self._dirs, machine, "restart", identities)
                return
            stopped = await mend(self._dirs, machine, "stop", identities)
            if stopped.notes or not stopped.views:
                self._log.warning("%s is left as it is: the operator gave another order", attempt.agent)
                return
            try:
                self._set_aside(attempt.agent)
            except OSError as error:
                # Started again all the same: it was we who stopped it.
                self._log.error("the state of %s cannot be set aside: %s", attempt.agent, error)
            await order(self._dirs, machine, "start", identities)
        except TandemError as error:
            self._log.error("recovering %s: %s", attempt.agent, error)

    def _set_aside(self, agent: str) -> None:
        """Keep the agent's state under another name, so that nothing is lost that a person may want back."""
        state = self._dirs.agent_state(agent)
        if state.exists():
            state.rename(state.with_name(f"{state.name}.aside-{int(clock.wall())}"))

    def _give_up(self, agent: AgentPicture, now: float) -> None:
        key = (agent.name, "exhausted")
        if now - self._told.get(key, (0.0, 0.0))[0] >= HOUR_S:
            self._told[key] = (now, 0.0)
            message = f"{agent.name} is {agent.state}, and nothing that may be tried has helped"
            self._report("RecoveryExhausted", message, "critical", self._about(agent.name))

    def _is_news(self, forecast: Forecast, now: float) -> bool:
        told_at, told = self._told.get((forecast.agent, forecast.quantity), (0.0, 0.0))
        # The same restarts are within the last hour for an hour.
        known = forecast.quantity == "restarts" and forecast.now <= told
        return now - told_at >= (HOUR_S if known else self._care.told_again_minutes * 60)

    def _about(self, agent: str) -> dict[str, str]:
        """Context of a report about an agent of this machine; about the machine itself without one."""
        return {ABOUT: f"{agent}@{self._me.machine}"} if agent else {}


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
