"""The processes of one machine: made, listened to, signalled, reaped and accounted for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Literal

from msgspec.structs import replace

from tandem.supervise import proc
from tandem.supervise.cgroups import Cgroups
from tandem.supervise.keeper_doors import OpenDoors, open_doors
from tandem.supervise.keeper_exec import ExecChild
from tandem.supervise.keeper_family import Families
from tandem.supervise.keeper_journal import BecameReady, Born, Died, Gone, Journal, Memory, Past
from tandem.supervise.keeper_logs import LogBook
from tandem.supervise.keeper_loop import Loop
from tandem.supervise.keeper_unit import Remains, Unit
from tandem.supervise.keeper_zygote import ZygoteLink
from tandem.supervise.mark import MARK
from tandem.supervise.wire import (
    GATE_FD,
    NOTIFY_FD,
    TCP_FD,
    UNIX_FD,
    AnyReply,
    Bounds,
    Doors,
    Exec,
    Fork,
    Forked,
    ForkOrder,
    Hello,
    SpawnUnit,
    UnitEmptied,
    UnitEnded,
    UnitExit,
    UnitFailed,
    UnitInfo,
    UnitSaid,
    UnitSpawned,
)

_CHECK_S = 0.1
"""How often a group that outlives its leader is looked at, besides after every death."""


class Units:
    """All instances, by identity. ``emit`` receives what clients should hear."""

    def __init__(
        self,
        loop: Loop,
        logs: LogBook,
        journal: Journal,
        emit: Callable[[AnyReply], None],
        cgroups: Cgroups,
    ):
        self.memory: dict[str, bytes] = {}
        self._loop = loop
        self._logs = logs
        self._journal = journal
        self._emit = emit
        self._units: dict[str, Unit] = {}
        self._by_pid: dict[int, Unit] = {}
        self._doors: dict[str, OpenDoors] = {}
        self._families = Families(cgroups, self._by_pid)
        self._bounds: dict[str, Bounds] = {}
        self._zygotes: dict[str, ZygoteLink] = {}
        self._unclaimed: dict[int, int] = {}
        self._checking = False

    # ---- making ----

    def spawn(self, request: SpawnUnit) -> None:
        """Make the process asked for; every outcome is emitted."""
        self._drop_predecessors(request.name)
        log = self._logs.bound(request.name, request.bounds.log_mb if request.bounds else None)
        unit = Unit(request.name, request.instance, request.kind, log, request.doors)
        self._units[unit.instance] = unit
        unit.detached = request.detached
        if request.bounds is not None:
            self._bounds[unit.instance] = request.bounds
        try:
            sources, targets = self._descriptors(unit, request)
            if isinstance(request.launch, Exec):
                self._exec(unit, request.launch, sources, targets)
            else:
                self._fork(unit, request.launch, sources, targets)
        except OSError as error:
            self._failed(unit, str(error))

    def _descriptors(self, unit: Unit, request: SpawnUnit) -> tuple[list[int], list[int]]:
        doors = self._open(request.name, request.doors) if request.doors else OpenDoors(Doors())
        notify, log, gate = unit.open_pipes(self._loop, self.on_lines)
        sources, targets = [log, notify, gate], [1, NOTIFY_FD, GATE_FD]
        for door, number in ((doors.unix, UNIX_FD), (doors.tcp, TCP_FD)):
            if door is not None:
                sources.append(os.dup(door.fileno()))
                targets.append(number)
        if request.kind == "zygote":
            link = ZygoteLink(self._loop, self._on_forked, lambda hello: self._on_hello(unit, hello))
            self._zygotes[unit.instance] = link
            sources.append(os.dup(link.theirs.fileno()))
            targets.append(UNIX_FD)
            link.theirs.close()
        return sources, targets

    def _open(self, name: str, wanted: Doors) -> OpenDoors:
        doors = self._doors.get(name)
        if doors is not None and doors.wanted == wanted and doors.are_open:
            return doors
        if doors is not None:
            doors.close()
            del self._doors[name]
        self._doors[name] = open_doors(wanted)
        return self._doors[name]

    def _exec(self, unit: Unit, launch: Exec, sources: list[int], targets: list[int]) -> None:
        marked = Exec(
            argv=launch.argv,
            env=launch.env | {MARK: unit.instance},
            cwd=launch.cwd,
            payload=launch.payload,
        )
        try:
            child = ExecChild(marked, sources, targets, self._open_files(unit))
        finally:
            for fd in sources:
                os.close(fd)
        unit.born(child.pid)
        self._admit(unit)
        child.confirm()
        self._introduce(unit)

    def _fork(self, unit: Unit, launch: Fork, sources: list[int], targets: list[int]) -> None:
        link = self._zygotes.get(launch.zygote)
        if link is None:
            for fd in sources:
                os.close(fd)
            self._failed(unit, "there is no zygote to fork it from", "zygote")
            return
        order = ForkOrder(
            instance=unit.instance,
            entry=launch.entry,
            payload=launch.payload,
            env=launch.env | {MARK: unit.instance},
            title=launch.title,
            targets=targets,
            open_files=self._open_files(unit),
        )
        link.order(order, sources)

    def _open_files(self, unit: Unit) -> int | None:
        bounds = self._bounds.get(unit.instance)
        return bounds.open_files if bounds is not None else None

    def _on_forked(self, forked: Forked) -> None:
        unit = self._units.get(forked.instance)
        if unit is None or unit.pid is not None:
            return
        if forked.error:
            self._failed(unit, forked.error)
            return
        unit.born(forked.pid)
        self._admit(unit)
        self._introduce(unit)

    def _on_hello(self, unit: Unit, hello: Hello) -> None:
        for module, why in hello.failed.items():
            unit.log.note("ERROR", f"cannot preload {module}: {why}", time.time())
        unit.ready_at = time.monotonic()
        lines = ["READY=1", *(f"FAILED={module}: {why}" for module, why in hello.failed.items())]
        self._emit(UnitSaid(name=unit.name, instance=unit.instance, lines=lines))

    def _admit(self, unit: Unit) -> None:
        """Write it down, bound it, and let it live."""
        self._remember(unit)
        for problem in self._families.restrain(unit, self._bounds.pop(unit.instance, None)):
            unit.log.note("WARNING", problem, time.time())
        unit.open_gate()

    def _introduce(self, unit: Unit) -> None:
        assert unit.pid is not None
        pid = unit.pid
        self._by_pid[pid] = unit
        self._emit(UnitSpawned(name=unit.name, instance=unit.instance, pid=pid))
        for number in unit.take_pending_signals():
            self.signal(unit.instance, number)
        if pid in self._unclaimed:
            self._ended(unit, self._unclaimed.pop(pid))

    def _failed(self, unit: Unit, error: str, blame: Literal["unit", "zygote"] = "unit") -> None:
        unit.log.note("ERROR", f"could not be started: {error}", time.time())
        unit.close(self._loop)
        self._units.pop(unit.instance, None)
        self._bounds.pop(unit.instance, None)
        self._journal.add(Gone(instance=unit.instance))
        self._zygotes.pop(unit.instance, None)
        self._emit(UnitFailed(name=unit.name, instance=unit.instance, error=error, blame=blame))

    def _drop_predecessors(self, name: str) -> None:
        over = [u for u in self._units.values() if u.name == name and u.is_over]
        for unit in over:
            self._by_pid.pop(unit.pid or 0, None)
            del self._units[unit.instance]
        if all(u.name != name for u in self._units.values()):
            self._logs.stream(name).tail.clear()

    # ---- what an earlier keeper left ----

    def enrol(self, born: Born) -> Unit:
        """The unit of a process that exists, or has existed."""
        unit = Unit(born.name, born.instance, born.kind, self._logs.stream(born.name), born.doors)
        if born.doors is not None:
            self._doors[born.name] = OpenDoors(born.doors)
        unit.adopt(born)
        self._units[unit.instance] = unit
        return unit

    def lead(self, pid: int, unit: Unit | None) -> None:
        """``pid`` is the main process of ``unit``, or of nobody any more."""
        if unit is None:
            self._by_pid.pop(pid, None)
        else:
            self._by_pid[pid] = unit

    def find(self, instance: str) -> Unit | None:
        return self._units.get(instance)

    # ---- listening ----

    def on_lines(self, unit: Unit, lines: list[str]) -> None:
        """It said something on its notify pipe."""
        was_ready = unit.ready_at
        told = unit.hear(lines)
        if unit.ready_at is not None and was_ready is None:
            self._remember(unit)
            self._journal.add(BecameReady(instance=unit.instance, at=unit.ready_at))
        if told:
            self._emit(UnitSaid(name=unit.name, instance=unit.instance, lines=told))

    # ---- ending ----

    def signal(self, instance: str, number: int, *, alone: bool = False) -> None:
        """Signal the group, or its leader alone; KILL also reaches strays. A unit being made gets it once it is there."""
        unit = self._units.get(instance)
        if unit is None or unit.is_over:
            return
        if unit.pid is None:
            unit.pending_signals.append(number)
            return
        if not alone and proc.group_lives(unit.pid):
            proc.signal_group(unit.pid, number)
        elif unit.exit is None:
            proc.signal_process(unit.pid, number)
        if number == signal.SIGKILL:
            unit.doomed = True
            self._families.kill_strays(unit)

    def end_jobs(self, name: str, grace_s: float) -> None:
        """TERM to the detached jobs of every instance of ``name``; they are its own from now on. KILL after the grace."""
        ending = [u for u in self._units.values() if u.name == name and u.detached and not u.is_over]
        for unit in ending:
            unit.ends_jobs = True
            self._families.signal_strays(unit, signal.SIGTERM)

        def kill() -> None:
            for unit in ending:
                self._families.kill_strays(unit)

        if ending:
            self._loop.after(grace_s, kill)

    def reap(self) -> None:
        """Collect every child that ended, then see which groups are empty now."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            unit = self._by_pid.get(pid)
            if unit is not None and unit.exit is None:
                self._ended(unit, status)
            elif any(u.pid is None for u in self._units.values()):
                self._unclaimed[pid] = status  # perhaps a fork whose pid the zygote has not told yet
            else:
                self._unclaimed.clear()
        self.check_dying()

    def _ended(self, unit: Unit, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        how = UnitExit(
            at=time.monotonic(), code=code if code >= 0 else None, signal=-code if code < 0 else None
        )
        self.finish_leader(unit, how)

    def finish_leader(self, unit: Unit, how: UnitExit) -> None:
        """The main process has ended."""
        unit.drain(self.on_lines)
        unit.exit = how = replace(how, note=self._families.why_it_died(unit))
        self._journal.add(Died(instance=unit.instance, exit=how))
        empty = self._families.is_empty(unit)
        link = self._zygotes.pop(unit.instance, None)
        self._emit(
            UnitEnded(name=unit.name, instance=unit.instance, exit=how, empty=empty, tail=list(unit.log.tail))
        )
        for instance in link.close() if link is not None else ():
            if (unborn := self._units.get(instance)) is not None:
                self._failed(unborn, "the zygote ended", "zygote")
        if not empty:
            unit.remains = Remains.FAMILY
        self.settle(unit)

    def settle(self, unit: Unit) -> None:
        """Conclude a unit whose leader is gone, now or as soon as its group is empty."""
        if not self._families.is_empty(unit):
            unit.remains = Remains.FAMILY
            self._check_soon()
            return
        had_family = unit.remains is Remains.FAMILY
        unit.remains = Remains.JOBS if self._families.has_jobs(unit) else Remains.NOTHING
        if unit.is_over:
            unit.tail = list(unit.log.tail)
            self._by_pid.pop(unit.pid or 0, None)
            unit.close_notify(self._loop)
            self._journal.add(Gone(instance=unit.instance))
            self._families.forget(unit)
        if had_family:
            self._emit(UnitEmptied(name=unit.name, instance=unit.instance))

    def check_dying(self) -> None:
        """Conclude every unit whose group has become empty; KILL again what a killed one left behind."""
        for unit in [u for u in self._units.values() if u.remains in (Remains.FAMILY, Remains.JOBS)]:
            if unit.doomed:
                self._families.kill_strays(unit)
            self.settle(unit)

    def _check_soon(self) -> None:
        if self._checking:
            return
        self._checking = True

        def check() -> None:
            self._checking = False
            self.check_dying()

        self._loop.after(_CHECK_S, check)

    # ---- telling ----

    def close_doors(self, name: str) -> None:
        """Callers of ``name`` are refused from now on."""
        doors = self._doors.pop(name, None)
        if doors is not None:
            doors.close()

    def keep_in_mind(self, name: str, data: bytes) -> None:
        """Remember for the next node."""
        if data:
            self.memory[name] = data
        else:
            self.memory.pop(name, None)
        if self._journal.add(Memory(name=name, data=data)):
            self._journal.start(self._past())

    def _remember(self, unit: Unit) -> None:
        if self._journal.add(unit.record()):
            self._journal.start(self._past())

    def _past(self) -> Past:
        live = [u for u in self._units.values() if u.pid is not None and not u.is_over]
        died = {u.instance: u.exit for u in live if u.exit is not None}
        return Past(born={u.instance: u.record() for u in live}, died=died, memory=dict(self.memory))

    def listing(self) -> list[UnitInfo]:
        return [unit.info() for unit in self._units.values()]

    def beats(self) -> dict[str, float]:
        """When each live instance last gave a sign of life."""
        return {
            u.instance: u.beat_at for u in self._units.values() if u.beat_at is not None and u.exit is None
        }

    def live(self, *kinds: str) -> list[Unit]:
        """Instances of these kinds that are not over; without kinds, of all."""
        return [u for u in self._units.values() if not u.is_over and (not kinds or u.kind in kinds)]

    def close_all_doors(self) -> None:
        for name in list(self._doors):
            self.close_doors(name)
