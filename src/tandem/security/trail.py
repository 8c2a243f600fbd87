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


class Throttle:
    """Whether one more record of a kind is due: at most one a second, the others are counted into the next."""

    PERIOD_S = 1.0
    KINDS_MAX = 256

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, ...], list[float]] = {}
        self._order: deque[tuple[str, ...]] = deque()

    def due(self, *kind: str) -> int:
        """How many times ``kind`` is to be recorded now; 0: not now."""
        now = clock.monotonic()
        state = self._kinds.get(kind)
        if state is None:
            if len(self._order) >= self.KINDS_MAX:
                del self._kinds[self._order.popleft()]
            self._order.append(kind)
            self._kinds[kind] = [now, 0]
            return 1
        state[1] += 1
        if now - state[0] < self.PERIOD_S:
            return 0
        times, state[0], state[1] = int(state[1]), now, 0
        return times


def _short(text: str) -> str:
    return redact(text)[:TEXT_MAX]
