"""The part of the hub that turns the fleet's error reports into incidents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated

from msgspec import Meta, Struct

from tandem.agent import Agent, Issue, action, current_principal, every
from tandem.core import clock
from tandem.core.errors import InvalidArguments, NotFound, PermissionDenied, TandemError, Unavailable
from tandem.core.ids import AgentId
from tandem.errors.desk import (
    QUIET_S,
    ErrorStats,
    IncidentDesk,
    IncidentDetail,
    IncidentPage,
    IncidentView,
)
from tandem.errors.escalate import Policy
from tandem.errors.flood import DEFAULT_RULES, FloodRule
from tandem.errors.incident import Judgement, Verb
from tandem.errors.legacy import Phase
from tandem.errors.listing import IncidentQuery
from tandem.errors.notify import send
from tandem.errors.report import ErrorReport
from tandem.errors.store import Outgoing
from tandem.hub.bridge import LegacyBridge, LegacyBus
from tandem.hub.records import AlertSent, Judged, Measured, Record, Records, outgoing
from tandem.hub.routes import with_secrets

TICK_S = 5.0
SEND_S = 1.0
RETRY_S = 5.0
MAX_SNOOZE_S = 30 * 86_400.0


class IncidentHub(Agent):
    """Counts every error of the fleet in incidents, answers for them, and tells people.

    Each hub reads all machines' errors and keeps incidents of its own; they agree by the incidents' keys.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        """``rules`` replace the default flood rules. An incident without an error for ``quiet_minutes`` is over.

        ``legacy`` is an old ZeroMQ error bus that is still in use.
        """

        rules: tuple[FloodRule, ...] = DEFAULT_RULES
        alerts: Policy = Policy()
        legacy: LegacyBus | None = None
        quiet_minutes: Annotated[float, Meta(gt=0, le=10_080)] = QUIET_S / 60

    settings: Settings

    async def start(self) -> None:
        seen = self.observe()
        self._feed = seen.errors
        self._unkept: dict[str, str] = {}
        self._unsent: dict[str, str] = {}
        self._retry_at: dict[str, float] = {}
        self._desk = IncidentDesk(
            self.state_dir / "incidents.db",
            seen.needs,
            self.settings.rules,
            with_secrets(self.settings.alerts, self.machine),
            self.settings.quiet_minutes * 60,
        )
        await self._desk.open()
        legacy = self.settings.legacy
        self._bridge = (
            None if legacy is None else LegacyBridge(legacy, self.machine, self.state_dir, seen.relay)
        )
        if self._bridge is not None:
            await self._bridge.start()
        self._records: Records | None = None
        if seen.connection is not None and seen.publisher is not None:
            me = AgentId.of(self.name, self.machine)
            self._records = Records(me, seen.connection, seen.publisher, self._desk, self._told)
            self._records.start()
        await self._feed.follow(self._count)

    async def stop(self) -> None:
        if self._records is not None:
            await self._records.close()
        if self._bridge is not None:
            await self._bridge.close()
        await self._desk.close()

    async def check(self) -> Iterable[Issue]:
        unsent = [
            Issue(f"alerts to {route} are not delivered: {why}", fix="tandem logs ObservabilityHub")
            for route, why in self._unsent.items()
        ]
        unkept = [
            Issue(f"{what} cannot be kept and wait in the stream: {why}", fix="make room on the disk, or see what is wrong with it")
            for what, why in self._unkept.items()
        ]
        return [*unkept, *unsent, *(self._records.consumer.issues() if self._records is not None else ())]

    def sends_alerts(self) -> bool:
        """Whether this hub is the one that tells people."""
        return True

    def apart(self) -> list[str]:
        """Machines whose hub cannot be heard and may send the same alerts."""
        return []

    @every(seconds=TICK_S)
    async def look_after(self) -> None:
        """End what is quiet."""
        await self._desk.tick()

    @every(seconds=SEND_S)
    async def tell_people(self) -> None:
        """Send what is due, if that is for this hub to do."""
        if not self.settings.alerts.routes or not self.sends_alerts():
            return
        for alert, incident in await self._desk.due():
            if self._retry_at.get(alert.route.name, 0.0) > clock.monotonic():
                continue
            try:
                await send(alert, incident, f"{self.name}@{self.machine}", self.apart())
            except TandemError as error:
                if self._unsent.get(alert.route.name) != error.message:
                    self.log.error("alert to %s: %s", alert.route.name, error)
                self._unsent[alert.route.name] = error.message
                self._retry_at[alert.route.name] = clock.monotonic() + RETRY_S
            else:
                self._unsent.pop(alert.route.name, None)
                told = AlertSent(key=alert.key, route=alert.route.name, stage=alert.stage, at=clock.wall())
                await self._desk.sent(alert, self._to_tell(told))
                self._wake()

    @action(idempotent=True)
    async def list_incidents(self, all_states: bool = False, limit: int = 100) -> list[IncidentView]:
        """Live incidents, or all that are kept; the latest first."""
        return await self._desk.incidents(all_states=all_states, limit=limit)

    @action(idempotent=True)
    async def search_incidents(self, query: IncidentQuery) -> IncidentPage:
        """A piece of a list, and how many there are."""
        return await self._desk.search(query)

    @action(idempotent=True)
    async def show_incident(self, name: str) -> IncidentDetail:
        """One incident with its reports."""
        return await self._desk.show(name)

    @action(idempotent=True)
    async def acknowledge_incident(self, name: str, note: str = "") -> IncidentView:
        """Somebody takes care of it: no further alerts."""
        return await self._decide(name, "ack", note)

    @action(idempotent=True)
    async def snooze_incident(self, name: str, seconds: float, note: str = "") -> IncidentView:
        """Silent for so long, then open again."""
        if not 0 < seconds <= MAX_SNOOZE_S:
            raise InvalidArguments("a snooze lasts more than nothing and at most 30 days")
        return await self._decide(name, "snooze", note, clock.wall() + seconds)

    @action(idempotent=True)
    async def resolve_incident(self, name: str, note: str = "") -> IncidentView:
        """It is over; the same error makes a new incident."""
        return await self._decide(name, "resolve", note)

    @action(idempotent=True)
    async def reopen_incident(self, name: str, note: str = "") -> IncidentView:
        """Take back what was decided."""
        return await self._decide(name, "reopen", note)

    @action(idempotent=True)
    async def error_stats(self, seconds: float = 86_400.0) -> ErrorStats:
        """Figures of the incidents with an error within the last ``seconds``."""
        return await self._desk.stats(seconds)

    @action(idempotent=True)
    async def replay_errors(self, seconds: float = 604_800.0) -> int:
        """Count reports of the last ``seconds`` that are stored in the stream and were not counted; returns how many."""
        fresh = 0
        async for reports in self._feed.stored(clock.wall() - seconds):
            fresh += await self._desk.take(reports)
        return fresh

    @action(idempotent=True)
    async def migrate_errors(self, phase: Phase) -> Phase:
        """Let the old error bus enter this phase; returns the one it was in."""
        require_operator()
        if self._bridge is None:
            raise Unavailable(
                "this hub knows no old error bus", hint="give it `legacy: {port: …}` in its settings"
            )
        before = self._bridge.phase
        await self._bridge.migrate(phase)
        return before

    async def _count(self, reports: list[ErrorReport]) -> None:
        if self._bridge is not None:
            await self._bridge.on_new(reports)
        await self._until_kept("error reports", lambda: self._desk.take(reports))

    async def _told(self, machine: str, record: Record) -> None:
        """What another hub has stored for this one."""
        await self._until_kept("records of other hubs", lambda: self._keep_record(machine, record))

    async def _keep_record(self, _machine: str, record: Record) -> None:
        match record:
            case AlertSent(key=key, route=route, stage=stage, at=at):
                await self._desk.told_elsewhere(key, route, stage, at)
            case Judged(judgement=judgement):
                await self._desk.judge(judgement)

    async def _until_kept(self, what: str, keep: Callable[[], Awaitable[object]]) -> None:
        """Keep it, however long our disk refuses: what is behind it waits in the stream, and nothing is wrong with it,
        so that it must not become a dead letter."""
        while True:
            try:
                await keep()
            except Unavailable as error:
                if what not in self._unkept:
                    self.log.error("%s cannot be kept: %s", what, error)
                self._unkept[what] = error.message
                await asyncio.sleep(RETRY_S)
            else:
                self._unkept.pop(what, None)
                return

    def _tell_hubs(self, measured: Measured) -> None:
        if self._records is not None:
            self._records.keep(measured)

    def _to_tell(self, record: Record) -> Outgoing | None:
        return None if self._records is None else outgoing(record)

    def _wake(self) -> None:
        if self._records is not None:
            self._records.wake()

    async def _decide(self, name: str, verb: Verb, note: str, until: float | None = None) -> IncidentView:
        caller = require_operator()
        incident = await self._desk.find(name)
        # Whatever the clocks say, it was decided after what the operator has seen.
        at = max(clock.wall(), incident.first, incident.changed)
        judgement = Judgement(
            key=incident.key, verb=verb, by=caller, at=at, since=incident.first, until=until, note=note[:1000],
        )  # fmt: skip
        decided = await self._desk.judge(judgement, self._to_tell(Judged(judgement=judgement)))
        if decided is None:
            raise NotFound(f"incident {name!r} was just forgotten", hint="tandem errors list")
        self._wake()
        return decided


def require_operator() -> str:
    """The operator's name; empty in a test fleet, where nobody proves who he is.

    An agent that could acknowledge or resolve incidents could hide what it does.
    """
    caller = current_principal()
    if caller is not None and caller.kind != "operator":
        raise PermissionDenied(f"only the operator may do this, not {caller.name}")
    return "" if caller is None else caller.name
