"""Work at a time, work in the background, what rings, and who people are."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from tandem.agent import action, contract

AlarmKind = Literal["timer", "alarm", "reminder"]
AlarmState = Literal["pending", "ringing", "rung", "cancelled"]
Priority = Literal["high", "medium", "low"]
TaskState = Literal["waiting", "running", "done", "failed", "cancelled"]


class Alarm(Struct, frozen=True, kw_only=True):
    """Something that rings once, at ``due`` (Unix seconds). Only its state ever changes, and only forwards.

    ``duration_s`` is the length a timer was set for, 0 otherwise; ``settled`` is when it rang or was cancelled.
    """

    id: str
    kind: AlarmKind
    due: float
    created: float
    label: str = ""
    duration_s: float = 0.0
    session: str = "main"
    user: str = "you"
    language: str = "en"
    state: AlarmState = "pending"
    settled: float = 0.0


class Job(Struct, frozen=True, kw_only=True):
    """``data`` depends on ``kind``: ``memory`` takes none, ``analysis`` a ``text``, ``logging`` anything."""

    id: str
    kind: str
    data: dict[str, str] = {}
    priority: Priority = "medium"


class JobResult(Struct, frozen=True, kw_only=True):
    """What a job gave, and the seconds it waited and ran."""

    id: str
    output: dict[str, str]
    waited_s: float
    ran_s: float


class QueueStatus(Struct, frozen=True, kw_only=True):
    """Jobs by priority that wait, how many run, and the machine's load (CPU and memory in percent)."""

    waiting: dict[Priority, int]
    running: int
    done: int
    failed: int
    kinds: list[str]
    cpu_percent: float
    memory_percent: float


class ScheduledTask(Struct, frozen=True, kw_only=True):
    """A durable order for a job. Times are Unix seconds; ``error`` says why the last attempt failed."""

    id: str
    kind: str
    due: float
    data: dict[str, str] = {}
    priority: Priority = "medium"
    state: TaskState = "waiting"
    attempts: int = 0
    output: dict[str, str] = {}
    error: str = ""


class MachineReading(Struct, frozen=True, kw_only=True):
    """How busy a machine is. CPU in percent of all its cores, memory and disk in bytes, ``at`` in Unix seconds."""

    at: float
    machine: str
    cpu_percent: float
    cores: int
    memory_used: int
    memory_total: int
    disk_free: int


class LoggedIn(Struct, frozen=True, kw_only=True):
    """A session that has begun. ``token`` is the only proof of it; ``expires`` Unix seconds."""

    token: str
    user: str
    expires: float

    def __repr__(self) -> str:
        return f"LoggedIn(user={self.user!r}, expires={self.expires}, token=[redacted])"


class Identified(Struct, frozen=True, kw_only=True):
    """Whose token it is, until when (Unix seconds)."""

    user: str
    expires: float


@contract("AsyncProcessor")
class Reading(Protocol):
    """The side of the processor that tells how busy its machine is."""

    @action(idempotent=True)
    async def read_machine(self) -> MachineReading:
        """The machine this agent runs on."""
        ...


@contract("AsyncProcessor")
class Processing(Protocol):
    """Runs jobs, as many at once as the machine bears."""

    @action(idempotent=True)
    async def process(self, job: Job) -> JobResult:
        """Run a job when its turn has come. A repeated id while it runs waits for the same run."""
        ...

    @action(idempotent=True)
    async def queue_status(self) -> QueueStatus:
        """What waits and runs, and the load of the machine."""
        ...


@contract("TaskScheduler")
class Scheduling(Protocol):
    """Keeps orders for jobs, and alarms, on disk until they are due."""

    async def schedule_task(
        self, kind: str, data: dict[str, str] | None = None, priority: Priority = "medium", at: float = 0.0
    ) -> ScheduledTask:
        """Have a job done now or ``at`` a time; on disk when this returns, done at least once."""
        ...

    @action(idempotent=True)
    async def get_task(self, task_id: str) -> ScheduledTask:
        """A task with its result. Raises ``NotFound``."""
        ...

    @action(idempotent=True)
    async def cancel_task(self, task_id: str) -> ScheduledTask:
        """Cancel a task that has not begun."""
        ...

    @action(idempotent=True)
    async def list_tasks(self, state: TaskState | None = None, limit: int = 50) -> list[ScheduledTask]:
        """Tasks in that state, or in any, soonest first."""
        ...

    @action(idempotent=True)
    async def merge_alarms(self, alarms: list[Alarm]) -> list[Alarm]:
        """Take over what is new in ``alarms`` and return everything known; on disk when this returns."""
        ...


@contract("AuthenticationAgent")
class Accounts(Protocol):
    """Who people are, and their sessions."""

    async def register(self, user: str, password: str) -> None:
        """A new account."""
        ...

    async def login(self, user: str, password: str) -> LoggedIn:
        """A session of 24 hours, for name and password."""
        ...

    @action(idempotent=True)
    async def logout(self, token: str) -> bool:
        """End a session; whether there was one."""
        ...

    @action(idempotent=True)
    async def validate_token(self, token: str) -> Identified:
        """Whose session it is."""
        ...

    async def change_password(self, user: str, password: str, new_password: str) -> None:
        """Replace a password; every session of the user ends."""
        ...
