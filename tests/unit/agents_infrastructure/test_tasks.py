"""TaskScheduler with its worker: durable, by priority, repeated until done."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tandem.agent import Agent, action
from tandem.agent.testing import Fleet, Member, fleet_of, virtual_time
from tandem.core import clock
from tandem.core.errors import InvalidArguments, NotFound, Unavailable, Unreachable
from tandem_agents.core_services.contracts import Ringing
from tandem_agents.infrastructure.async_processor import AsyncProcessor
from tandem_agents.infrastructure.contracts import (
    Alarm,
    Job,
    JobResult,
    Processing,
    QueueStatus,
    ScheduledTask,
    Scheduling,
)
from tandem_agents.infrastructure.task_scheduler import TaskScheduler
from tandem_agents.infrastructure.tasks import TaskList
from tandem_agents.memory_services.contracts import MemoryUpkeep
from tandem_agents.memory_services.memory_orchestrator_service import MemoryOrchestratorService

STORE = Member(MemoryOrchestratorService, machine="pc2", embeddings="none")


class Moody(Agent):
    """A worker that fails as often as it is told."""

    async def start(self) -> None:
        self.failures = 0
        self.runs: list[str] = []

    @action(idempotent=True)
    async def process(self, job: Job) -> JobResult:
        self.runs.append(job.data.get("name", job.id))
        if self.failures:
            self.failures -= 1
            raise Unreachable("not now")
        await asyncio.sleep(1)
        return JobResult(id=job.id, output={"said": "done"}, waited_s=0, ran_s=1)


class Desk(Agent):
    """MainPC's side of ringing."""

    async def start(self) -> None:
        self.rung: list[str] = []

    @action(idempotent=True)
    async def ring(self, alarms: list[Alarm]) -> list[Alarm]:
        from msgspec import structs

        self.rung += [alarm.id for alarm in alarms]
        return [structs.replace(alarm, state="rung", settled=clock.wall()) for alarm in alarms]


async def finished(fleet: Fleet, task: ScheduledTask) -> ScheduledTask:
    """The task once it is over."""
    scheduler = fleet.peer(Scheduling)
    for _ in range(7200):
        found = await scheduler.get_task(task.id)
        if found.state not in ("waiting", "running"):
            return found
        await asyncio.sleep(0.5)
    raise AssertionError("the task was not done within an hour")


@virtual_time
async def test_a_task_runs_for_real_and_keeps_its_result() -> None:
    """An analysis job counts words; the result stays with the task."""
    async with fleet_of(
        STORE, Member(AsyncProcessor, machine="pc2"), Member(TaskScheduler, machine="pc2")
    ) as fleet:
        task = await fleet.peer(Scheduling).schedule_task(
            "analysis", {"text": "Tea is hot. Tea is good."}, "high"
        )
        done = await finished(fleet, task)
    assert done.state == "done"
    assert done.output == {"words": "6", "sentences": "2", "keywords": "tea, hot, good"}


@virtual_time
async def test_memory_upkeep_is_a_job() -> None:
    """A memory job reaches the memory store and returns its report."""
    async with fleet_of(
        STORE, Member(AsyncProcessor, machine="pc2"), Member(TaskScheduler, machine="pc2")
    ) as fleet:
        done = await finished(fleet, await fleet.peer(Scheduling).schedule_task("memory"))
        assert (await fleet.peer(MemoryUpkeep).stats()).memories == 0
    assert (done.state, done.output["faded"]) == ("done", "0")


@virtual_time
async def test_a_log_job_is_on_disk(tmp_path: Path) -> None:
    """A logging job appends one line to the processor's journal."""
    members = (STORE, Member(AsyncProcessor, machine="pc2"), Member(TaskScheduler, machine="pc2"))
    async with fleet_of(*members, state=tmp_path) as fleet:
        done = await finished(
            fleet, await fleet.peer(Scheduling).schedule_task("logging", {"what": "tea"}, "low")
        )
    assert done.state == "done"
    assert b'"what":"tea"' in (tmp_path / "pc2" / "AsyncProcessor" / "jobs.jsonl").read_bytes()


