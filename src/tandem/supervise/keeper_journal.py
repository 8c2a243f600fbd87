"""What must outlive the keeper itself: which processes exist, how they ended, and what the node asked to remember.

An append-only file of frames. A torn last frame (power loss, full disk) is ignored; pids of an earlier boot are too.
"""

from __future__ import annotations

import os

import msgspec
from msgspec import Struct

from tandem.supervise.proc import boot_id
from tandem.supervise.wire import Doors, Frames, UnitExit, encode_frame

COMPACT_BYTES = 1024 * 1024


class Boot(Struct, frozen=True, tag=True):
    """First record: which boot of the computer the others belong to."""

    id: str


class Born(Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """A process of ours exists; ``ticks`` is its start in clock ticks since boot, times are Unix seconds."""

    name: str
    instance: str
    kind: str
    pid: int
    ticks: int
    at: float
    ready_at: float | None = None
    doors: Doors | None = None
    detached: bool = False


class BecameReady(Struct, frozen=True, kw_only=True, tag=True):
    """The instance said READY at that Unix time."""

    instance: str
    at: float


class Died(Struct, frozen=True, kw_only=True, tag=True):
    """The instance's own process ended; others of it may be left."""

    instance: str
    exit: UnitExit


class Gone(Struct, frozen=True, kw_only=True, tag=True):
    """Nothing is left of the instance; it need not be looked for."""

    instance: str


class Memory(Struct, frozen=True, kw_only=True, tag=True):
    """What the node wants its successors to know, the newest of each name counts."""

    name: str
    data: bytes


Record = Boot | Born | BecameReady | Died | Gone | Memory


class Past(Struct):
    """What the journal says: instances not known to be gone, how some of them ended, and the memory."""

    born: dict[str, Born] = {}
    died: dict[str, UnitExit] = {}
    memory: dict[str, bytes] = {}


class Journal:
    """Appends records; a disk that refuses makes it forget, never fail."""

    def __init__(self, path: str):
        self.path = path
        self._fd: int | None = None
        self._size = 0

    def load(self) -> Past:
        """Read what an earlier keeper left. Empty after a reboot."""
        past = Past()
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return past
        decoder = msgspec.msgpack.Decoder(Record)
        try:
            for frame in Frames().feed(data):
                record = decoder.decode(frame)
                if isinstance(record, Boot) and record.id != boot_id():
                    return Past()
                _replay(past, record)
        except (ValueError, msgspec.DecodeError):
            return past
        return past

    def start(self, past: Past) -> None:
        """Begin a fresh file that says the same as ``past``, in place of the old one."""
        records: list[Record] = [Boot(boot_id()), *past.born.values()]
        records += [Died(instance=key, exit=how) for key, how in past.died.items() if key in past.born]
        records += [Memory(name=key, data=data) for key, data in past.memory.items()]
        fresh = f"{self.path}.new"
        content = b"".join(encode_frame(record) for record in records)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(fd, content)
        os.rename(fresh, self.path)
        self.close()
        self._fd, self._size = fd, len(content)

    def add(self, record: Record) -> bool:
        """Append; True when the file has grown so long that it should be started afresh."""
        if self._fd is None:
            return False
        try:
            self._size += os.write(self._fd, encode_frame(record))
        except OSError:
            return False
        return self._size > COMPACT_BYTES

    def discard(self) -> None:
        """Everything has ended well; there is nothing to remember."""
        self.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return  # somebody has deleted the whole directory

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _replay(past: Past, record: Record) -> None:
    match record:
        case Born():
            past.born[record.instance] = record
        case BecameReady(instance=instance, at=at) if instance in past.born:
            past.born[instance] = msgspec.structs.replace(past.born[instance], ready_at=at)
        case Died():
            past.died[record.instance] = record.exit
        case Gone():
            past.born.pop(record.instance, None)
            past.died.pop(record.instance, None)
        case Memory(name=name, data=data):
            if data:
                past.memory[name] = data
            else:
                past.memory.pop(name, None)
