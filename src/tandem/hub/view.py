"""What the JSON API and the pages of a hub are made of: one typed object, :class:`HubView`.

For whoever builds pages (``tandem.hub.web``):

- The hub serves what ``tandem.hub.web.routes:routes(view) -> list[starlette.routing.BaseRoute]`` returns, beside its own
  addresses (``tandem.hub.http``). A missing module means: no pages, only the API. Requests find the view at
  ``request.app.state.view`` too.
- ``view.picture()`` is the whole fleet now (:class:`~tandem.hub.picture.FleetPicture`); ``view.changes.listen()`` yields
  lists of :class:`~tandem.hub.changes.Change`. A browser gets the same from ``/live``: server-sent events ``picture`` (once,
  the FleetPicture) and then ``change`` (a list of Changes), all as JSON.
- Who asks is settled before a route is reached (``tandem.hub.gate``): reading takes a process of the same user on this
  computer or a session; every method but GET and HEAD takes the operator (session cookie plus header ``X-CSRF-Token``, or
  ``Authorization: Bearer``). ``request.state.principal`` is the operator, or None for a mere reader.
  ``GET /api/v1/session`` says ``{"operator": name|null}``, ``POST`` with ``{"code": …}`` begins one and tells the header's
  value, this once (`tandem hub open` asks for the code and opens ``/login#<code>``; the part behind # never leaves the
  browser by itself), ``DELETE`` ends it, with ``?everywhere=1`` all of them. ``/login`` and ``/static/*`` are open to everybody on this computer.
- All values written by others (issues, log lines, error messages) are plain text and may contain markup: escape them.
- Errors are raised as :class:`~tandem.core.errors.TandemError`; an uncaught one becomes JSON with a fitting status.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tandem.core import clock
from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import NotFound, TandemError
from tandem.core.ids import AgentId
from tandem.core.paths import MachineDirs
from tandem.errors.desk import ErrorStats, IncidentDetail, IncidentPage, IncidentView
from tandem.errors.listing import IncidentQuery
from tandem.fleet.model import Fleet
from tandem.hub.changes import Changes
from tandem.hub.contract import MONITOR, Recoveries
from tandem.hub.nodes import order
from tandem.hub.objectives import Standing
from tandem.hub.picture import AgentPicture, FleetPicture, GroupPicture, agent_picture
from tandem.hub.predict import Forecast
from tandem.hub.recovery import Attempt
from tandem.hub.series import History
from tandem.hub.siblings import (
    WORK_S,
    Answer,
    OrderAgents,
    Ping,
    Question,
    ReadJudgements,
    ReadMetrics,
    Siblings,
    TailLog,
    Verb,
)
from tandem.hub.tails import LogLine, tail
from tandem.hub.watch import FleetWatch
from tandem.security import Trail
from tandem.telemetry.waterfall import Row, TurnSummary

MAX_LINES = 2_000
MAX_ATTEMPTS = 20
PING_S = 3.0
MONITOR_S = 2.0
"""A health monitor that hangs must not cost the rest of an answer, which another hub waits :data:`~siblings.ANSWER_S` for."""


class IncidentAnswers(Protocol):
    """What a hub answers about incidents, see :class:`tandem.hub.contract.Incidents`."""

    async def list_incidents(self, all_states: bool = False, limit: int = 100) -> list[IncidentView]: ...
    async def search_incidents(self, query: IncidentQuery) -> IncidentPage: ...
    async def show_incident(self, name: str) -> IncidentDetail: ...
    async def acknowledge_incident(self, name: str, note: str = "") -> IncidentView: ...
    async def snooze_incident(self, name: str, seconds: float, note: str = "") -> IncidentView: ...
    async def resolve_incident(self, name: str, note: str = "") -> IncidentView: ...
    async def reopen_incident(self, name: str, note: str = "") -> IncidentView: ...
    async def error_stats(self, seconds: float = 86_400.0) -> ErrorStats: ...


class TurnBook(Protocol):
    """Where a hub keeps turns, see :class:`tandem.hub.turns.TurnStore`."""

    async def recent(self, limit: int = 50, search: str = "", since: float = 0.0) -> list[TurnSummary]:
        """The latest first; ``search`` matches the id's beginning, a span's name or an agent; ``since``: Unix seconds."""
        ...

    async def turn(self, name: str) -> tuple[TurnSummary, list[Row]]:
        """One turn by its id, trace id or enough of their first letters. Raises :class:`NotFound`."""
        ...


class Judgements(Protocol):
    """What follows from the measurements, see :class:`tandem.hub.contract.Measurements`."""

    async def forecasts(self) -> list[Forecast]: ...
    async def standings(self) -> list[Standing]: ...
    async def recoveries(self, agent: str = "", limit: int = 100) -> list[Attempt]: ...


class HubView:
    """The fleet as one hub sees it, and what a person may do about it."""

    def __init__(
        self,
        me: AgentId,
        fleet: Fleet,
        dirs: MachineDirs,
        watch: FleetWatch,
        changes: Changes,
        incidents: IncidentAnswers,
        turns: TurnBook,
        history: History,
        alerting: Callable[[], bool],
        peer: Callable[..., Any],
        metrics: Callable[[], Awaitable[str]],
        judgements: Judgements,
    ):
        self.me = me
        self.fleet = fleet
        self.changes = changes
        self.incidents = incidents
        self.turns = turns
        self.history = history
        """Measurements of all machines: ``await view.history.curve(machine, agent, seconds)`` gives Points for a chart."""
        self.peer = peer
        """Another agent as an object, see :meth:`tandem.agent.Agent.peer`; the front door for example."""
        self.siblings: Siblings | None = None
        self._dirs = dirs
        self._watch = watch
        self._alerting = alerting
        self._metrics = metrics
        self.judgements = judgements
        """Objectives and forecasts of this hub's machine."""
        self._needs = {identity: [*agent.needs, *agent.wants] for identity, agent in fleet.agents.items()}
        self._groups = [
            GroupPicture(name=g.name, machine=g.machine, description=g.description, agents=g.agents)
            for g in fleet.groups.values()
        ]

    def picture(self) -> FleetPicture:
        """Everything now; cheap, nothing is asked for it."""
        return FleetPicture(
            fleet=self.fleet.name,
            seen_by=str(self.me),
            at=clock.wall(),
            alerting=self._alerting(),
            front_door=self.fleet.front_door,
            machines=self._watch.pictures(),
            groups=self._groups,
            needs=self._needs,
        )

    def agent(self, name: str) -> AgentPicture:
        """One agent by ``Name@machine``, or by its bare name where that says enough. Raises :class:`NotFound`."""
        identity = self.fleet.identify(name, self.me.machine)
        found = self._watch.find(identity)
        if found is None:
            raise NotFound(f"nothing is known of {identity} yet")
        return found

    async def logs(self, name: str, lines: int = 200) -> list[LogLine]:
        """The newest lines of an agent's log (``nats@mainpc`` and such: of a server's), oldest first, from either machine.

        Raises :class:`NotFound`, and :class:`~tandem.core.errors.Unreachable` when the other machine's hub is away.
        """
        said = AgentId(name)
        identity = said if said.machine else self.fleet.identify(name, self.me.machine)
        lines = max(1, min(lines, MAX_LINES))
        question = TailLog(unit=identity.name, lines=lines)
        try:
            if identity.machine == self.me.machine:
                return (await self.answer(question)).lines
            return (await self._ask(identity.machine, question)).lines
        except NotFound:
            # An agent that has never said anything is not unknown.
            if identity in self.fleet.agents:
                return []
            raise

    async def control(self, verb: Verb, name: str, by: str) -> list[AgentPicture]:
        """Start, stop or restart an agent of any machine and wait until it is there (at most 90 s).

        ``by`` is who wanted it. Raises :class:`NotFound`, :class:`~tandem.core.errors.Unreachable`,
        :class:`~tandem.core.errors.Unavailable` when the node refuses.
        """
        identity = self.fleet.identify(name, self.me.machine)
        question = OrderAgents(verb=verb, agents=[str(identity)], by=by)
        if identity.machine == self.me.machine:
            return (await self.answer(question)).agents
        # Work may take long; that nobody is there to do it is known at once.
        await self._ask(identity.machine, Ping(), PING_S)
        return (await self._ask(identity.machine, question, WORK_S)).agents

    async def answer(self, question: Question) -> Answer:
        """What the hub of another machine wants of this one."""
        match question:
            case Ping():
                return Answer()
            case ReadMetrics():
                return Answer(text=zlib.compress((await self._metrics()).encode(), 1))
            case ReadJudgements():
                attempts, fault = await self._attempts()
                return Answer(
                    standings=await self.judgements.standings(),
                    forecasts=await self.judgements.forecasts(),
                    attempts=attempts,
                    attempts_fault=fault,
                )
            case TailLog(unit=unit, lines=lines):
                return Answer(lines=await asyncio.to_thread(tail, self._dirs, unit, min(lines, MAX_LINES)))
            case OrderAgents(verb=verb, agents=agents, by=by):
                Trail(self._dirs.trail).record(f"{verb} ordered", by=by, subject=", ".join(agents))
                views = await order(self._dirs, self.me.machine, verb, agents)
                return Answer(agents=[agent_picture(view) for view in views])

    async def judged(self, machine: str) -> Answer:
        """How ``machine`` keeps what is promised, what its hub foresees and what it tried.

        Raises :class:`NotFound`, and :class:`~tandem.core.errors.Unreachable` when the other machine's hub is away.
        """
        question = ReadJudgements()
        return await (self.answer(question) if machine == self.me.machine else self._ask(machine, question))

    async def metrics(self, machine: str = "") -> str:
        """Prometheus text of a machine (ours, when empty) and all its agents.

        Raises :class:`NotFound`, and :class:`~tandem.core.errors.Unreachable` when the other machine's hub is away.
        """
        if machine in ("", self.me.machine):
            return await self._metrics()
        return zlib.decompress((await self._ask(machine, ReadMetrics())).text).decode()

    async def _attempts(self) -> tuple[list[Attempt], str]:
        """What was tried for agents of this machine, by its health monitor or by its hub; and why that is not known."""
        own = await self.judgements.recoveries(limit=MAX_ATTEMPTS)
        monitor = AgentId.of(MONITOR, self.me.machine)
        if monitor not in self.fleet.agents:
            return own, ""
        try:
            with deadline_scope(Deadline.after(MONITOR_S)):
                told: list[Attempt] = await self.peer(Recoveries, str(monitor)).recoveries(limit=MAX_ATTEMPTS)
        except TandemError as error:
            return own, error.message
        return sorted([*own, *told], key=lambda attempt: -attempt.at)[:MAX_ATTEMPTS], ""

    async def _ask(self, machine: str, question: Question, limit_s: float = 5.0) -> Answer:
        if self.siblings is None:
            raise NotFound(f"machine {machine!r} has no hub")
        return await self.siblings.ask(machine, question, limit_s)
