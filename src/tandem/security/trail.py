"""The audit trail of security: who was refused, who joined, what was revoked, which secret was touched.

One JSON object a line, in a file of the machine that all of its processes append to. It holds names and reasons,
never values; what looks like a credential is redacted all the same.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core import clock
from tandem.security.files import locked
from tandem.security.redaction import redact

MAX_BYTES = 4 * 1024 * 1024
"""Size at which the file is put aside as ``.1``, replacing the one before."""
TEXT_MAX = 500
"""Characters kept of one field; a caller chooses some of them."""

log = logging.getLogger("tandem.security")


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``at`` Unix seconds, ``event`` a word such as ``denied`` or ``revoked``, ``by`` who did or tried it, ``subject``
    what it was done to, ``times`` how often it happened since the record before."""

    at: float
    event: str
    by: str = ""
    subject: str = ""
    detail: str = ""
    times: int = 1


class Trail:
    """Appends to and reads one machine's audit trail."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(
        self, event: str, *, by: str = "", subject: str = "", detail: str = "", times: int = 1
    ) -> None:
        """Append one record. A disk that refuses it is told of in the log: no service stops for its trail."""
        entry = Record(
            at=clock.wall(),
            event=event,
            by=_short(by),
            subject=_short(subject),
            detail=_short(detail),
            times=times,
        )
        try:
            self._append(msgspec.json.encode(entry) + b"\n")
        except OSError as error:
            log.error("the audit trail %s cannot be written: %s", self._path, error)

    def read(self, since: float = 0.0) -> Iterator[Record]:
        """Records from ``since`` (Unix seconds) on, oldest first; a line cut short by a crash is left out."""
        for path in (self._old, self._path):
            try:
                lines = path.read_bytes().splitlines()
            except FileNotFoundError:
                continue
            for line in lines:
                try:
                    found = msgspec.json.decode(line, type=Record)
                except msgspec.MsgspecError:
                    continue
                if found.at >= since:
                    yield found

    @property
    def _old(self) -> Path:
        return self._path.with_name(f"{self._path.name}.1")

    def _append(self, line: bytes) -> None:
        # One write of a file opened for appending: lines of several processes never mix (open(2), O_APPEND).
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, line)
            large = os.fstat(fd).st_size > MAX_BYTES
        finally:
            os.close(fd)
        if large:
            self._put_aside()

    def _put_aside(self) -> None:
        with locked(self._path.with_name(f"{self._path.name}.lock")):
            if self._path.stat().st_size > MAX_BYTES:
                self._path.replace(self._old)


class _Flood(Struct):
    """Of one kind: when it was told (monotonic seconds), the pause since then, when it came last, how often untold."""

    told_at: float
    pause_s: float
    came_at: float
    untold: int = 0


class Throttle:
    """Whether one more record of a kind is due: at most one a second, the others are counted into the next one.

    With a ``longest_s`` above a second the pause doubles up to that, as long as the kind goes on: what comes all day must
    not drive everything else out of a trail of bounded size.
    """

    PERIOD_S = 1.0
    KINDS_MAX = 256

    def __init__(self, longest_s: float = PERIOD_S) -> None:
        self._longest_s = longest_s
        self._kinds: dict[tuple[str, ...], _Flood] = {}
        self._order: deque[tuple[str, ...]] = deque()

    def due(self, *kind: str, times: int = 1) -> int:
        """How many times ``kind`` is to be recorded, now that it came ``times`` more; 0: not now."""
        now = clock.monotonic()
        flood = self._kinds.get(kind)
        if flood is None:
            if len(self._order) >= self.KINDS_MAX:
                del self._kinds[self._order.popleft()]
            self._order.append(kind)
            self._kinds[kind] = _Flood(now, self.PERIOD_S, now)
            return times
        quiet_s, flood.came_at = now - flood.came_at, now
        flood.untold += times
        if now - flood.told_at < flood.pause_s:
            return 0
        flood.pause_s = self.PERIOD_S if quiet_s > self._longest_s else min(2 * flood.pause_s, self._longest_s)
        flood.told_at, told = now, flood.untold
        flood.untold = 0
        return told


def _short(text: str) -> str:
    return redact(text)[:TEXT_MAX]
