"""Ending what a dead keeper left behind, from its journal alone."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tandem.core.paths import MachineDirs
from tandem.supervise import proc
from tandem.supervise.keeper_journal import Born, Journal
from tandem.supervise.mark import MARK

JOURNAL = "keeper.journal"
_POLL_S = 0.02


def leftovers(dirs: MachineDirs) -> list[Born]:
    """Processes the journal knows that still run."""
    past = Journal(str(dirs.state / JOURNAL)).load()
    return [born for born in past.born.values() if proc.is_running(born.pid, born.ticks)]


def marked(instances: set[str]) -> list[int]:
    """Processes that descend from one of these instances, wherever they are."""
    marks = [f"{MARK}={instance}".encode() for instance in instances]
    return [pid for pid in proc.all_pids() if any(proc.has_mark(pid, mark) for mark in marks)]


def end_leftovers(dirs: MachineDirs, grace_s: float) -> int:
    """TERM, grace, KILL for all of them and their groups; how many there were. Removes their sockets and the journal."""
    found = leftovers(dirs)
    for born in found:
        proc.signal_group(born.pid, signal.SIGTERM)
    until = time.monotonic() + grace_s
    while any(proc.group_lives(born.pid) for born in found) and time.monotonic() < until:
        time.sleep(_POLL_S)
    for born in found:
        proc.signal_group(born.pid, signal.SIGKILL)
    for pid in marked({born.instance for born in found}):
        proc.signal_process(pid, signal.SIGKILL)
    for path in sockets_of(dirs):
        path.unlink(missing_ok=True)
    (dirs.state / JOURNAL).unlink(missing_ok=True)
    return len(found)


def sockets_of(dirs: MachineDirs) -> list[Path]:
    """Every socket file in the machine's run directory."""
    places = (dirs.run, dirs.run / "a")
    return [path for place in places if place.is_dir() for path in place.iterdir() if path.is_socket()]
