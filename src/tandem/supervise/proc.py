"""What the kernel knows about processes, without a library: identity, children, marks, groups (Linux, proc(5))."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_DEAD = (b"Z", b"X")

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Orphaned descendants become our children from now on (prctl(2)). Raises ``OSError``."""
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def boot_id() -> str:
    """Changes at every boot, so that old (pid, start time) pairs cannot match by accident."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def _stat(pid: int) -> list[bytes] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold spaces and parentheses; fields are counted from behind it (proc_pid_stat(5)).
    return data[data.rindex(b")") + 2 :].split()


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot; with the pid this identifies it. 0 when there is none."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def is_running(pid: int, ticks: int) -> bool:
    """Whether that very process exists and is no zombie."""
    fields = _stat(pid)
    return fields is not None and int(fields[19]) == ticks and fields[0] not in _DEAD


def lives(pid: int) -> bool:
    """Whether the process exists and is more than an entry waiting to be reaped."""
    fields = _stat(pid)
    return fields is not None and fields[0] not in _DEAD


def children() -> list[int]:
    """Our direct children, zombies included."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [pid for pid in all_pids() if (fields := _stat(pid)) and int(fields[1]) == me]


def all_pids() -> Iterator[int]:
    """Every process there is."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            yield int(entry)


def has_mark(pid: int, mark: bytes) -> bool:
    """Whether ``NAME=value`` is in the environment the process was started with."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False


def group_lives(pgid: int) -> bool:
    """Whether any process of the group still runs; one that is only waiting to be reaped does not count."""
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return any(
        int(fields[2]) == pgid and fields[0] not in _DEAD for pid in all_pids() if (fields := _stat(pid))
    )


def signal_group(pgid: int, number: int) -> None:
    """Signal a whole group; nothing happens when it is empty."""
    try:
        os.killpg(pgid, number)
    except ProcessLookupError:
        return


def signal_process(pid: int, number: int) -> None:
    """Signal one process; nothing happens when it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
