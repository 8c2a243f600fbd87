"""The incident desk: takes reports, keeps incidents, does what operators ask, and says who is to be told.

A library without connections of its own; the observability hub gives it reports and sends what it says is due.
All its work happens on one thread, beside the caller's loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import InvalidArguments
from tandem.errors.engine import Engine, Taken
from tandem.errors.escalate import Alert, Policy, due
from tandem.errors.flood import DEFAULT_RULES, FloodRule
from tandem.errors.graph import Graph
from tandem.errors.incident import LIVE, SKEW_S, Incident, Judgement, State
from tandem.errors.listing import IncidentQuery, ordered
from tandem.errors.report import ErrorReport
from tandem.errors.severity import Severity
from tandem.errors.store import Outgoing, Store

T = TypeVar("T")

QUIET_S = 900.0
"""An incident without a further error for this long is over."""

UNTOLD = 100
"""What :meth:`IncidentDesk.untold` gives at once."""

LOOKED_AT = 5_000
"""Incidents that are over among which is searched, the latest first; live ones are all looked at."""

NEWS = 100
"""What :meth:`IncidentDesk.news` gives at once."""

MAX_NEWS = 1_000
"""Changed incidents that are remembered for :meth:`IncidentDesk.news`; of more the latest."""


class IncidentDetail(Struct, frozen=True, kw_only=True):
    """One incident with its reports that were kept by themselves, oldest first, and when whom it was told."""

    incident: Incident
    title: str
    reports: list[ErrorReport]
    alerts: dict[str, float]


class IncidentView(Struct, frozen=True, kw_only=True):
    """One incident in a list. Times are Unix seconds; ``agents`` are those hit, the cause included."""

    id: str
    key: str
    state: State
    severity: Severity
    title: str
    first: float
    last: float
    count: int
    suppressed: int
    agents: list[str]
    until: float | None
    by: str
    note: str
    escalated: str


class IncidentPage(Struct, frozen=True, kw_only=True):
    """A piece of a list. ``matching``: how many there are in all, of which ``newer`` began after the time the query gave,
    and the last at ``newest`` (Unix seconds; 0: none). ``states``: those that words and severity let through, by state;
    ``totals``: all that are kept."""

    incidents: list[IncidentView]
    matching: int
    newer: int
    newest: float
    states: dict[State, int]
    totals: dict[State, int]


class ErrorStats(Struct, frozen=True, kw_only=True):
    """Errors and incidents since ``since`` (Unix seconds)."""

    since: float
    incidents: int
    live: int
    errors: int
    suppressed: int
    by_severity: dict[str, int]
    by_agent: dict[str, int]
    by_type: dict[str, int]


class IncidentDesk:
    """Open with :meth:`open`; every method may be awaited from one loop and raises :class:`Unavailable` when the
    store cannot be used."""

    def __init__(
        self,
        path: Path,
        needs: Mapping[str, Iterable[str]],
        rules: Iterable[FloodRule] = DEFAULT_RULES,
        policy: Policy | None = None,
        quiet_s: float = QUIET_S,
    ):
        """``needs``: identity of each agent to those it leans on; ``path``: the store's file."""
        self._path = path
        self._graph = Graph(needs)
        self._rules = tuple(rules)
        self._policy = policy or Policy()
        self._quiet_s = quiet_s
        self._store: Store
        self._engine: Engine
        self._news: dict[str, None] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="incidents")

    async def open(self) -> None:
        """Open the store and go on with the incidents that are live."""
        await self._run(self._open)

    async def close(self) -> None:
        await self._run(lambda: self._store.close())
        self._thread.shutdown()

    async def take(self, reports: Iterable[ErrorReport]) -> int:
        """Count reports in incidents; when this returns it is on disk. How many were new: others are known by id."""
        batch = list(reports)
        return await self._run(lambda: self._take(batch))

    async def tick(self) -> None:
        """End what has been quiet, wake what was snoozed, forget what is old. Call it every few seconds."""
        now = clock.wall()
        await self._run(lambda: self._tick(now))

    async def due(self) -> list[tuple[Alert, Incident]]:
        """Alerts to be sent now; after sending say so by :meth:`sent`."""
        now = clock.wall()
        return await self._run(lambda: self._due(now))

    async def sent(self, alert: Alert, tell: Outgoing | None = None) -> None:
        """``alert`` has been delivered and is not due any more; ``tell`` is kept with it, see :meth:`untold`."""
        now = clock.wall()
        await self._run(lambda: self._store.note_alert(alert.incident, alert.route.name, alert.stage, now, tell))

    async def told_elsewhere(self, key: str, route: str, stage: str, at: float) -> None:
        """Another hub has sent this alert, which is therefore not due here."""
        await self._run(lambda: self._store.note_told(key, route, stage, at))

    async def incidents(self, *, all_states: bool = False, limit: int = 100) -> list[IncidentView]:
        """Live incidents, or all that are kept; the latest first."""
        states = [state for state in State if state is not State.MERGED] if all_states else list(LIVE)
        return await self._run(lambda: [view(found) for found in self._store.incidents(states, limit=limit)])

    async def search(self, query: IncidentQuery) -> IncidentPage:
        """What ``query`` asks for; incidents that are over are looked for among the latest :data:`LOOKED_AT`."""
        return await self._run(lambda: self._search(query))

    async def news(self) -> list[IncidentView]:
        """Incidents that have changed since they were last given here, at most :data:`NEWS`, the first changed first."""
        return await self._run(self._take_news)

    async def show(self, name: str) -> IncidentDetail:
        """By id, the last letters of one, or key. Raises :class:`NotFound`."""
        return await self._run(lambda: self._show(name))

    async def find(self, name: str) -> Incident:
        """The incident :meth:`show` would show. Raises :class:`NotFound`."""
        return await self._run(lambda: self._store.find(name))

    async def judge(self, judgement: Judgement, tell: Outgoing | None = None) -> IncidentView | None:
        """Do what a person decided to the incident it is about; it is on disk when this returns, together with ``tell``.

        None when this desk has not heard of it yet: it is then done as soon as the desk does. Harmless when repeated.
        Raises :class:`InvalidArguments` for a snooze without an end.
        """
        if judgement.verb == "snooze" and judgement.until is None:
            raise InvalidArguments("a snooze needs an end")
        return await self._run(lambda: self._judge(judgement, tell))

    async def untold(self) -> list[Outgoing]:
        """What other hubs have to be told, oldest first, at most :data:`UNTOLD`; on disk until :meth:`passed_on`."""
        return await self._run(lambda: self._store.untold(UNTOLD))

    async def passed_on(self, told: str) -> None:
        """The one of :meth:`untold` with this id is safe with somebody else."""
        await self._run(lambda: self._store.passed_on(told))

    async def stats(self, seconds: float) -> ErrorStats:
        """Figures of the incidents that had an error within the last ``seconds``."""
        since = clock.wall() - seconds
        return await self._run(lambda: self._stats(since))

    # ---- on the thread ----

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store = Store(self._path)
        self._reload()

    def _reload(self) -> None:
        self._engine = Engine(self._graph, self._rules, self._store.live())

    def _take(self, batch: list[ErrorReport]) -> int:
        fresh = self._store.unseen(batch)
        taken = [self._engine.take(report) for report in fresh]
        changed = _changed(taken)
        try:
            self._store.save(changed, _samples(taken), fresh)
        except BaseException:
            # What is in memory only would be counted again when the batch comes again.
            self._reload()
            raise
        self._note(changed)
        return len(fresh)

    def _tick(self, now: float) -> None:
        changed = []
        for incident in self._engine.live():
            if incident.state is State.SNOOZED and incident.until is not None and now >= incident.until:
                incident.state, incident.until = State.OPEN, None
            elif incident.state is not State.SNOOZED and now - incident.last >= self._quiet_s:
                incident.state = State.RESOLVED
                incident.by, incident.note = "", f"quiet for {self._quiet_s / 60:.0f} min"
            else:
                continue
            incident.changed = now
            changed.append(incident)
        if changed:
            self._keep(changed)
        self._judge_late_comers()
        self._store.tidy(now)

    def _judge_late_comers(self) -> None:
        """Do what was decided elsewhere before we heard what it is about."""
        for judgement in self._store.early():
            incident = self._meant(judgement)
            if incident is not None:
                self._keep([incident] if incident.judge(judgement) else [], settled=[judgement.key])

    def _due(self, now: float) -> list[tuple[Alert, Incident]]:
        if not self._policy.routes:
            return []
        # An alert that something is over is worth sending for a day.
        ended = self._store.incidents([State.RESOLVED], since=now - 86_400.0 - self._quiet_s)
        found = []
        for incident in (*self._engine.live(), *ended):
            told = self._store.alerted(incident.id).keys() | self._store.told(incident.keys, incident.first - SKEW_S)
            found += [(alert, incident) for alert in due(incident, told, self._policy, now)]
        return found

    def _show(self, name: str) -> IncidentDetail:
        incident = self._store.find(name)
        alerts = {
            f"{route} ({stage})": time for (route, stage), time in self._store.alerted(incident.id).items()
        }
        return IncidentDetail(
            incident=incident,
            title=incident.title(),
            reports=self._store.samples(incident.id),
            alerts=alerts,
        )

    def _judge(self, judgement: Judgement, tell: Outgoing | None) -> IncidentView | None:
        incident = self._meant(judgement)
        if incident is None:
            self._store.keep_early(judgement)
            return None
        if incident.judge(judgement):
            self._keep([incident], tell=tell)
        return view(incident)

    def _meant(self, judgement: Judgement) -> Incident | None:
        """The incident a decision is about, sooner a live one than one that is over."""
        known = (*self._engine.live(), *self._store.of_key(judgement.key))
        return next((incident for incident in known if incident.meant_by(judgement)), None)

    def _keep(self, incidents: list[Incident], *, settled: Iterable[str] = (), tell: Outgoing | None = None) -> None:
        try:
            self._store.save(incidents, settled=settled, tell=tell)
        except BaseException:
            self._reload()
            raise
        for incident in incidents:
            self._engine.changed(incident)
        self._note(incidents)

    def _note(self, changed: list[Incident]) -> None:
        for incident in changed:
            self._news.pop(incident.id, None)
            self._news[incident.id] = None
        for name in list(self._news)[:-MAX_NEWS]:
            del self._news[name]

    def _take_news(self) -> list[IncidentView]:
        names = list(self._news)[:NEWS]
        for name in names:
            del self._news[name]
        return [view(incident) for incident in self._named(names)]

    def _named(self, names: Iterable[str]) -> list[Incident]:
        """Incidents by their ids, in that order; without those that are forgotten."""
        names = list(names)
        found = {name: live for name in names if (live := self._engine.get(name)) is not None}
        found |= {one.id: one for one in self._store.with_ids(name for name in names if name not in found)}
        return [found[name] for name in names if name in found]

    def _search(self, query: IncidentQuery) -> IncidentPage:
        totals = self._store.counts()
        known = self._engine.live()
        if query.takes_ended or query.narrows:
            known += self._store.incidents([State.RESOLVED], limit=LOOKED_AT)
        passing = [incident for incident in known if query.matches(incident)]
        matching = [incident for incident in passing if query.of_state(incident)]
        if query.rows:
            shown = self._named(query.rows)
        else:
            shown = ordered(matching, query.order)[query.skip : query.skip + query.limit]
        return IncidentPage(
            incidents=[view(incident) for incident in shown],
            matching=len(matching),
            newer=0 if query.since is None else sum(incident.first > query.since for incident in matching),
            newest=max((incident.first for incident in matching), default=0.0),
            states=dict(Counter(incident.state for incident in passing)) if query.narrows else totals,
            totals=totals,
        )

    def _stats(self, since: float) -> ErrorStats:
        states = [state for state in State if state is not State.MERGED]
        found = self._store.incidents(states, since=since, limit=100_000)
        severities: Counter[str] = Counter()
        agents: Counter[str] = Counter()
        types: Counter[str] = Counter()
        for incident in found:
            severities[str(incident.severity)] += incident.count
            agents.update(incident.agents)
            types.update(incident.types)
        return ErrorStats(
            since=since,
            incidents=len(found),
            live=sum(incident.state in LIVE for incident in found),
            errors=sum(incident.count for incident in found),
            suppressed=sum(incident.suppressed for incident in found),
            by_severity=dict(severities),
            by_agent=dict(agents.most_common()),
            by_type=dict(types.most_common()),
        )


def view(incident: Incident) -> IncidentView:
    """``incident`` as a list shows it."""
    return IncidentView(
        id=incident.id,
        key=incident.key,
        state=incident.state,
        severity=incident.severity,
        title=incident.title(),
        first=incident.first,
        last=incident.last,
        count=incident.count,
        suppressed=incident.suppressed,
        agents=list(incident.agents),
        until=incident.until,
        by=incident.by,
        note=incident.note,
        escalated=incident.escalated,
    )


def _changed(taken: Iterable[Taken]) -> list[Incident]:
    found: dict[str, Incident] = {}
    for one in taken:
        for incident in (one.incident, *one.merged):
            found[incident.id] = incident
    return list(found.values())


def _samples(taken: Iterable[Taken]) -> list[tuple[str, ErrorReport]]:
    return [(one.incident.id, one.report) for one in taken if not one.throttled]
