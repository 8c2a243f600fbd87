"""One writer at a time: a lock that only one process of an agent can hold, and a number that grows with each holder.

The kernel releases the lock when its holder ends, however it ends, so no supervisor is needed to pass it on. The
number (the *epoch*) goes with every durable write: whatever an earlier holder still tries is refused by the store.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

FILE = ".epoch"
POLL_S = 0.01


class Fence:
    """The lock file of one agent's state directory."""

    def __init__(self, state_dir: Path):
        self._path = state_dir / FILE
        self._fd: int | None = None

    async def take(self) -> int:
        """Wait until every earlier holder has let go, then return the epoch: one more than any before, on the disk.

        Raises ``OSError`` when it cannot be written.
        """
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(fd):  # noqa: ASYNC110 - no event of ours tells when another process lets go
                await asyncio.sleep(POLL_S)
            epoch = _read(fd) + 1
            os.pwrite(fd, f"{epoch}\n".encode(), 0)
            os.fsync(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return epoch

    def release(self) -> None:
        """Let the next one have it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(fd: int) -> int:
    text = os.pread(fd, 32, 0).strip()
    return int(text) if text.isdigit() else 0
