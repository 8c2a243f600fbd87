"""Time, in one place, so that tests can turn it by hand.

An event loop that has a calendar of its own (the virtual-time loop of :mod:`tandem.agent.testing`) is asked for
both; it therefore drives every timer, deadline and timestamp at once. Other loops are not asked, since uvloop's
clock has a resolution of a millisecond only; ``call_at`` takes our times all the same, both being CLOCK_MONOTONIC.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class KeepsTime(Protocol):
    """An event loop that has a clock and a calendar of its own."""

    def time(self) -> float: ...
    def wall_time(self) -> float: ...


class _Current(threading.local):
    """The loop that turns this thread's clock, if one does."""

    own: KeepsTime | None = None


_current = _Current()


@contextmanager
def kept_by(source: KeepsTime) -> Iterator[None]:
    """Let ``source`` turn this thread's clock within the block; an event loop does so while it runs.

    The running loop is not asked each time instead, because that is a system call (getpid) before Python 3.12, and
    one request reads the clock a dozen times.
    """
    before, _current.own = _current.own, source
    try:
        yield
    finally:
        _current.own = before


def monotonic() -> float:
    """Seconds from an arbitrary point; never goes back."""
    own = _current.own
    return time.monotonic() if own is None else own.time()


def wall() -> float:
    """Seconds since the Unix epoch; may jump when the computer's clock is set."""
    own = _current.own
    return time.time() if own is None else own.wall_time()
