"""Handing descriptors to a child: over a socket, and onto the numbers the child expects."""

from __future__ import annotations

import array
import fcntl
import os
import resource
import socket
from collections.abc import Sequence

_ABOVE = 64
"""Where descriptors are parked while the low numbers are filled."""
MAX_FDS = 16


def arrange(sources: Sequence[int], targets: Sequence[int]) -> None:
    """In a fresh child: 0 from /dev/null, each source onto its target, 1 also onto 2, and everything else closed."""
    parked = [fcntl.fcntl(fd, fcntl.F_DUPFD, _ABOVE) for fd in sources]
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    for fd, target in zip(parked, targets, strict=True):
        os.dup2(fd, target, inheritable=True)
        if target == 1:
            os.dup2(fd, 2, inheritable=True)
    kept = sorted({0, 1, 2, *targets})
    for low, high in zip(kept, [*kept[1:], 1 << 20], strict=True):
        if high - low > 1:
            os.closerange(low + 1, high)


def limit_open_files(count: int | None) -> None:
    """In a fresh child whose descriptors are arranged: no more than ``count`` from now on; None: no limit of its own.

    Never from outside: before they are arranged it holds copies of all of its parent's.
    """
    if count is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def send_fds(link: socket.socket, data: bytes, fds: Sequence[int]) -> None:
    """One packet with descriptors beside it."""
    link.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def receive_fds(link: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """One packet and the descriptors beside it, which are closed on exec. Empty data means the other side is gone."""
    fds = array.array("i")
    room = socket.CMSG_SPACE(MAX_FDS * fds.itemsize)
    data, ancillary, _flags, _address = link.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    return data, list(fds)


def peer_pid(link: socket.socket) -> int:
    """Process id of whoever connected a unix socket."""
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return array.array("i", credentials)[0]


def peer_uid(link: socket.socket) -> int:
    """User id of the process at the other end of a unix socket (SO_PEERCRED, unix(7))."""
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return array.array("i", credentials)[1]