@virtual_time
async def test_unknown_kinds_fail_at_once() -> None:
    """A job nobody can do is not repeated."""
    async with fleet_of(
        STORE, Member(AsyncProcessor, machine="pc2"), Member(TaskScheduler, machine="pc2")
    ) as fleet:
        done = await finished(fleet, await fleet.peer(Scheduling).schedule_task("dance"))
    assert (done.state, done.attempts) == ("failed", 1)
    assert "dance" in done.error


@virtual_time
async def test_a_task_waits_for_its_time() -> None:
    """A task for later is not begun before."""
    async with fleet_of(Member(Moody, name="AsyncProcessor"), TaskScheduler) as fleet:
        task = await fleet.peer(Scheduling).schedule_task("x", at=clock.wall() + 3600)
        await asyncio.sleep(3590)
        assert fleet.agent(Moody, "AsyncProcessor").runs == []
        assert (await finished(fleet, task)).state == "done"


@virtual_time
async def test_a_failed_attempt_is_repeated_later_under_the_same_id() -> None:
    """Two failures are followed by a success after 2 and 10 seconds."""
    async with fleet_of(Member(Moody, name="AsyncProcessor"), TaskScheduler) as fleet:
        fleet.agent(Moody, "AsyncProcessor").failures = 2
        began = clock.monotonic()
        done = await finished(fleet, await fleet.peer(Scheduling).schedule_task("x"))
        assert (done.state, done.attempts, done.output) == ("done", 3, {"said": "done"})
        assert 13 <= clock.monotonic() - began <= 16


@virtual_time
async def test_a_task_that_keeps_failing_ends_failed() -> None:
    """After five attempts the task says why instead of trying for ever."""
    async with fleet_of(Member(Moody, name="AsyncProcessor"), TaskScheduler) as fleet:
        fleet.agent(Moody, "AsyncProcessor").failures = 99
        done = await finished(fleet, await fleet.peer(Scheduling).schedule_task("x"))
    assert (done.state, done.attempts, done.error) == ("failed", 5, "not now")


@virtual_time
async def test_tasks_survive_a_kill() -> None:
    """A task that ran when the scheduler was killed runs again after its restart."""
    async with fleet_of(Member(Moody, name="AsyncProcessor"), TaskScheduler) as fleet:
        task = await fleet.peer(Scheduling).schedule_task("x", {"name": "survivor"})
        await asyncio.sleep(0.5)
        assert (await fleet.peer(Scheduling).get_task(task.id)).state == "running"
        await fleet.kill("TaskScheduler")
        await fleet.start("TaskScheduler")
        assert (await finished(fleet, task)).state == "done"
        assert fleet.agent(Moody, "AsyncProcessor").runs.count("survivor") == 2


@virtual_time
async def test_higher_priority_goes_first() -> None:
    """With one at a time, a high task overtakes low ones that came earlier."""
    async with fleet_of(Member(Moody, name="AsyncProcessor"), Member(TaskScheduler, parallel=1)) as fleet:
        scheduler = fleet.peer(Scheduling)
        tasks = [
            await scheduler.schedule_task("x", {"name": name}, priority)  # type: ignore[arg-type]
            for name, priority in (("first", "low"), ("low", "low"), ("medium", "medium"), ("high", "high"))
        ]
        for task in tasks:
            await finished(fleet, task)
        assert fleet.agent(Moody, "AsyncProcessor").runs == ["first", "high", "medium", "low"]


@virtual_time
async def test_only_a_waiting_task_can_be_cancelled() -> None:
    """A cancelled task never runs; one that is done cannot be undone; an unknown one is not found."""
    async with fleet_of(Member(Moody, name="AsyncProcessor"), TaskScheduler) as fleet:
        scheduler = fleet.peer(Scheduling)
        later = await scheduler.schedule_task("x", {"name": "never"}, at=clock.wall() + 60)
        assert (await scheduler.cancel_task(later.id)).state == "cancelled"
        done = await finished(fleet, await scheduler.schedule_task("x"))
        with pytest.raises(InvalidArguments):
            await scheduler.cancel_task(done.id)
        with pytest.raises(NotFound):
            await scheduler.cancel_task("nobody")
        await asyncio.sleep(120)
        assert "never" not in fleet.agent(Moody, "AsyncProcessor").runs
        assert [task.id for task in await scheduler.list_tasks("cancelled")] == [later.id]


