"""Memory and processor time of processes, read from /proc: nothing is asked of the process itself."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Usage(Struct, frozen=True):
    """``rss_bytes`` resident now; ``cpu_s`` seconds of processor time since the process began; ``started`` clock ticks
    after boot, which tells a process from a later one of the same number."""

    rss_bytes: int
    cpu_s: float
    started: int


def usage(pid: int) -> Usage | None:
    """Of one process; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # Fields are counted after the command's closing parenthesis, since the command may hold spaces (proc(5)).
    fields = text.rpartition(")")[2].split()
    return Usage(int(fields[21]) * _PAGE, (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[19]))
