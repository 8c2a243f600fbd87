"""The observability hub of one machine: collects, keeps, shows, and lets the operator act."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta
from nats.aio.msg import Msg

from tandem.agent import Issue, action, every
from tandem.core import clock
from tandem.core.errors import ConfigError, Unavailable
from tandem.core.health import HealthReport
from tandem.core.ids import AgentId
from tandem.core.paths import Home, MachineDirs
from tandem.core.tasks import end
from tandem.errors.report import ErrorReport
from tandem.events import TRACES, Connection, Consumer, ConsumerPolicy, Publisher, Rejected
from tandem.events.streams import dead_letter_subject
from tandem.fleet.model import Fleet
from tandem.hub.caretaker import FORESEE_S, Care, Caretaker
from tandem.hub.caretaker import LOOK_S as CARE_S
from tandem.hub.changes import Changes
from tandem.hub.collector import Collector
from tandem.hub.exposition import Exposition
from tandem.hub.incidents import IncidentHub, require_operator
from tandem.hub.judging import Judging
from tandem.hub.lease import AlertLease
from tandem.hub.objectives import Standing
from tandem.hub.picture import AgentPicture, FleetPicture, MachinePicture
from tandem.hub.predict import Forecast
from tandem.hub.records import Measured, Record
from tandem.hub.recovery import Attempt, Tier
from tandem.hub.routes import OtlpTarget, headers_of
from tandem.hub.series import History
from tandem.hub.servers import Servers
from tandem.hub.sessions import Sessions
from tandem.hub.siblings import Beat, Siblings, Verb
from tandem.hub.turns import KEPT_S, TurnStore
from tandem.hub.view import HubView
from tandem.hub.watch import FleetWatch
from tandem.infra import valkey_access
from tandem.security import Authority
from tandem.telemetry.metrics import Metrics
from tandem.telemetry.objectives import DEFAULT_OBJECTIVES, Objective
from tandem.telemetry.tracing import Span

if TYPE_CHECKING:
    from tandem.hub.otlp import OtlpExport
    from tandem.hub.serving import Serving

BEAT_S = 1.0
PING_S = 5.0
TIDY_S = 600.0
JUDGE_S = 60.0
COUNTED_INCIDENTS = 100_000
TURN_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 30.0)

_spans = msgspec.json.Decoder(list[Span]).decode


class Hub(IncidentHub):
    """One honest picture of all machines, by HTTP on the port the fleet file gives it (``speaks: http``)."""

    class Settings(IncidentHub.Settings, frozen=True, forbid_unknown_fields=True):
        """``objectives`` replace the default ones. ``otlp``: a collector that gets this machine's spans too.
        ``turns_days``: how long turns are kept. ``care``: look after this machine's agents, too, where no
        :class:`~tandem.hub.monitor.HealthMonitor` does."""

        objectives: tuple[Objective, ...] = DEFAULT_OBJECTIVES
        otlp: OtlpTarget | None = None
        turns_days: Annotated[float, Meta(gt=0, le=365)] = KEPT_S / 86_400
        care: Care | None = None

    settings: Settings

    async def start(self) -> None:
        self._changes = Changes()
        self._counted = Metrics()
        labels = ("agent", "machine", "severity")
        self._reports = self._counted.counter("tandem_error_reports_total", "Error reports this hub has counted", labels)
        self._turn_seconds = self._counted.histogram(
            "tandem_turn_duration_seconds", "Length of turns", ("machine",), TURN_BUCKETS_S
        )
        self._turn_errors = self._counted.counter("tandem_turn_errors_total", "Turns that ended in an error", ("machine",))
        self._serving: Serving | None = None
        self._sessions: Sessions | None = None
        self._caretaker: Caretaker | None = None
        self._loops: list[asyncio.Task[None]] = []
        seen = self.observe()
        self._watching = None not in (seen.fleet, seen.connection, seen.publisher)
        self._history = History(self.state_dir / "history.db")
        if self._watching:
            # Before the other hubs' records are heard, which are kept in it.
            await self._history.open()
        await super().start()
        if seen.fleet is None or seen.connection is None or seen.publisher is None:
            return
        self._me = AgentId.of(self.name, self.machine)
        self._turns = TurnStore(self.state_dir / "turns.db", self.settings.turns_days * 86_400)
        await self._turns.open()
        dirs = Home.from_environment().machine(self.machine)
        hubs = hubs_of(seen.fleet, self.name)
        self._since = clock.wall()
        self._lease = AlertLease(self.machine, [AgentId(hub).machine for hub in hubs], clock.monotonic())
        self._watch = FleetWatch(self.machine, seen.fleet.machines, dirs, self._changes)
        self.view = HubView(
            self._me, seen.fleet, dirs, self._watch, self._changes, self, self._turns, self._history, self.sends_alerts, self.peer, self._metrics_text,
            self,
        )
        self._siblings = self.view.siblings = Siblings(self._me, hubs, seen.connection, self.view.answer, self._heard)
        servers = _servers(seen.fleet, self._me, dirs)
        self._collector = Collector(
            seen.fleet, self._watch, self._history, servers, self.peer, self._tell_hubs
        )
        self._judging = Judging(
            seen.fleet, self.machine, self._history, self._turns, self.settings.objectives, self.report_error
        )
        if self.settings.care is not None:
            self._caretaker = Caretaker(
                self._me, seen.fleet, dirs, self.settings.care, self.state_dir / "attempts.db", self.forecasts,
                self.report_error, self.log,
            )  # fmt: skip
            await self._caretaker.open()
        self._otlp = self._export_spans(seen.fleet)
        self._trace_feed = self._follow_traces(seen.connection, seen.publisher)
        await self._siblings.start()
        self._trace_feed.start()
        await self._collector.start(self._siblings.show)
        self._loops = [
            asyncio.create_task(self._beat_on(), name="hub:beat"),
            asyncio.create_task(self._ping_on(), name="hub:ping"),
        ]
        await self._serve()

    async def stop(self) -> None:
        await end(*self._loops)
        if self._serving is not None:
            await self._serving.close()
        if self._caretaker is not None:
            await self._caretaker.close()
        if self._watching:
            await self._collector.close()
            await self._siblings.close()
            await self._trace_feed.close()
            if self._otlp is not None:
                await self._otlp.close()
            await self._turns.close()
        await super().stop()
        if self._watching:
            await self._history.close()

    async def check(self) -> Iterable[Issue]:
        issues = [*await super().check()]
        if self._watching:
            if self._otlp is not None and self._otlp.failure:
                issues.append(Issue(f"spans are not exported: {self._otlp.failure}", fix="check `otlp` in the fleet file"))
            issues += [*self._collector.issues(), *self._trace_feed.issues()]
        if self._caretaker is not None and self._caretaker.blind:
            issues.append(Issue(f"nobody can be looked after: {self._caretaker.blind}", fix="tandem status"))
        return issues

    @every(seconds=FORESEE_S)
    async def foresee(self) -> None:
        """Tell of faults before they happen."""
        if self._caretaker is not None:
            await self._caretaker.foresee()

    @every(seconds=CARE_S)
    async def care(self) -> None:
        """See who is in trouble, and try what may help."""
        if self._caretaker is not None:
            await self._caretaker.look_after()

    @every(seconds=TIDY_S)
    async def tidy(self) -> None:
        """Forget what is too old."""
        if self._watching:
            await self._turns.tidy()
            await self._history.tidy()

    @every(seconds=JUDGE_S)
    async def judge(self) -> None:
        """See whether the promises are kept."""
        if self._watching:
            await self._judging.judge()

    @action(idempotent=True)
    async def picture(self) -> FleetPicture:
        """The whole fleet as this hub sees it now."""
        return self.view.picture()

    @action(idempotent=True)
    async def forecasts(self) -> list[Forecast]:
        """Faults of this machine's agents that are foreseen within the next hours; computed when asked."""
        return await self._judging.forecasts(self._watch.own)

    @action(idempotent=True)
    async def standings(self) -> list[Standing]:
        """How this machine keeps each objective, as of the last minute."""
        return self._judging.standings

    @action(idempotent=True)
    async def recoveries(self, agent: str = "", limit: int = 100) -> list[Attempt]:
        """What this hub tried for its machine's agents and whether it helped, the latest first, for 90 days."""
        return [] if self._caretaker is None else self._caretaker.recoveries(agent, limit)

    @action
    async def trigger_recovery(self, agent: str, tier: Tier = "agent") -> Attempt:
        """Try one tier for an agent (bare name) of this machine now; only the operator may."""
        require_operator()
        if self._caretaker is None:
            raise Unavailable("this hub looks after nobody", hint="`care:` in its settings, or the machine's health monitor")
        return await self._caretaker.recover(agent, tier)

    @action
    async def order_agent(self, verb: Verb, agent: str) -> list[AgentPicture]:
        """Start, stop or restart ``Name@machine`` and wait until it is there (at most 90 s); how it is then.

        Raises :class:`NotFound`, and :class:`Unreachable` when the other machine's hub is away.
        """
        operator = require_operator()
        return await self.view.control(verb, agent, operator)

    @action
    async def invite_browser(self) -> str:
        """A code for ``/login#<code>`` that signs one browser in, once, within two minutes."""
        operator = require_operator()
        return self._doors().invite(operator)

    @action(idempotent=True)
    async def end_sessions(self) -> int:
        """Sign every browser of the operator out of this hub; how many there were."""
        operator = require_operator()
        return self._doors().end_all(operator)

    def _doors(self) -> Sessions:
        if self._sessions is None:
            raise Unavailable("this hub serves no pages", hint="give it `port: 9000` and `speaks: http` in the fleet file")
        return self._sessions

    # ---- with the other hubs ----

    def sends_alerts(self) -> bool:
        return not self._watching or self._lease.holds(clock.monotonic())

    def apart(self) -> list[str]:
        return self._lease.apart(clock.monotonic()) if self._watching else []

    async def _keep_record(self, machine: str, record: Record) -> None:
        if isinstance(record, Measured):
            await self._history.add(record.points)
        else:
            await super()._keep_record(machine, record)

    def _heard(self, machine: str, said: Beat | MachinePicture) -> None:
        if isinstance(said, Beat):
            self._lease.heard(machine, said.alerting, clock.monotonic())
        else:
            self._watch.keep(said)

    async def _beat_on(self) -> None:
        while True:
            await self._siblings.beat(self.sends_alerts(), self._since)
            await self._tell_incidents()
            await asyncio.sleep(BEAT_S)

    async def _ping_on(self) -> None:
        while True:
            for machine in self._siblings.machines:
                self._watch.linked(machine, await self._siblings.ping(machine))
            await asyncio.sleep(PING_S)

    # ---- what comes by ----

    async def _count(self, reports: list[ErrorReport]) -> None:
        await super()._count(reports)
        for report in reports:
            if report.machine == self.machine:
                self._reports.labels(report.agent, report.machine, str(report.severity)).inc(report.count)

    async def _tell_incidents(self) -> None:
        """Let pages know of incidents that have changed."""
        if self._changes.listeners:
            for incident in await self._desk.news():
                self._changes.tell("incident", incident.id, incident)

    def _follow_traces(self, connection: Connection, publisher: Publisher) -> Consumer:
        return Consumer(
            connection,
            publisher,
            stream=TRACES.all,
            name=f"{self.name}-traces",
            subjects=[f"{TRACES.prefix}.>"],
            handler=self._keep_spans,
            dead_letter_subject=dead_letter_subject(self._me, TRACES.prefix),
            policy=ConsumerPolicy(window=64),
            backlog=True,
        )

    async def _keep_spans(self, message: Msg) -> None:
        try:
            spans = _spans(message.data)
        except msgspec.MsgspecError as error:
            raise Rejected(f"not a list of spans: {error}") from error
        await self._until_kept("turns", lambda: self._keep_turns(spans))
        if self._otlp is not None:
            self._otlp.take(span for span in spans if span.machine == self.machine)
        for span in spans:
            if not span.parent_id and span.machine == self.machine:
                self._turn_seconds.labels(self.machine).observe(span.duration_s)
                self._turn_errors.labels(self.machine).inc(float(span.status == "error"))

    async def _keep_turns(self, spans: list[Span]) -> None:
        for summary in await self._turns.take(spans):
            self._changes.tell("turn", summary.turn, summary)

    def _export_spans(self, fleet: Fleet) -> OtlpExport | None:
        target = self.settings.otlp
        if target is None:
            return None
        try:
            from tandem.hub.otlp import OtlpExport
        except ImportError as error:
            raise ConfigError(f"`otlp` needs OpenTelemetry: {error}", hint="pip install 'tandem-fleet[otlp]'") from None
        export = OtlpExport(target.to, headers_of(target, self.machine), fleet.name)
        export.start()
        return export

    # ---- HTTP ----

    async def _serve(self) -> None:
        door = self.door()
        if door is None:
            return
        try:
            from tandem.hub.gate import Gate
            from tandem.hub.http import make_app
            from tandem.hub.serving import Serving
        except ImportError as error:
            self.log.warning("no HTTP: %s; pip install 'tandem-fleet[hub]'", error)
            return
        seen = self.observe()
        self._sessions = Sessions(self.state_dir / "sessions.json", seen.epoch)
        gate = Gate(seen.authenticate, self._sessions, str(self._me))
        self._serving = Serving(make_app(self.view, gate, self._own_health), door)
        await self._serving.start()
        self.log.info("serving http://localhost:%d", self._serving.port)

    async def _own_health(self) -> HealthReport:
        """What any caller of ``health_check`` is told."""
        return msgspec.convert(await self.peer(self._me).health_check(), HealthReport)

    async def _metrics_text(self) -> str:
        began = clock.monotonic()
        texts = await self._collector.fresh()
        picture = self.view.picture()
        own, seen = picture.machines[0], self._collector.sampler.seen
        shown = Exposition(self.machine)
        shown.machine(picture)
        shown.agents(own, seen)
        shown.servers(own, self._collector.figures)
        shown.incidents(await self.list_incidents(limit=COUNTED_INCIDENTS))
        shown.objectives(self._judging.standings)
        shown.gpu(self.view.fleet, self._collector.devices.read())
        shown.gauge("tandem_hub_collect_seconds", "How long it took to ask all agents for this answer", clock.monotonic() - began)
        return shown.render([self._counted.render(), *texts])


def hubs_of(fleet: Fleet, name: str) -> list[str]:
    """Identities of all observers called ``name``, in the order of the machines in the fleet file."""
    candidates = [f"{name}@{machine}" for machine in fleet.machines]
    return [identity for identity in candidates if identity in fleet.agents and fleet.agents[identity].observer]


def _servers(fleet: Fleet, me: AgentId, dirs: MachineDirs) -> Servers:
    identity = Authority.open(Home.from_environment()).machine(me.machine)
    valkeys = {
        "valkey-control": valkey_access(identity, dirs, "control", me.name),
        "valkey-cache": valkey_access(identity, dirs, "cache", me.name),
    }
    return Servers(fleet.machines[me.machine].infra.monitor, valkeys)
