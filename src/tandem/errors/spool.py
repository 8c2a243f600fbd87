"""Where reports wait on disk until the bus has them: append-only, crash-safe, bounded, in order.

Records are kept in one chain of segment files per severity and numbered across all of them. Reading merges the chains
by number, so order is kept; making room removes a whole segment of the lowest severity, so it costs one unlink.
A record that was appended survives kill -9 of its process (the kernel has it) and, after :meth:`Spool.sync`, power loss.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from pathlib import Path

from msgspec import Struct

from tandem.core.files import sync_dir
from tandem.core.ids import is_id, new_id
from tandem.core.paths import private_dir
from tandem.errors.segments import Record, Segment, pack
from tandem.errors.severity import SEVERITIES, Severity

DEFAULT_LIMIT = 16 * 1024 * 1024
"""Bytes one agent's reports may take on disk."""

SEGMENT_SIZE = 256 * 1024
MAX_SPOOLS = 4
"""Instances of one agent that may report at the same time, as during an upgrade."""

# An identity that changes when the spool is made anew, the last number the bus has, reports dropped per severity.
_STATE = struct.Struct(f"<26sQ{len(SEVERITIES)}Q")
_ACKED_AT = 26
_DROPPED_AT = 34


class Batch(Struct, frozen=True):
    """Records of one severity that follow each other; ``name`` is equal for equal contents."""

    name: str
    severity: Severity
    records: list[Record]

    @property
    def last(self) -> int:
        return self.records[-1].number

    def payload(self) -> bytes:
        """All of them as one JSON array."""
        return b"[" + b",".join(record.data for record in self.records) + b"]"


