"""MainPC's side of timers, alarms and reminders: keeps its own book, agrees with PC2's, and rings.

PC2's TaskScheduler offers each alarm when it is due; this desk rings whatever nobody has offered two seconds
later, so a cut link delays nothing. Every ring goes through this one book, which moves an alarm from pending to
ringing exactly once, by id. A crash in between rings it again under the same id after the restart.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from tandem.core import clock
from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import TandemError
from tandem_agents.infrastructure.alarms import AlarmBook
from tandem_agents.infrastructure.contracts import Alarm, AlarmKind, Scheduling
from tandem_agents.storage import Worker
from tandem_agents.waking import Waker

GRACE_S = 2.0
EARLY_S = 0.5
"""How much earlier than our own clock PC2's may ring."""
EXCHANGE_TIMEOUT_S = 3.0
SHARE_EVERY_S = 60.0
FIRST_RETRY_S = 0.25
"""Doubled with each failure, so that a PC2 that starts beside us is found within a second and one that is gone is not
knocked at all the time."""
SETTLING_S = 3.0
"""As long as an agent waits for what it wants (docs/design.md, section 2) nothing is said to be wrong."""

Announce = Callable[[Alarm, float], Awaitable[None]]


class AlarmDesk:
    """``announce(alarm, late_s)`` makes an alarm heard; it must not fail."""

    def __init__(self, scheduler: Scheduling, announce: Announce, log: logging.Logger):
        self._scheduler, self._announce, self._log = scheduler, announce, log
        self._worker = Worker("alarms")
        self._waker = Waker()
        self._to_share = Waker()
        self._opened = clock.monotonic()
        self.away: TandemError | None = None
        """Why PC2 does not take our alarms, if it does not."""

    @property
    def trouble(self) -> TandemError | None:
        """:attr:`away`, unless both machines may only just be starting."""
        return self.away if clock.monotonic() - self._opened >= SETTLING_S else None

    async def open(self, path: Path, epoch: int = 0) -> None:
        self._book = await self._worker(AlarmBook, path, epoch)

    async def close(self) -> None:
        await self._worker(self._book.close)
        self._worker.close()

    async def add(self, alarm: Alarm) -> None:
        """Take over an alarm; on disk here when this returns, at PC2 soon after."""
        await self._worker(self._book.merge, [alarm])
        self._waker.wake()
        self._to_share.wake()

    async def cancel(self, alarm_id: str) -> Alarm | None:
        """The cancelled alarm; None when it has rung or was cancelled before."""
        cancelled = await self._worker(self._book.advance, alarm_id, "cancelled", clock.wall())
        self._to_share.wake()
        return cancelled

    async def pending(self, kind: AlarmKind | None = None) -> list[Alarm]:
        """Soonest first."""
        return [
            alarm
            for alarm in await self._worker(self._book.in_state, "pending")
            if kind in (None, alarm.kind)
        ]

    async def offered(self, alarms: list[Alarm]) -> list[Alarm]:
        """Ring what is due of ``alarms`` and return all of them as they are now."""
        await self._worker(self._book.merge, alarms)
        for alarm in alarms:
            if alarm.due <= clock.wall() + EARLY_S:
                await self._ring(alarm.id)
        known = [await self._worker(self._book.get, alarm.id) for alarm in alarms]
        return [alarm for alarm in known if alarm is not None]

    async def watch(self) -> None:
        """Ring what nobody else has rung; runs for ever."""
        for interrupted in await self._worker(self._book.in_state, "ringing"):
            await self._sound(interrupted)
        while True:
            now = clock.wall()
            grace = 0.0 if self.away else GRACE_S
            for alarm in await self.pending():
                if alarm.due + grace <= now:
                    await self._ring(alarm.id)
            next_due = await self._worker(self._book.next_due)
            await self._waker.until(None if next_due is None else next_due + grace)

    async def share(self) -> None:
        """Exchange books with PC2 after each change and every minute, sooner again while it is away; runs for ever."""
        retry = FIRST_RETRY_S
        while True:
            await self._exchange()
            retry = min(2 * retry, SHARE_EVERY_S) if self.away else FIRST_RETRY_S
            await self._to_share.until(clock.wall() + (retry if self.away else SHARE_EVERY_S))

    async def tidy(self) -> None:
        await self._worker(self._book.forget_settled, clock.wall())

    async def _exchange(self) -> None:
        try:
            with deadline_scope(Deadline.after(EXCHANGE_TIMEOUT_S)):
                theirs = await self._scheduler.merge_alarms(await self._worker(self._book.everything))
        except TandemError as error:
            if self.away is None:
                self._log.warning("alarms are kept and rung here only: %s", error)
            self.away = error
            return
        self.away = None
        if await self._worker(self._book.merge, theirs):
            self._waker.wake()

    async def _ring(self, alarm_id: str) -> None:
        ringing = await self._worker(self._book.advance, alarm_id, "ringing", clock.wall())
        if ringing is not None:
            await self._sound(ringing)

    async def _sound(self, alarm: Alarm) -> None:
        await self._announce(alarm, max(0.0, clock.wall() - alarm.due))
        await self._worker(self._book.advance, alarm.id, "rung", clock.wall())
        self._to_share.wake()
