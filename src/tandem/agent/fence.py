"""One writer at a time: a lock that only one process of an agent can hold, and a number that grows with each holder.

The kernel releases the lock when its holder ends, however it ends, so no supervisor is needed to pass it on. The
number (the *epoch*) goes with every durable write: whatever an earlier holder still tries is refused by the store.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

from tandem.core import clock

FILE = ".epoch"
POLL_S = 0.01


class Fence:
    """The lock file of one agent's state directory."""

    def __init__(self, state_dir: Path):
        self._path = state_dir / FILE
        self._fd: int | None = None

    async def take(self) -> int:
        """Wait until every earlier holder has let go, then return the epoch: one more than any before, on the disk.

        The first one is 1; when the file is damaged, which loses the count, the time in Unix seconds. Raises ``OSError``
        when it cannot be written.
        """
        is_first = not self._path.exists()
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not _locked(fd):  # noqa: ASYNC110 - no event of ours tells when another process lets go
                await asyncio.sleep(POLL_S)
            epoch = 1 + _read(fd, 0 if is_first else int(clock.wall()))
            line = f"{epoch}\n".encode()
            os.pwrite(fd, line, 0)
            os.ftruncate(fd, len(line))
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


def _read(fd: int, otherwise: int) -> int:
    # Stores refuse an epoch below one they have seen. No agent had more holders than there were seconds.
    text, end, _rest = os.pread(fd, 32, 0).partition(b"\n")
    return int(text) if end and text.isdigit() else otherwise
