"""The observability hub of one machine: collects, keeps, shows, and lets the operator act."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import psutil
from nats.aio.msg import Msg

from tandem.agent import Issue, every
from tandem.core import clock
from tandem.core.health import HealthReport
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.core.tasks import end
from tandem.errors.desk import IncidentView
from tandem.events import TRACES, Consumer, ConsumerPolicy, Rejected
from tandem.events.streams import dead_letter_subject
from tandem.fleet.model import Fleet
from tandem.hub.changes import Changes
from tandem.hub.exposition import render
from tandem.hub.incidents import IncidentHub
from tandem.hub.lease import AlertLease
from tandem.hub.picture import MachinePicture
from tandem.hub.siblings import Beat, Siblings
from tandem.hub.turns import TurnStore
from tandem.hub.view import HubView
from tandem.hub.watch import FleetWatch
from tandem.telemetry.tracing import Span

LOOK_S = 1.0
"""How often the node is asked; ten times less often per thousand agents."""

BEAT_S = 1.0
SHOW_S = 2.0
PING_S = 5.0
TIDY_S = 600.0
SHOWN_INCIDENTS = 100

if TYPE_CHECKING:
    from tandem.hub.serving import Serving

_spans = msgspec.json.Decoder(list[Span]).decode


class Hub(IncidentHub):
    """One honest picture of all machines, by HTTP on the port the fleet file gives it (``speaks: http``)."""

    async def start(self) -> None:
        self._changes = Changes()
        await super().start()
        seen = self.observe()
        self._serving: Serving | None = None
        self._authenticate = seen.authenticate
        self._shown_incidents: dict[str, IncidentView] = {}
        self._siblings: Siblings | None = None
        self._trace_feed: Consumer | None = None
        self._loops: list[asyncio.Task[None]] = []
        self._turns = TurnStore(self.state_dir / "turns.db")
        await self._turns.open()
        if seen.fleet is None or seen.connection is None or seen.publisher is None:
            return
        me = AgentId.of(self.name, self.machine)
        dirs = Home.from_environment().machine(self.machine)
        hubs = hubs_of(seen.fleet, self.name)
        self._since = clock.wall()
        self._lease = AlertLease(self.machine, [AgentId(hub).machine for hub in hubs], clock.monotonic())
        self._watch = FleetWatch(self.machine, seen.fleet.machines, dirs, self._changes)
        self.view = HubView(
            me, seen.fleet, dirs, self._watch, self._changes, self, self._turns, self._alerting, self.peer
        )
        self._siblings = self.view.siblings = Siblings(me, hubs, seen.connection, self.view.answer, self._heard)
        seen.connection.start()
        await self._siblings.start()
        self._trace_feed = Consumer(
            seen.connection,
            seen.publisher,
            stream=TRACES.all,
            name=f"{self.name}-traces",
            subjects=[f"{TRACES.prefix}.>"],
            handler=self._keep_spans,
            dead_letter_subject=dead_letter_subject(me, TRACES.prefix),
            policy=ConsumerPolicy(window=64),
            backlog=True,
        )
        self._trace_feed.start()
        await self._look()
        self._loops = [asyncio.create_task(self._look_on(), name="look"), asyncio.create_task(self._beat_on(), name="beat")]
        await self._serve()

    async def stop(self) -> None:
        await end(*self._loops)
        if self._serving is not None:
            await self._serving.close()
        if self._siblings is not None:
            await self._siblings.close()
        if self._trace_feed is not None:
            await self._trace_feed.close()
        await self._turns.close()
        await super().stop()

    async def check(self) -> Iterable[Issue]:
        return [*await super().check(), *self._own_issues()]

    @every(seconds=TIDY_S)
    async def tidy(self) -> None:
        await self._turns.tidy()

    async def _look_on(self) -> None:
        shown_at = 0.0
        while True:
            before = self._watch.own
            await self._look()
            await self._tell_incidents()
            now = clock.monotonic()
            if now - shown_at >= SHOW_S or _moved(before, self._watch.own):
                shown_at = now
                assert self._siblings is not None
                await self._siblings.show(self._watch.own)
            await asyncio.sleep(LOOK_S * max(1.0, len(self._watch.own.agents) / 100))

    async def _look(self) -> None:
        memory = psutil.virtual_memory()
        await self._watch.look(os.cpu_count() or 1, os.getloadavg()[0], (memory.total - memory.available, memory.total))

    async def _beat_on(self) -> None:
        assert self._siblings is not None
        pinged_at = 0.0
        while True:
            await self._siblings.beat(self._alerting(), self._since)
            if clock.monotonic() - pinged_at >= PING_S:
                pinged_at = clock.monotonic()
                for machine in self._siblings.machines:
                    self._watch.linked(machine, await self._siblings.ping(machine))
            await asyncio.sleep(BEAT_S)

    def _heard(self, machine: str, said: Beat | MachinePicture) -> None:
        if isinstance(said, Beat):
            self._lease.heard(machine, said.alerting, clock.monotonic())
        else:
            self._watch.keep(said)

    def _alerting(self) -> bool:
        return self._lease.holds(clock.monotonic())

    async def _keep_spans(self, message: Msg) -> None:
        try:
            spans = _spans(message.data)
        except msgspec.MsgspecError as error:
            raise Rejected(f"not a list of spans: {error}") from error
        for summary in await self._turns.take(spans):
            self._changes.tell("turn", summary.turn, summary)

    async def _tell_incidents(self) -> None:
        """Let pages know of incidents that differ from the last look."""
        if not self._changes.listeners:
            return
        for incident in await self.list_incidents(limit=SHOWN_INCIDENTS):
            if self._shown_incidents.get(incident.id) != incident:
                self._shown_incidents[incident.id] = incident
                self._changes.tell("incident", incident.id, incident)

    async def _serve(self) -> None:
        door = self.door()
        if door is None:
            return
        try:
            from tandem.hub.gate import Gate, session_key
            from tandem.hub.http import make_app
            from tandem.hub.serving import Serving
        except ImportError as error:
            self.log.warning("no HTTP: %s; pip install 'tandem-fleet[hub]'", error)
            return
        gate = Gate(self._authenticate, session_key(self.state_dir))
        self._serving = Serving(make_app(self.view, gate, self._own_health, self._metrics_text), door)
        await self._serving.start()
        self.log.info("serving http://localhost:%d", self._serving.port)

    async def _own_health(self) -> HealthReport:
        """What any caller of ``health_check`` is told."""
        return msgspec.convert(await self.peer(f"{self.name}@{self.machine}").health_check(), HealthReport)

    async def _metrics_text(self) -> str:
        return render(self.view.picture())

    def _own_issues(self) -> Iterable[Issue]:
        if self._trace_feed is not None:
            yield from self._trace_feed.issues()


def hubs_of(fleet: Fleet, name: str) -> list[str]:
    """Identities of all observers called ``name``, in the order of the machines in the fleet file."""
    candidates = [f"{name}@{machine}" for machine in fleet.machines]
    return [identity for identity in candidates if identity in fleet.agents and fleet.agents[identity].observer]


def _moved(before: MachinePicture, after: MachinePicture) -> bool:
    """Whether anything but measurements differs."""
    return [(a.name, a.state, a.pid) for a in before.agents] != [(a.name, a.state, a.pid) for a in after.agents]
