"""Files of records that can be trusted after a crash: each record carries its length, a checksum and its number."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections import deque
from pathlib import Path

from msgspec import Struct

_HEADER = struct.Struct("<IIQ")
READ_CHUNK = 128 * 1024
MAX_RECORD = 1 << 20
"""Bytes; a longer length in a header is damage."""


class Record(Struct, frozen=True):
    """``number`` grows by one with every record of a spool, whatever its severity."""

    number: int
    data: bytes


def pack(number: int, data: bytes) -> bytes:
    """The bytes of one record."""
    body = number.to_bytes(8, "little") + data
    return _HEADER.pack(len(data), zlib.crc32(body), number) + data


class Segment:
    """One append-only file. ``first`` and ``last`` are numbers of its records, ``size`` the bytes that are sound.

    Not for several threads at once: the spool's lock guards it.
    """

    def __init__(self, path: Path, first: int):
        self.path = path
        self.first = first
        self.last = first - 1
        self.size = 0
        self.count = 0
        self.damaged = False
        self._read_at = 0
        self._ahead: deque[Record] = deque()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    @classmethod
    def recover(cls, path: Path, first: int) -> Segment:
        """A segment an earlier process left: what is behind the last whole record is cut off.

        A record cut short was never acknowledged. One that is whole and wrong marks the segment as ``damaged``; what
        comes behind it is lost.
        """
        segment = cls(path, first)
        while records := segment._read_more():
            segment.count += len(records)
            segment.last = records[-1].number
        segment.size = segment._read_at
        os.ftruncate(segment._fd, segment.size)
        segment._read_at = 0
        segment._ahead.clear()
        return segment

    def append(self, number: int, record: bytes) -> None:
        """Write a packed record. Raises ``OSError`` and leaves nothing behind when the disk does not take all of it."""
        try:
            written = os.write(self._fd, record)
            if written != len(record):
                raise OSError(28, "the disk took only a part")
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
            raise
        self.size += written
        self.count += 1
        self.last = number

    def head(self, after: int) -> Record | None:
        """The first record with a number above ``after``, which never goes back."""
        while True:
            while self._ahead:
                if self._ahead[0].number > after:
                    return self._ahead[0]
                self._ahead.popleft()
            if self._read_at >= self.size or not self._read_more():
                return None

    def remaining(self, after: int) -> int:
        """How many records have a number above ``after``."""
        self._read_at = 0
        self._ahead.clear()
        while self._read_at < self.size and self._read_more():
            pass
        return sum(record.number > after for record in self._ahead)

    def duplicate_fd(self) -> int:
        """A descriptor of the caller's own, for an fsync beside the lock."""
        return os.dup(self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    def _read_more(self) -> list[Record]:
        """The next records of the file, also put ahead; empty at the end or at damage."""
        chunk = os.pread(self._fd, READ_CHUNK, self._read_at)
        if len(chunk) >= _HEADER.size:
            needed = _HEADER.size + _HEADER.unpack_from(chunk)[0]
            if len(chunk) < needed <= MAX_RECORD:
                chunk = os.pread(self._fd, needed, self._read_at)
        found, at = [], 0
        while len(chunk) - at >= _HEADER.size:
            length, checksum, number = _HEADER.unpack_from(chunk, at)
            end = at + _HEADER.size + length
            if length > MAX_RECORD:
                self.damaged = True
                break
            if end > len(chunk):
                break
            data = chunk[at + _HEADER.size : end]
            if zlib.crc32(number.to_bytes(8, "little") + data) != checksum:
                self.damaged = True
                break
            found.append(Record(number, data))
            at = end
        self._read_at += at
        self._ahead.extend(found)
        return found
