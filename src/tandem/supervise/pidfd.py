"""How a process ended that is not our child: the kernel tells whoever held a pidfd (Linux 6.15, ioctl_pidfd(2))."""

from __future__ import annotations

import fcntl
import struct

_INFO = struct.Struct("=QQ11Ii")  # struct pidfd_info, its first version: mask, cgroupid, 11 ids, exit_code
_GET_INFO = 0xC0000000 | _INFO.size << 16 | 0xFF << 8 | 11
_EXIT = 1 << 3


def exit_status(pidfd: int) -> int | None:
    """What wait(2) told the parent; None while that has not reaped it. Raises ``OSError`` on kernels that do not tell."""
    request = bytearray(_INFO.pack(_EXIT, *[0] * 13))
    fcntl.ioctl(pidfd, _GET_INFO, request)
    mask, *_ids, status = _INFO.unpack(request)
    return status if mask & _EXIT else None
