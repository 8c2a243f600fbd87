"""What a server remembers of calls that must not run twice.

A caller that lost its connection cannot know whether its call ran. It repeats the call under the same id; the
server answers from here instead of running it again. Results are bounded in number, bytes and age; the ids
alone are kept longer, so that a repetition which comes too late is refused, not executed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto

from msgspec import Struct

CallKey = tuple[str, str, int]
"""Principal's name, the caller's client id, call id."""

Deliver = Callable[[bytes], None]

IDS_PER_RESULT = 4
"""How many bare ids are kept for each result that may be kept: some 200 bytes against up to a frame."""


class Known(Enum):
    """What the memory says of a call that arrives."""

    NEW = auto()
    RUNNING = auto()
    DONE = auto()
    FORGOTTEN = auto()


class _Entry(Struct):
    at: float
    frame: bytes | None = None
    waiting: list[Deliver] = []


class CallMemory:
    """Remembers begun calls and their answers; times are monotonic seconds."""

    def __init__(self, results: int, total_bytes: int, seconds: float):
        self._max_results = results
        self._max_bytes = total_bytes
        self._seconds = seconds
        self._running: dict[CallKey, _Entry] = {}
        self._done: OrderedDict[CallKey, _Entry] = OrderedDict()
        self._ids: OrderedDict[CallKey, float] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """Results held."""
        return len(self._done)

    def look_up(self, key: CallKey, deliver: Deliver, now: float) -> Known:
        """What is known of ``key``; ``deliver`` gets the answer at once when done, later when still running."""
        running = self._running.get(key)
        if running is not None:
            running.waiting.append(deliver)
            return Known.RUNNING
        self._expire(now)
        done = self._done.get(key)
        if done is not None and done.frame is not None:
            deliver(done.frame)
            return Known.DONE
        return Known.FORGOTTEN if key in self._ids else Known.NEW

    def begin(self, key: CallKey, now: float) -> None:
        """The call runs from now on."""
        self._running[key] = _Entry(now)

    def finish(self, key: CallKey, frame: bytes, now: float) -> None:
        """The call's answer, delivered to every duplicate that waits for it."""
        entry = self._running.pop(key)
        waiting, entry.waiting = entry.waiting, []
        for deliver in waiting:
            deliver(frame)
        entry.at, entry.frame = now, frame
        self._done[key] = entry
        self._bytes += len(frame)
        self._ids[key] = now
        self._expire(now)
        while len(self._done) > self._max_results or self._bytes > self._max_bytes:
            self._drop_oldest()
        while len(self._ids) > self._max_results * IDS_PER_RESULT:
            self._ids.popitem(last=False)

    def _drop_oldest(self) -> None:
        _, entry = self._done.popitem(last=False)
        self._bytes -= len(entry.frame or b"")

    def _expire(self, now: float) -> None:
        oldest = now - self._seconds
        while self._done and next(iter(self._done.values())).at < oldest:
            self._drop_oldest()
        while self._ids and next(iter(self._ids.values())) < oldest:
            self._ids.popitem(last=False)
