"""Who belongs to an instance, and what it may use: process group, session, mark, and control group where there is one."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from tandem.supervise import proc
from tandem.supervise.cgroups import Cgroups
from tandem.supervise.keeper_unit import Unit
from tandem.supervise.mark import MARK
from tandem.supervise.wire import Bounds


class Families:
    """Answers for all units of one keeper. ``leaders``: units by the pid of their main process."""

    def __init__(self, cgroups: Cgroups, leaders: Mapping[int, Unit]):
        self._cgroups = cgroups
        self._leaders = leaders

    def restrain(self, unit: Unit, bounds: Bounds | None) -> list[str]:
        """Bound a process that still waits at its gate; what could not be done, in words."""
        assert unit.pid is not None
        problems = []
        bounds = bounds or Bounds()
        try:
            if unit.kind == "node":
                self._cgroups.accompany(unit.pid)  # a zygote's fork is born in the zygote's group, and would die with it
            else:
                self._cgroups.enter(unit.instance, unit.pid, bounds)
        except OSError as error:
            problems.append(f"no control group for it: {error.strerror}")
        if bounds.nice is not None:
            try:
                os.setpriority(os.PRIO_PROCESS, unit.pid, bounds.nice)
            except OSError as error:
                problems.append(f"nice {bounds.nice} not granted: {error.strerror}")
        return problems

    def is_empty(self, unit: Unit) -> bool:
        """Whether nothing of it is left; its detached jobs count only once it was told to end them."""
        return unit.pid is None or not (proc.group_lives(unit.pid) or (unit.owns_strays and self.strays(unit)))

    def has_jobs(self, unit: Unit) -> bool:
        """Whether jobs of it run on."""
        return unit.detached and bool(self.strays(unit))

    def kill_strays(self, unit: Unit) -> None:
        """KILL what left its group, unless these are jobs that may outlive it."""
        if unit.owns_strays:
            self._cgroups.kill(unit.instance)
            self.signal_strays(unit, signal.SIGKILL)

    def signal_strays(self, unit: Unit, number: int) -> None:
        for pid in self.strays(unit):
            proc.signal_process(pid, number)

    def why_it_died(self, unit: Unit) -> str:
        """What the kernel knows beyond the exit status."""
        return self._cgroups.why_killed(unit.instance)

    def forget(self, unit: Unit) -> None:
        """It is over."""
        self._cgroups.remove(unit.instance)

    def strays(self, unit: Unit) -> list[int]:
        """Descendants outside the group: orphans come to us (or, after an adoption, to somebody else)."""
        mark = f"{MARK}={unit.instance}".encode()
        pool = proc.all_pids() if unit.adopted else proc.children()
        found = {
            pid
            for pid in pool
            if pid not in self._leaders and self._belongs(pid, unit.pid or 0, mark) and proc.lives(pid)
        }
        return sorted(found | {pid for pid in self._cgroups.members(unit.instance) if _group(pid) != unit.pid})

    def _belongs(self, pid: int, leader: int, mark: bytes) -> bool:
        """Whether a process descends from the instance whose leader this is: by session, group or mark."""
        try:
            session, group = os.getsid(pid), os.getpgid(pid)
        except ProcessLookupError:
            return False
        if leader in (session, group):
            return True
        # A fork inherits the mark of its zygote; whose session it is in counts more.
        return session not in self._leaders and proc.has_mark(pid, mark)


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0
