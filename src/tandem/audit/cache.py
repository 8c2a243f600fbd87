"""What was found last time, so that only changed files are read again.

Kept in the user's cache folder, never in the audited tree. The file is thrown away whenever the audit's own code or
the interpreter changes, so no stale verdict outlives the rule that gave it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.audit.record import Record
from tandem.audit.walk import Entry

_RACY_NS = 2_000_000_000
"""A file changed within this time of being read may change again without its time of change moving (coarse clocks)."""


class Cache(Struct):
    """Path → record, with the version of the code that made them and when (ns since the epoch)."""

    version: str
    written_ns: int = 0
    records: dict[str, Record] = {}

    def lookup(self, entry: Entry) -> Record | None:
        """The record of a file that has not changed since."""
        record = self.records.get(entry.path)
        if record is None or record.kind is not entry.kind:
            return None
        same = record.size == entry.size and record.mtime_ns == entry.mtime_ns
        return record if same and entry.mtime_ns < self.written_ns - _RACY_NS else None


@cache
def code_version() -> str:
    """Checksum over the audit's own source and the interpreter's version."""
    checksum = hashlib.blake2b(platform.python_version().encode(), digest_size=12)
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        checksum.update(path.read_bytes())
    return checksum.hexdigest()


def cache_file(root: Path) -> Path:
    """Where the cache of a tree is kept: below ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    name = hashlib.blake2b(os.fsencode(root.absolute()), digest_size=12).hexdigest()
    return Path(base).expanduser() / "tandem" / "audit" / f"{name}.msgpack"


def load(path: Path) -> Cache:
    """The cache at ``path``; an empty one when it is missing, damaged or of other code."""
    try:
        found = msgspec.msgpack.decode(path.read_bytes(), type=Cache)
    except (OSError, msgspec.DecodeError):
        return Cache(code_version())
    return found if found.version == code_version() else Cache(code_version())


def store(path: Path, records: dict[str, Record], started_ns: int) -> None:
    """Replace the cache at ``path`` in one step. A folder that cannot be written costs speed, not the audit."""
    data = msgspec.msgpack.encode(Cache(code_version(), started_ns, records))
    temporary = path.with_suffix(f".{os.getpid()}-{time.monotonic_ns()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
