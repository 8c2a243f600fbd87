"""The real supervisor over processes that exist in virtual time only."""

from __future__ import annotations

import asyncio
import itertools
import signal
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from tandem.core import clock
from tandem.fleet.model import AgentConfig, Fleet
from tandem.supervise.release import ZYGOTE
from tandem.supervise.supervisor import Supervisor
from tandem.supervise.wire import (
    Exec,
    Listing,
    Remember,
    SignalUnit,
    SpawnUnit,
    UnitEnded,
    UnitExit,
    UnitFailed,
    UnitInfo,
    UnitSaid,
    UnitSpawned,
)

MACHINE = "m1"


class Manner(Struct):
    """How processes of one agent behave; seconds. ``lives_s`` None: until somebody ends it."""

    ready_s: float = 0.1
    lives_s: float | None = None
    leaves_s: float = 0.05
    """From TERM to its end; more than the grace for one that is deaf."""
    born_s: float = 0.0
    """How long the zygote takes to make it; when the zygote ends meanwhile, it is never born."""
    fails: str = ""
    """Why the keeper cannot make it, if it cannot."""


class Process(Struct):
    name: str
    instance: str
    kind: str
    born_at: float
    pid: int | None
    ready_at: float | None = None
    exit: UnitExit | None = None
    timers: list[asyncio.TimerHandle] = []
    pending: list[int] = []
    """Signals sent before it was born."""


class SimulatedKeeper:
    """Makes and ends processes as the keeper would, and writes a history: (time, what, agent)."""

    def __init__(self) -> None:
        self.manners: dict[str, Manner] = {}
        self.history: list[tuple[float, str, str]] = []
        self.memory: dict[str, bytes] = {}
        self.supervisor: Supervisor | None = None
        self.unwanted: set[str] = set()
        """Whom the operator has stopped: making one of these is a mistake."""
        self._processes: dict[str, Process] = {}
        self._pids = itertools.count(1000)

    # ---- what the supervisor asks ----

    def send(self, request: Any) -> None:
        match request:
            case SpawnUnit():
                self._spawn(request)
            case SignalUnit(instance=instance, signal=number):
                self._signal(instance, number)
            case Remember(name=name, data=data):
                self.memory[name] = data

    def agent(self, subject: Any, instance: str, _zygote: str) -> SpawnUnit:
        return SpawnUnit(name=subject.name, instance=instance, kind="agent", launch=_exec())

    def put(self, *_: object) -> None: ...
    def drop(self, *_: object) -> None: ...

    # ---- the world ----

    def living(self, name: str) -> list[Process]:
        return [p for p in self._processes.values() if p.name == name and p.exit is None]

    def die(self, name: str) -> None:
        """End whatever lives of ``name``; with a zygote goes what it has not borne yet."""
        for process in self.living(name):
            if process.pid is not None:
                self._end(process, 1, None)
        if name == ZYGOTE:
            for process in [p for p in self._processes.values() if p.pid is None and p.exit is None]:
                self._fail(process, "the zygote ended", "zygote")

    def listing(self) -> Listing:
        units = [
            UnitInfo(name=p.name, instance=p.instance, kind=p.kind, pid=p.pid, born_at=p.born_at,
                     ready_at=p.ready_at, exit=p.exit, empty=p.exit is not None)
            for p in self._processes.values()
        ]  # fmt: skip
        return Listing(seq=0, pid=1, machine=MACHINE, units=units, memory=dict(self.memory))

    def node(self, agents: list[AgentConfig]) -> Supervisor:
        """A new node's supervisor; the one before is not heard any more."""
        fleet = Fleet(name="simulated", agents={str(config.id): config for config in agents})
        self.supervisor = Supervisor(self, self, self, _exec(), Path("/nowhere"))  # type: ignore[arg-type]
        self.supervisor.populate(fleet, MACHINE, [], self.listing())
        return self.supervisor

    def _spawn(self, request: SpawnUnit) -> None:
        loop = asyncio.get_running_loop()
        manner = self.manners.get(request.name, Manner())
        process = Process(request.name, request.instance, request.kind, clock.monotonic(), pid=None)
        assert not self.living(request.name), f"two processes of {request.name}"
        assert request.name not in self.unwanted, f"{request.name} is started against the operator's will"
        self._processes[request.instance] = process
        self._note("spawn", request.name)
        if manner.fails:
            self._fail(process, manner.fails, "unit")
        elif manner.born_s:
            process.timers = [loop.call_later(manner.born_s, self._bear, process, manner)]
        else:
            self._bear(process, manner)

    def _bear(self, process: Process, manner: Manner) -> None:
        loop = asyncio.get_running_loop()
        process.pid = next(self._pids)
        self._hear(UnitSpawned(name=process.name, instance=process.instance, pid=process.pid))
        process.timers = [loop.call_later(manner.ready_s, self._ready, process)]
        if manner.lives_s is not None:
            process.timers.append(loop.call_later(manner.lives_s, self._end, process, 1, None))
        for number in process.pending:
            self._signal(process.instance, number)

    def _fail(self, process: Process, error: str, blame: Literal["unit", "zygote"]) -> None:
        for timer in process.timers:
            timer.cancel()
        del self._processes[process.instance]
        self._note("fail", process.name)
        self._hear(UnitFailed(name=process.name, instance=process.instance, error=error, blame=blame))

    def _ready(self, process: Process) -> None:
        process.ready_at = clock.monotonic()
        self._hear(UnitSaid(name=process.name, instance=process.instance, lines=["READY=1"]))

    def _signal(self, instance: str, number: int) -> None:
        process = self._processes.get(instance)
        if process is None or process.exit is not None:
            return
        if process.pid is None:
            process.pending.append(number)
        elif number == signal.SIGKILL:
            self._end(process, None, number)
        elif number == signal.SIGTERM:
            self._note("term", process.name)
            leaves = self.manners.get(process.name, Manner()).leaves_s
            process.timers.append(asyncio.get_running_loop().call_later(leaves, self._end, process, 0, None))

    def _end(self, process: Process, code: int | None, number: int | None) -> None:
        if process.exit is not None:
            return
        for timer in process.timers:
            timer.cancel()
        process.exit = UnitExit(at=clock.monotonic(), code=code, signal=number)
        self._note("end", process.name)
        self._hear(
            UnitEnded(name=process.name, instance=process.instance, exit=process.exit, empty=True, tail=[])
        )

    def _hear(self, message: Any) -> None:
        asyncio.get_running_loop().call_soon(lambda: self.supervisor and self.supervisor.hear(message))

    def _note(self, what: str, name: str) -> None:
        if name != "zygote":
            self.history.append((clock.monotonic(), what, name))


def _exec() -> Exec:
    return Exec(argv=["true"], env={}, cwd="/")


def agent(name: str, *needs: str, group: str = "g", **more: Any) -> AgentConfig:
    """An entry of the fleet."""
    more = {"launch": "exec", **more}
    return AgentConfig(name=name, machine=MACHINE, group=group, class_path="a:B", needs=list(needs), **more)
