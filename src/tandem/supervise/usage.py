"""What processes use: CPU, memory, descriptors, by session, from /proc (proc(5)).

One look reads one short file per process of the computer. A process's share of memory (PSS) is expensive to learn, since
the kernel walks its page tables, so each look renews it for a few sessions only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

from msgspec import Struct

from tandem.supervise.api import Usage

PSS_A_LOOK = 8
"""Sessions whose PSS is measured at one look: 77 agents are through in 20 s."""

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(Struct, frozen=True):
    """One process as the kernel counts it. ``ticks``: CPU time in clock ticks; ``started``: identifies it with the pid."""

    pid: int
    session: int
    started: int
    ticks: int
    threads: int
    rss_bytes: int


def processes() -> list[Process]:
    """Every process there is, zombies left out."""
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return [process for pid in pids if (process := _read(pid)) is not None]


def _read(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            data = file.read(1024)
    except OSError:
        return None
    fields = data[data.rindex(b")") + 2 :].split()
    if fields[0] in (b"Z", b"X"):
        return None
    return Process(
        pid=pid,
        session=int(fields[3]),
        started=int(fields[19]),
        ticks=int(fields[11]) + int(fields[12]),
        threads=int(fields[17]),
        rss_bytes=int(fields[21]) * _PAGE,
    )


class Meter:
    """Remembers the last look, since CPU use is a difference."""

    def __init__(self) -> None:
        self._at = 0.0
        self._ticks: dict[tuple[int, int], int] = {}
        self._pss: dict[int, int | None] = {}

    def look(self, sessions: Iterable[int], now: float) -> dict[int, Usage]:
        """What each of ``sessions`` (ids: the pid of the leader) uses now, monotonic seconds; absent when it is gone."""
        members = _members(sessions)
        self._measure_shares(members)
        elapsed = now - self._at if self._ticks else 0.0
        usages = {session: self._usage(session, found, elapsed) for session, found in members.items()}
        self._at = now
        self._ticks = {(p.pid, p.started): p.ticks for found in members.values() for p in found}
        return usages

    def glance(self, sessions: Iterable[int]) -> dict[int, Usage]:
        """Memory and processes only, without any effect on the next :meth:`look`."""
        return {
            session: Usage(rss_bytes=sum(p.rss_bytes for p in found), processes=len(found))
            for session, found in _members(sessions).items()
        }

    def _usage(self, session: int, found: list[Process], elapsed: float) -> Usage:
        # One that is new has used all it has since the last look.
        spent = sum(p.ticks - self._ticks.get((p.pid, p.started), 0) for p in found)
        return Usage(
            cpu_fraction=round(spent * _TICK_S / elapsed, 4) if elapsed > 0 else 0.0,
            cpu_s=round(sum(p.ticks for p in found) * _TICK_S, 2),
            rss_bytes=sum(p.rss_bytes for p in found),
            pss_bytes=self._pss.get(session),
            fds=_total(_open_files(p.pid) for p in found),
            processes=len(found),
            threads=sum(p.threads for p in found),
        )

    def _measure_shares(self, members: dict[int, list[Process]]) -> None:
        """Renew the shares that are oldest, or missing; insertion order is the order of age."""
        for session in self._pss.keys() - members.keys():
            del self._pss[session]
        missing = [session for session in members if session not in self._pss]
        for session in [*missing, *self._pss][:PSS_A_LOOK]:
            self._pss.pop(session, None)
            self._pss[session] = _total(_share(p.pid) for p in members[session])


def exact_memory(session: int) -> int | None:
    """Bytes a session's processes have to themselves plus their share of the rest; None where that is forbidden."""
    return _total(_share(p.pid) for p in _members([session]).get(session, []))


def members_of(session: int) -> list[int]:
    """Pids of a session."""
    return [process.pid for process in _members([session]).get(session, [])]


class Scales:
    """Weighs many sessions at about the same time: one look at the computer's processes serves for ``fresh_s``."""

    def __init__(self, fresh_s: float):
        self._fresh_s = fresh_s
        self._looked_at = -math.inf
        self._members: dict[int, list[Process]] = {}

    def weigh(self, session: int, now: float) -> int | None:
        """As :func:`exact_memory`; ``now`` in monotonic seconds. What a session has forked since the last look is missed."""
        if now - self._looked_at >= self._fresh_s or session not in self._members:
            self._looked_at, self._members = now, _by_session(processes())
        return _total(_share(p.pid) for p in self._members.get(session, []))


def _members(sessions: Iterable[int]) -> dict[int, list[Process]]:
    wanted = set(sessions)
    return _by_session(process for process in processes() if process.session in wanted)


def _by_session(found: Iterable[Process]) -> dict[int, list[Process]]:
    members: dict[int, list[Process]] = {}
    for process in found:
        members.setdefault(process.session, []).append(process)
    return members


def _total(amounts: Iterable[int | None]) -> int | None:
    known = list(amounts)
    return None if None in known else sum(amount or 0 for amount in known)


def _share(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            line = next(line for line in file if line.startswith(b"Pss:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


def _open_files(pid: int) -> int | None:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
