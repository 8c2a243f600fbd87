"""The log writer: the process that reads the pipes also rotates, compresses, limits and caps (after s6-log's argument:
a separate rotator always races, and the disk can fill between two of its runs).

Every line in a file is one JSON object. An agent's own JSON lines pass through as they are; anything else is wrapped
with the time it was read. A full disk never blocks anybody: lines are dropped, counted, and the count is written once
there is room again.
"""

from __future__ import annotations

import os
import time
from collections import deque

import msgspec

from tandem.supervise.wire import LogLimits

TAIL_LINES = 20
TAIL_LINE_BYTES = 2000
SWEEP_S = 60.0
"""How often the whole directory is measured, besides after much writing."""

_encode = msgspec.json.Encoder().encode

_File = tuple[float, int, str]
"""Time of the last change (Unix seconds), bytes, path."""


class LogStream:
    """The log of one name. ``feed`` takes what came out of a pipe; nothing here ever raises for the disk's sake."""

    def __init__(self, directory: str, name: str, limits: LogLimits, machine: str):
        self.name = name
        self.path = os.path.join(directory, f"{name}.log")
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.written = 0
        """Bytes since the book last measured."""
        self.ceiling = limits.file_bytes
        """Size at which the file is rotated."""
        self.rotated: list[str] = []
        """Files moved aside that nobody has compressed yet."""
        self.dropped = 0
        self.suppressed = 0
        self._limits = limits
        self._machine = machine
        self._partial = b""
        self._fd: int | None = None
        self._size = 0
        self._opened_at = 0.0
        self._torn = False
        self._why_dropped = ""
        self._window_start = 0.0
        self._window_lines = 0

    def feed(self, data: bytes, now: float) -> None:
        """Write the complete lines in ``data``; keep the rest for the next read. ``now``: Unix seconds."""
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        if len(self._partial) > self._limits.line_bytes:
            lines.append(self._partial[: self._limits.line_bytes] + b" (cut)")
            self._partial = b""
        self._write_lines(lines, now)

    def end(self, now: float) -> None:
        """The pipe is closed: whatever is left is a line."""
        rest, self._partial = self._partial, b""
        if rest:
            self._write_lines([rest], now)

    def note(self, level: str, message: str, now: float, **fields: object) -> None:
        """One line of the supervisor's own."""
        line = {
            "ts": _rfc3339(now),
            "level": level,
            "agent": self.name,
            "machine": self._machine,
            "msg": message,
        }
        self._append(_encode(line | fields) + b"\n", 1)

    def tick(self, now: float) -> None:
        """Close a rate window that is over, saying how much was left out; rotate a file that is too old."""
        if self.suppressed and self._is_window_over(now):
            count, self.suppressed = self.suppressed, 0
            self.note("WARNING", f"suppressed {count} lines: too many at once", now, suppressed=count)
        if self._fd is not None and self._size and now - self._opened_at >= self._limits.file_age_s:
            self._rotate(now)

    def _rotate(self, now: float) -> None:
        self.close()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f"{int(now * 1000) % 1000:03d}"
        aside = f"{self.path[:-4]}-{stamp}.log"
        try:
            os.rename(self.path, aside)
        except OSError as error:
            self._why_dropped = error.strerror or str(error)
        else:
            self.rotated.append(aside)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write_lines(self, lines: list[bytes], now: float) -> None:
        room = self._room(len(lines), now)
        if room < len(lines):
            self.suppressed += len(lines) - room
            lines = lines[:room]
        shaped = [self._shape(line, now) for line in lines if line]
        if shaped:
            self._append(b"\n".join(shaped) + b"\n", len(shaped))

    def _room(self, lines: int, now: float) -> int:
        if self._is_window_over(now):
            self.tick(now)
            self._window_start, self._window_lines = now, 0
        room = max(0, min(lines, self._limits.rate_lines - self._window_lines))
        self._window_lines += room
        return room

    def _is_window_over(self, now: float) -> bool:
        """Also when the clock was set back: a window may not last for the hour that comes a second time."""
        return not 0.0 <= now - self._window_start < self._limits.rate_window_s

    def _shape(self, line: bytes, now: float) -> bytes:
        if len(line) > self._limits.line_bytes:
            line = line[: self._limits.line_bytes] + b" (cut)"
        text = line.decode("utf-8", "replace")
        self.tail.append(text[:TAIL_LINE_BYTES])
        if line[:1] == b"{" and line[-1:] == b"}":
            return line
        return _encode({"ts": _rfc3339(now), "agent": self.name, "machine": self._machine, "msg": text})

    def _append(self, data: bytes, lines: int) -> None:
        if self.dropped:
            lost = f"{self.dropped} lines lost: {self._why_dropped}"
            data = (
                _encode({"ts": _rfc3339(time.time()), "level": "WARNING", "agent": self.name, "msg": lost})
                + b"\n"
                + data
            )
        if self._torn:
            data = b"\n" + data
        try:
            fd = self._open()
            count = os.write(fd, data)
        except OSError as error:
            self.dropped += lines
            self._why_dropped = error.strerror or str(error)
            return
        self._size += count
        self.written += count
        if count < len(data):
            self._torn = True
            self.dropped += lines
            self._why_dropped = "the disk is full"
        else:
            self._torn = False
            self.dropped = 0
        if self._size >= self.ceiling:
            self._rotate(time.time())

    def _open(self) -> int:
        if self._fd is None:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            state = os.fstat(self._fd)
            self._size, self._opened_at = state.st_size, time.time()
        return self._fd


