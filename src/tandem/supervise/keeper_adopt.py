"""Taking over what an earlier keeper left: processes that are not our children, found in its journal."""

from __future__ import annotations

import os
import time

from tandem.supervise import proc
from tandem.supervise.keeper_journal import Past
from tandem.supervise.keeper_loop import Loop
from tandem.supervise.keeper_unit import Unit
from tandem.supervise.keeper_units import Units
from tandem.supervise.pidfd import exit_status
from tandem.supervise.wire import UnitExit

_REAPED_WITHIN_S = 2.0
_LOOK_S = 0.05


class Adoption:
    """Watches adopted processes by pidfd, and gives those that ask (ours do) new pipes."""

    def __init__(self, loop: Loop, units: Units):
        self._loop = loop
        self._units = units

    def adopt(self, past: Past) -> None:
        """Take over processes that still run; what is over is told as far as it is known."""
        self._units.memory.update(past.memory)
        for born in past.born.values():
            unit = self._units.enrol(born)
            if proc.is_running(born.pid, born.ticks):
                self._watch(unit, born.pid)
            else:
                unit.exit = past.died.get(born.instance, UnitExit(at=time.monotonic()))
                self._units.settle(unit)

    def reopen(self, instance: str, pid: int) -> list[int]:
        """New log and notify pipes for the adopted process ``pid``: its ends of them. Empty if it is not that instance."""
        unit = self._units.find(instance)
        if unit is None or unit.pid != pid or not unit.adopted or unit.exit is not None:
            return []
        notify, log = unit.reopen_pipes(self._loop, self._units.on_lines)
        return [log, notify]

    def _watch(self, unit: Unit, pid: int) -> None:
        fd = os.pidfd_open(pid)
        self._units.lead(pid, unit)

        def gone() -> None:
            self._loop.forget(fd)
            self._conclude(unit, pid, fd, time.monotonic())

        self._loop.watch(fd, gone)

    def _conclude(self, unit: Unit, pid: int, fd: int, at: float) -> None:
        """Its end is known; how it ended the kernel tells once its parent has reaped it, if at all."""
        how = UnitExit(at=at)
        try:
            status = exit_status(fd)
        except OSError:
            pass  # a kernel that does not tell
        else:
            if status is None and time.monotonic() - at < _REAPED_WITHIN_S:
                self._loop.after(_LOOK_S, lambda: self._conclude(unit, pid, fd, at))
                return
            if status is not None:
                code = os.waitstatus_to_exitcode(status)
                how = UnitExit(at=at, code=code if code >= 0 else None, signal=-code if code < 0 else None)
        os.close(fd)
        self._units.lead(pid, None)
        self._units.finish_leader(unit, how)
