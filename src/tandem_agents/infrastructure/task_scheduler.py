"""Accepts tasks and alarms for PC2 and keeps them until they are done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from tandem.agent import Agent, Issue, action, every
from tandem.core import clock
from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import InvalidArguments, TandemError
from tandem.core.ids import new_id
from tandem_agents.core_services.contracts import Ringing
from tandem_agents.infrastructure.alarms import AlarmBook
from tandem_agents.infrastructure.contracts import (
    Alarm,
    Job,
    Priority,
    Processing,
    ScheduledTask,
    TaskState,
)
from tandem_agents.infrastructure.tasks import TaskList
from tandem_agents.storage import Worker
from tandem_agents.waking import Waker

if TYPE_CHECKING:
    from collections.abc import Sequence

RETRY_AFTER_S: Sequence[float] = (2.0, 10.0, 60.0, 300.0)
RING_TIMEOUT_S = 5.0
RING_AGAIN_S = 1.0


class TaskScheduler(Agent):
    """Does things at their time: hands tasks to AsyncProcessor by priority and rings alarms on MainPC.

    Both are on disk before they are acknowledged. A task is repeated under the same id until it is done; an
    alarm is offered to MainPC until MainPC says that it has rung.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        parallel: int = 8
        task_timeout_s: float = 600.0

    settings: Settings

    async def start(self) -> None:
        self._worker = Worker("tasks")
        self._tasks = await self._worker(TaskList, self.state_dir / "tasks.db", self.epoch)
        self._alarms = await self._worker(AlarmBook, self.state_dir / "alarms.db", self.epoch)
        await self._worker(self._tasks.resume, clock.wall())
        self._task_waker, self._alarm_waker = Waker(), Waker()
        self._under_way = 0
        self._unheard = ""
        self.spawn(self._watch_tasks(), "tasks")
        self.spawn(self._watch_alarms(), "alarms")

    async def stop(self) -> None:
        await self._worker(self._tasks.close)
        await self._worker(self._alarms.close)
        self._worker.close()

    async def check(self) -> Iterable[Issue]:
        if self._unheard:
            return [
                Issue(f"an alarm is due, but MainPC does not answer: {self._unheard}", fix="tandem status")
            ]
        return ()

    @action
    async def schedule_task(
        self, kind: str, data: dict[str, str] | None = None, priority: Priority = "medium", at: float = 0.0
    ) -> ScheduledTask:
        """Have a job done now or at a time."""
        if not kind:
            raise InvalidArguments("a task needs a kind")
        now = clock.wall()
        task = ScheduledTask(id=new_id(), kind=kind, due=at or now, data=data or {}, priority=priority)
        await self._worker(self._tasks.put, task, now)
        self._task_waker.wake()
        return task

    @action(idempotent=True)
    async def get_task(self, task_id: str) -> ScheduledTask:
        """One task with its result."""
        return await self._worker(self._tasks.get, task_id)

    @action(idempotent=True)
    async def cancel_task(self, task_id: str) -> ScheduledTask:
        """Cancel a task that has not begun."""
        return await self._worker(self._tasks.cancel, task_id, clock.wall())

    @action(idempotent=True)
    async def list_tasks(self, state: TaskState | None = None, limit: int = 50) -> list[ScheduledTask]:
        """Tasks, soonest first."""
        return await self._worker(self._tasks.listed, state, limit)

    @action(idempotent=True)
    async def merge_alarms(self, alarms: list[Alarm]) -> list[Alarm]:
        """Exchange alarms with MainPC's book."""
        if await self._worker(self._alarms.merge, alarms):
            self._alarm_waker.wake()
        return await self._worker(self._alarms.everything)

    @every(hours=6)
    async def tidy(self) -> None:
        await self._worker(self._tasks.forget_finished, clock.wall())
        await self._worker(self._alarms.forget_settled, clock.wall())

    async def _watch_tasks(self) -> None:
        while True:
            free = self.settings.parallel - self._under_way
            for task in await self._worker(self._tasks.begin, clock.wall(), free):
                self._under_way += 1
                self.spawn(self._perform(task), f"task {task.id}")
            full = self._under_way >= self.settings.parallel
            await self._task_waker.until(None if full else await self._worker(self._tasks.next_due))

    async def _perform(self, task: ScheduledTask) -> None:
        try:
            await self._worker(self._tasks.put, await self._attempt(task), clock.wall())
        finally:
            self._under_way -= 1
            self._task_waker.wake()

    async def _attempt(self, task: ScheduledTask) -> ScheduledTask:
        """Have the job done once; the task as it is then."""
        job = Job(id=task.id, kind=task.kind, data=task.data, priority=task.priority)
        try:
            with deadline_scope(Deadline.after(self.settings.task_timeout_s)):
                result = await self.peer(Processing).process(job)
        except TandemError as error:
            self.log.warning("task %s (%s) failed, attempt %d: %s", task.id, task.kind, task.attempts, error)
            return _after_failure(task, error, clock.wall())
        return structs.replace(task, state="done", output=result.output, error="")

    async def _watch_alarms(self) -> None:
        while True:
            now = clock.wall()
            due = [
                alarm for alarm in await self._worker(self._alarms.in_state, "pending") if alarm.due <= now
            ]
            if due and not await self._ring(due):
                await asyncio.sleep(RING_AGAIN_S)
                continue
            await self._alarm_waker.until(await self._worker(self._alarms.next_due))

    async def _ring(self, due: list[Alarm]) -> bool:
        """Have MainPC ring them; whether it has taken them over."""
        try:
            with deadline_scope(Deadline.after(RING_TIMEOUT_S)):
                settled = await self.peer(Ringing).ring(due)
        except TandemError as error:
            self._unheard = str(error)
            return False
        self._unheard = ""
        await self._worker(self._alarms.merge, settled)
        return True


def _after_failure(task: ScheduledTask, error: TandemError, now: float) -> ScheduledTask:
    """Wait and try again, unless trying again is pointless or has been tried often enough."""
    tries = task.attempts - 1
    if isinstance(error, InvalidArguments) or tries >= len(RETRY_AFTER_S):
        return structs.replace(task, state="failed", error=str(error))
    return structs.replace(task, state="waiting", due=now + RETRY_AFTER_S[tries], error=str(error))
