"""What a server has noted since one looked last; its log file is put aside and begun anew by who writes it."""

from __future__ import annotations

from pathlib import Path

LONGEST = 256 * 1024
"""Bytes of one look; of more only the latest are read."""


class LogTail:
    """Begins at the present end of ``log``, which need not exist."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read_to = self._size()

    def fresh(self) -> bytes:
        """What was added since the last look, or since this was made; nothing when it cannot be read."""
        size = self._size()
        # Put aside meanwhile, it begins anew.
        start = max(self._read_to if self._read_to <= size else 0, size - LONGEST)
        self._read_to = size
        try:
            with self._log.open("rb") as file:
                file.seek(start)
                return file.read(size - start)
        except OSError:
            return b""

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0
