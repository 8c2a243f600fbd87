"""One instance as the keeper sees it: a process, its pipes, and the last that was heard of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from enum import Enum, auto

from tandem.supervise.keeper_journal import Born
from tandem.supervise.keeper_logs import LogStream
from tandem.supervise.keeper_loop import Loop, read_available
from tandem.supervise.proc import start_ticks
from tandem.supervise.wire import Doors, UnitExit, UnitInfo

MAX_NOTIFY_BYTES = 256 * 1024
"""A notify line longer than this is no notification."""

OnLines = Callable[["Unit", list[str]], None]


class Remains(Enum):
    """What there is of an instance."""

    ALL = auto()
    """Its main process has not ended, or has not even been made."""
    FAMILY = auto()
    """Others of its group, or strays that count as its own. Whoever was told of the end must hear when they are gone."""
    JOBS = auto()
    """Detached jobs only, which may outlive it."""
    NOTHING = auto()


class Unit:
    """``pid`` is None while it is being made."""

    def __init__(self, name: str, instance: str, kind: str, log: LogStream, doors: Doors | None = None):
        self.name = name
        self.instance = instance
        self.kind = kind
        self.log = log
        self.doors = doors
        self.pid: int | None = None
        self.ready_at: float | None = None
        self.beat_at: float | None = None
        self.exit: UnitExit | None = None
        self.tail: list[str] = []
        self.remains = Remains.ALL
        self.adopted = False
        self.doomed = False
        self.detached = False
        self.ends_jobs = False
        """Told to end its jobs as well; they count as its own from then on."""
        self.pending_signals: list[int] = []
        self._ticks = 0
        self._born_at = time.monotonic()
        self._status = ""
        self._health = ""
        self._partial = b""
        self._notify: int | None = None
        self._output: int | None = None
        self._gate: int | None = None

    def open_pipes(self, loop: Loop, on_lines: OnLines) -> tuple[int, int, int]:
        """Make its notify, log and gate pipes and watch our ends; the child's ends, which the caller closes."""
        notify, output = self.reopen_pipes(loop, on_lines)
        gate, self._gate = os.pipe2(os.O_CLOEXEC)
        return notify, output, gate

    def reopen_pipes(self, loop: Loop, on_lines: OnLines) -> tuple[int, int]:
        """New notify and log pipes in place of any there were; the child's ends."""
        self.close(loop)
        self._notify, notify = os.pipe2(os.O_CLOEXEC)
        self._output, output = os.pipe2(os.O_CLOEXEC)
        for fd in (self._notify, self._output):
            os.set_blocking(fd, False)
        loop.watch(self._notify, lambda: self._read_notify(loop, on_lines))
        loop.watch(self._output, lambda: self._read_output(loop))
        return notify, output

    def open_gate(self) -> None:
        """It is written down: let it live."""
        if self._gate is not None:
            try:
                os.write(self._gate, b"1")
            except BrokenPipeError:
                pass  # it is dead already, which its exit status will tell
            os.close(self._gate)
            self._gate = None

    def born(self, pid: int) -> None:
        self.pid = pid
        self._ticks = start_ticks(pid)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left."""
        return self.remains is Remains.NOTHING

    @property
    def owns_strays(self) -> bool:
        """Whether processes of it outside its group must be gone before it is over."""
        return not self.detached or self.ends_jobs

    def adopt(self, born: Born) -> None:
        """Become what an earlier keeper wrote down; its pipes went with that keeper."""
        self.pid, self._ticks, self._born_at = born.pid, born.ticks, born.at
        self.ready_at, self.detached = born.ready_at, born.detached
        self.adopted = True

    def take_pending_signals(self) -> list[int]:
        """Signals that came before the process did."""
        pending, self.pending_signals = self.pending_signals, []
        return pending

    def hear(self, lines: list[str]) -> list[str]:
        """Note what it said; the lines others should know of."""
        now = time.monotonic()
        self.beat_at = now
        told = []
        for line in lines:
            if line == "WATCHDOG=1":
                continue
            if line == "READY=1" and self.ready_at is None:
                self.ready_at = now
            elif line.startswith("STATUS="):
                self._status = line[7:]
            elif line.startswith("HEALTH="):
                self._health = line[7:]
            told.append(line)
        return told

    def drain(self, on_lines: OnLines) -> None:
        """Read what is left in the pipes of a process that ended."""
        while self._notify is not None and (data := read_available(self._notify)):
            self._take_notify(data, on_lines)
        while self._output is not None and (data := read_available(self._output)):
            self.log.feed(data, time.time())
        self.log.end(time.time())

    def close_notify(self, loop: Loop) -> None:
        self._notify = _closed(loop, self._notify)

    def close(self, loop: Loop) -> None:
        self._notify = _closed(loop, self._notify)
        self._output = _closed(loop, self._output)
        if self._gate is not None:
            os.close(self._gate)
            self._gate = None

    def _read_notify(self, loop: Loop, on_lines: OnLines) -> None:
        data = read_available(self._notify) if self._notify is not None else None
        if data:
            self._take_notify(data, on_lines)
        elif data == b"":
            self.close_notify(loop)

    def _take_notify(self, data: bytes, on_lines: OnLines) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_NOTIFY_BYTES:
            self._partial = b""
        if lines:
            on_lines(self, [line.decode("utf-8", "replace") for line in lines if line])

    def _read_output(self, loop: Loop) -> None:
        data = read_available(self._output) if self._output is not None else None
        if data:
            self.log.feed(data, time.time())
        elif data == b"":
            # Only now: a child of it may have held the pipe long after its own end.
            self.log.end(time.time())
            self._output = _closed(loop, self._output)

    def record(self) -> Born:
        """What the journal should know."""
        return Born(
            name=self.name,
            instance=self.instance,
            kind=self.kind,
            pid=self.pid or 0,
            ticks=self._ticks,
            at=self._born_at,
            ready_at=self.ready_at,
            doors=self.doors,
            detached=self.detached,
        )

    def info(self) -> UnitInfo:
        return UnitInfo(
            name=self.name,
            instance=self.instance,
            kind=self.kind,
            pid=self.pid,
            start_ticks=self._ticks,
            born_at=self._born_at,
            ready_at=self.ready_at,
            beat_at=self.beat_at,
            status=self._status,
            health=self._health,
            heard=self._notify is not None or not self.adopted,
            exit=self.exit,
            empty=self.is_over,
            tail=self.tail,
        )


def _closed(loop: Loop, fd: int | None) -> int | None:
    """Close it; what it is now."""
    if fd is not None:
        loop.forget(fd)
        os.close(fd)
    return None
