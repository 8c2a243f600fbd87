"""What the kernel can do to keep a process's memory its own."""

from __future__ import annotations

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4  # <linux/prctl.h>
_PR_GET_DUMPABLE = 3
_libc = ctypes.CDLL(None, use_errno=True)


def forbid_dumps() -> None:
    """No core files, no ptrace, no reading of ``/proc/<pid>/mem`` or ``environ`` by others of the same uid.

    It also makes ``/proc/<pid>`` belong to root, so an unprivileged supervisor sees less of its own children (no
    ``smaps``, no ``fd``). Not inherited through exec. Raises ``OSError`` when the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def is_dumpable() -> bool:
    """Whether this process's memory can be dumped or traced by its own uid."""
    return bool(_libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))