class Spool:
    """One directory, used by one process at a time; callable from any thread."""

    def __init__(
        self, directory: Path, lock_fd: int, limit: int = DEFAULT_LIMIT, segment_size: int = SEGMENT_SIZE
    ):
        """Use :func:`open_spool`. Raises ``OSError`` when the directory cannot be used."""
        self._directory = directory
        self._lock_fd = lock_fd
        self._limit = limit
        self._segment_size = min(segment_size, limit // 8)
        self._lock = threading.Lock()
        self._state_fd = os.open(directory / "state", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._identity, self._acked, self._dropped = self._load_state()
        self._chains: tuple[list[Segment], ...] = tuple([] for _ in SEVERITIES)
        self._recover()
        self._current: Batch | None = None
        self._next = 1 + max([self._acked, *(segment.last for chain in self._chains for segment in chain)])
        self._bytes = sum(segment.size for chain in self._chains for segment in chain)

    def append(self, severity: Severity, data: bytes) -> bool:
        """Keep one record. False when there was no room for it; it is then counted.

        Room is made at the cost of lower severities only: what is as severe was accepted before and stays.
        """
        with self._lock:
            number = self._next
            record = pack(number, data)
            if self._bytes + len(record) > self._limit and not self._make_room(len(record), severity.rank):
                self._count_dropped(severity.rank, 1)
                return False
            try:
                self._tail(severity.rank, number, len(record)).append(number, record)
            except OSError:
                self._count_dropped(severity.rank, 1)
                return False
            self._next += 1
            self._bytes += len(record)
            return True

    def sync(self, severity: Severity) -> None:
        """Return when everything appended with this severity is on the disk. Raises ``OSError`` when it cannot be."""
        with self._lock:
            chain = self._chains[severity.rank]
            if not chain:
                return
            fd = chain[-1].duplicate_fd()
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_dir(self._directory)

    def batch(self, max_records: int, max_bytes: int) -> Batch | None:
        """The oldest records that are not acknowledged; the same again until they are. None when there are none."""
        with self._lock:
            if self._current is not None and self._current.last > self._acked:
                return self._current
            taken: list[Record] = []
            rank, size, after = -1, 0, self._acked
            while len(taken) < max_records:
                head = self._oldest(after)
                if head is None:
                    break
                found_rank, record = head
                if taken and (found_rank != rank or size + len(record.data) > max_bytes):
                    break
                rank, after = found_rank, record.number
                size += len(record.data)
                taken.append(record)
            if not taken:
                return None
            name = f"{self._identity}:{taken[0].number}-{taken[-1].number}"
            self._current = Batch(name, SEVERITIES[rank], taken)
            return self._current

    def acknowledge(self, last: int) -> None:
        """Everything up to and including number ``last`` is stored elsewhere."""
        with self._lock:
            self._acked = max(self._acked, last)
            os.pwrite(self._state_fd, struct.pack("<Q", self._acked), _ACKED_AT)
            for chain in self._chains:
                while chain and chain[0].last <= self._acked:
                    # A small last file is kept: making one costs the next caller more than appending.
                    if len(chain) == 1 and chain[0].size < self._segment_size // 4:
                        break
                    self._discard(chain, chain[0])

    @property
    def waiting(self) -> bool:
        """Whether there is anything to ship."""
        with self._lock:
            return any(chain and chain[-1].last > self._acked for chain in self._chains)

    @property
    def fill(self) -> float:
        """Used share of the room, 0 to 1."""
        return self._bytes / self._limit

    def dropped(self) -> dict[Severity, int]:
        """Reports lost for lack of room and not told yet."""
        with self._lock:
            return {
                severity: self._dropped[severity.rank]
                for severity in SEVERITIES
                if self._dropped[severity.rank]
            }

    def told_dropped(self, told: dict[Severity, int]) -> None:
        """``told`` of the dropped have been accounted for."""
        with self._lock:
            for severity, count in told.items():
                self._count_dropped(severity.rank, -count)

    def close(self) -> None:
        """Let another process have it; what waits stays."""
        with self._lock:
            for chain in self._chains:
                for segment in chain:
                    segment.close()
                chain.clear()
            os.close(self._state_fd)
            os.close(self._lock_fd)

    # ---- inner parts; the lock is held ----

    def _tail(self, rank: int, number: int, size: int) -> Segment:
        chain = self._chains[rank]
        if not chain or chain[-1].size + size > self._segment_size:
            chain.append(Segment(self._directory / f"{rank}-{number:016d}.seg", number))
        return chain[-1]

    def _make_room(self, size: int, rank: int) -> bool:
        for lower in range(rank):
            chain = self._chains[lower]
            while chain:
                segment = chain[0]
                # What is on its way to the bus is in memory and not lost.
                gone = self._acked if self._current is None else max(self._acked, self._current.last)
                lost = segment.remaining(gone)
                self._discard(chain, segment)
                self._count_dropped(lower, lost)
                if self._bytes + size <= self._limit:
                    return True
        return False

    def _discard(self, chain: list[Segment], segment: Segment) -> None:
        chain.remove(segment)
        self._bytes -= segment.size
        segment.remove()

    def _oldest(self, after: int) -> tuple[int, Record] | None:
        best: tuple[int, Record] | None = None
        for rank, chain in enumerate(self._chains):
            for segment in chain:
                if segment.last > after and (record := segment.head(after)) is not None:
                    if best is None or record.number < best[1].number:
                        best = rank, record
                    break
        return best

    def _count_dropped(self, rank: int, count: int) -> None:
        self._dropped[rank] = max(0, self._dropped[rank] + count)
        os.pwrite(self._state_fd, struct.pack("<Q", self._dropped[rank]), _DROPPED_AT + 8 * rank)

    def _load_state(self) -> tuple[str, int, list[int]]:
        data = os.pread(self._state_fd, _STATE.size, 0)
        if len(data) == _STATE.size:
            identity, acked, *dropped = _STATE.unpack(data)
            if is_id(identity):
                return identity.decode(), acked, list(dropped)
        # New or damaged: what waits is sent once more, and counted once by its own identity.
        identity = new_id()
        os.pwrite(self._state_fd, _STATE.pack(identity.encode(), 0, *[0] * len(SEVERITIES)), 0)
        return identity, 0, [0] * len(SEVERITIES)

    def _recover(self) -> None:
        for path in sorted(self._directory.glob("*.seg")):
            rank, _, first = path.stem.partition("-")
            segment = Segment.recover(path, int(first))
            if segment.damaged:
                self._count_dropped(int(rank), 1)
            if segment.last <= self._acked:
                segment.remove()
            else:
                self._chains[int(rank)].append(segment)


def open_spool(directory: Path, limit: int = DEFAULT_LIMIT, segment_size: int = SEGMENT_SIZE) -> Spool | None:
    """The spool in ``directory``, made if need be; None while another process has it.

    Raises ``OSError`` when the directory cannot be used.
    """
    private_dir(directory)
    lock_fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Spool(directory, lock_fd, limit, segment_size)
    except BlockingIOError:
        os.close(lock_fd)
        return None
    except BaseException:
        os.close(lock_fd)
        raise
