"""Runs background jobs of PC2 from high, medium and low queues."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from msgspec import Struct

from tandem.agent import Agent, Issue, action, every
from tandem.core import clock
from tandem.core.errors import InvalidArguments
from tandem_agents.infrastructure.contracts import Job, JobResult, MachineReading, Priority, QueueStatus
from tandem_agents.infrastructure.jobs import Work, analyse_text, append_log, memory_upkeep
from tandem_agents.machine import read_machine
from tandem_agents.memory_services.contracts import MemoryUpkeep
from tandem_agents.slots import PrioritySlots

RANKS: dict[Priority, int] = {"high": 0, "medium": 1, "low": 2}


class AsyncProcessor(Agent):
    """TaskScheduler's worker: runs one kind of job after another by priority, low ones only while the machine is calm.

    It keeps nothing on disk. Who needs a job to survive gives it to TaskScheduler, which repeats it until done.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        parallel: int = 2
        queue_limit: int = 1000
        calm_below_percent: float = 85.0

    settings: Settings

    async def start(self) -> None:
        self._kinds: dict[str, Work] = {
            "memory": memory_upkeep(self.peer(MemoryUpkeep)),
            "analysis": analyse_text,
            "logging": append_log(self.state_dir / "jobs.jsonl"),
        }
        self._slots = PrioritySlots(self.settings.parallel, self.settings.queue_limit)
        self._running: dict[str, asyncio.Task[JobResult]] = {}
        self._done = self._failed = 0
        self._reading = read_machine(self.machine, self.state_dir)
        self._calm = asyncio.Event()
        self._calm.set()

    async def check(self) -> Iterable[Issue]:
        waiting = sum(self._slots.waiting().values())
        if waiting * 10 > self.settings.queue_limit * 9:
            return [
                Issue(f"{waiting} jobs wait, the limit is {self.settings.queue_limit}", fix="send fewer jobs")
            ]
        return ()

    @every(seconds=5)
    async def measure(self) -> None:
        self._reading = read_machine(self.machine, self.state_dir)
        if self._reading.cpu_percent > self.settings.calm_below_percent:
            self._calm.clear()
        else:
            self._calm.set()

    @action(idempotent=True)
    async def process(self, job: Job) -> JobResult:
        """Run a job when its turn has come; a repeated id joins the run under way."""
        if job.kind not in self._kinds:
            raise InvalidArguments(
                f"no job is of the kind {job.kind!r}", hint=f"one of {', '.join(self._kinds)}"
            )
        running = self._running.get(job.id)
        if running is None:
            running = asyncio.ensure_future(self._run(job))
            self._running[job.id] = running
            running.add_done_callback(lambda _: self._running.pop(job.id, None))
        # A caller that goes away must not end a job another call has joined.
        return await asyncio.shield(running)

    @action(idempotent=True)
    async def read_machine(self) -> MachineReading:
        """How busy this machine was at the last look, at most five seconds ago."""
        return self._reading

    @action(idempotent=True)
    async def queue_status(self) -> QueueStatus:
        """What waits and runs, and the load of the machine."""
        waiting = self._slots.waiting()
        return QueueStatus(
            waiting={name: waiting[rank] for name, rank in RANKS.items()},
            running=self._slots.running,
            done=self._done,
            failed=self._failed,
            kinds=list(self._kinds),
            cpu_percent=self._reading.cpu_percent,
            memory_percent=100 * self._reading.memory_used / self._reading.memory_total,
        )

    async def _run(self, job: Job) -> JobResult:
        asked = clock.monotonic()
        if job.priority == "low":
            await self._calm.wait()
        async with self._slots.place(RANKS[job.priority]):
            began = clock.monotonic()
            try:
                output = await self._kinds[job.kind](job.data)
            except BaseException:
                self._failed += 1
                raise
        self._done += 1
        return JobResult(id=job.id, output=output, waited_s=began - asked, ran_s=clock.monotonic() - began)