class LogBook:
    """All logs of one machine, and the byte ceiling over the whole directory, logs of vanished agents included."""

    def __init__(self, directory: str, machine: str, limits: LogLimits | None = None):
        self.directory = directory
        self.limits = limits or LogLimits()
        self._machine = machine
        self._streams: dict[str, LogStream] = {}
        self._bounds: dict[str, int] = {}
        self._rotated: list[str] = []
        self._swept_at = 0.0
        os.makedirs(directory, mode=0o700, exist_ok=True)

    def stream(self, name: str) -> LogStream:
        """The log of ``name``, made on first use."""
        if name not in self._streams:
            self._streams[name] = LogStream(self.directory, name, self.limits, self._machine)
        return self._streams[name]

    def bound(self, name: str, mebibytes: int | None) -> LogStream:
        """The log of ``name``, whose files together stay below so much; None: only the directory's ceiling counts."""
        if mebibytes is None:
            self._bounds.pop(name, None)
        else:
            self._bounds[name] = mebibytes << 20
        return self.stream(name)

    def tick(self, now: float) -> None:
        """Once a second: close rate windows, rotate what is due, hold the ceiling."""
        share = self.limits.total_bytes // (2 * max(1, len(self._streams)))
        full = False
        for name, stream in self._streams.items():
            bound = self._bounds.get(name, self.limits.total_bytes)
            stream.ceiling = min(self.limits.file_bytes, share, bound // 4)
            full = full or stream.written > bound // 4
            stream.tick(now)
            self._rotated += stream.rotated
            stream.rotated.clear()
        written = sum(stream.written for stream in self._streams.values())
        if full or written > self.limits.total_bytes // 20 or now - self._swept_at >= SWEEP_S:
            self.sweep(now)

    def sweep(self, now: float) -> None:
        """Delete the oldest rotated files until each bounded log and then the directory is below its ceiling."""
        self._swept_at = now
        for stream in self._streams.values():
            stream.written = 0
        found = [(state.st_mtime, state.st_size, path) for path in _files(self.directory) if (state := _stat(path))]
        for name, bound in self._bounds.items():
            found = self._shrink(found, bound, [file for file in found if _unit_of(file[2]) == name])
        self._shrink(found, self.limits.total_bytes, found)

    def _shrink(self, found: list[_File], ceiling: int, share: list[_File]) -> list[_File]:
        """Delete the oldest of ``share`` until it is below ``ceiling``; what of ``found`` is left."""
        live = {stream.path for stream in self._streams.values()}
        total = sum(size for _mtime, size, _path in share)
        gone = set()
        for _mtime, size, path in sorted(share):
            if total <= ceiling:
                break
            if path not in live:
                _remove(path)
                gone.add(path)
                total -= size
        return [file for file in found if file[2] not in gone]

    def to_compress(self) -> str | None:
        """The next rotated file to compress, or None; one the ceiling has claimed meanwhile is passed over."""
        while self._rotated:
            path = self._rotated.pop(0)
            if os.path.exists(path):
                return path
        return None

    def close(self) -> None:
        for stream in self._streams.values():
            stream.close()


def _unit_of(path: str) -> str:
    """Whose file it is: ``NAME.log``, ``NAME-STAMP.log`` or the latter compressed."""
    name = os.path.basename(path).partition(".")[0]
    before, separator, stamp = name.rpartition("-")
    return before if separator and stamp[:1].isdigit() and "T" in stamp else name


def _files(directory: str) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:  # the compressor has just replaced it
        return None


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def compress(path: str) -> None:
    """Replace ``path`` by ``path.gz``. Runs in a forked, niced child: the keeper's one thread must not wait for it."""
    import gzip
    import shutil

    os.nice(19)
    partial = f"{path}.gz.part"
    with open(path, "rb") as source, gzip.open(partial, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    os.rename(partial, f"{path}.gz")
    os.unlink(path)


def _rfc3339(unix_s: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))
    return f"{whole}.{int(unix_s * 1000) % 1000:03d}Z"