@virtual_time
async def test_a_result_that_finds_no_room_on_the_disk_holds_up_no_other_task() -> None:
    """The place is free again for whoever waits; the task itself is done once more after a restart."""
    async with fleet_of(Member(Moody, name="AsyncProcessor"), Member(TaskScheduler, parallel=1)) as fleet:
        tasks = fleet.agent(TaskScheduler)._tasks
        put = tasks.put

        def full_disk(task: ScheduledTask, now: float) -> ScheduledTask:
            if task.state == "done" and task.data:
                raise Unavailable("the disk is full")
            return put(task, now)

        tasks.put = full_disk  # type: ignore[method-assign]
        scheduler = fleet.peer(Scheduling)
        unlucky = await scheduler.schedule_task("x", {"name": "unlucky"})
        assert (await finished(fleet, await scheduler.schedule_task("x"))).state == "done"
        assert (await scheduler.get_task(unlucky.id)).state == "running"
        await fleet.kill("TaskScheduler")
        await fleet.start("TaskScheduler")
        assert (await finished(fleet, unlucky)).state == "done"


def test_a_task_is_either_begun_or_cancelled(tmp_path: Path) -> None:
    """Whichever comes first holds: what was cancelled is not begun, what was begun is not cancelled."""
    tasks = TaskList(tmp_path / "tasks.db")
    for name in ("a", "b"):
        tasks.put(ScheduledTask(id=name, kind="x", due=1.0), 1.0)
    assert tasks.cancel("a", 2.0).state == "cancelled"
    [begun] = tasks.begin(2.0, 10)
    assert (begun.id, begun.state, begun.attempts) == ("b", "running", 1)
    with pytest.raises(InvalidArguments, match="running"):
        tasks.cancel("b", 2.0)
    assert tasks.begin(2.0, 10) == []
    tasks.close()


@virtual_time
async def test_due_alarms_are_offered_until_mainpc_takes_them() -> None:
    """While MainPC is away the scheduler is degraded and keeps offering; afterwards each alarm has rung once."""
    async with fleet_of(
        Member(Moody, name="AsyncProcessor"), TaskScheduler, Member(Desk, name="RequestCoordinator")
    ) as fleet:
        await fleet.stop("RequestCoordinator")
        alarm = Alarm(id="tea", kind="timer", due=clock.wall() + 10, created=clock.wall())
        await fleet.peer(Scheduling).merge_alarms([alarm])
        await asyncio.sleep(30)
        assert list(await fleet.agent(TaskScheduler).check())
        await fleet.start("RequestCoordinator")
        await asyncio.sleep(90)
        assert fleet.agent(Desk, "RequestCoordinator").rung == ["tea"]
        assert [known.state for known in await fleet.peer(Scheduling).merge_alarms([])] == ["rung"]
        assert not list(await fleet.agent(TaskScheduler).check())


@virtual_time
async def test_the_same_job_twice_is_one_run() -> None:
    """A caller that asks again while a job runs joins it."""
    async with fleet_of(STORE, Member(AsyncProcessor, machine="pc2", parallel=1)) as fleet:
        processor = fleet.peer(Processing)
        job = Job(id="j", kind="analysis", data={"text": "tea"})
        first, second = await asyncio.gather(processor.process(job), processor.process(job))
        assert first == second
        status: QueueStatus = await processor.queue_status()
        assert (status.done, status.failed, status.running) == (1, 0, 0)
        with pytest.raises(InvalidArguments):
            await processor.process(Job(id="k", kind="analysis", data={"text": " "}))
        assert (await processor.queue_status()).failed == 1


def test_the_ringing_contract_is_what_mainpc_fulfils() -> None:
    """The fake desk of these tests has the signature the scheduler calls."""
    assert Desk.ring.__annotations__ == Ringing.ring.__annotations__
