"""Time, in one place, so that tests can turn it by hand.

Inside a coroutine both functions ask the running event loop; the virtual-time loop of
:mod:`tandem.agent.testing` therefore drives every timer, deadline and timestamp at once.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, runtime_checkable


@runtime_checkable
class KeepsWallTime(Protocol):
    """An event loop that has a calendar of its own."""

    def wall_time(self) -> float: ...


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def monotonic() -> float:
    """Seconds from an arbitrary point; never goes back. Equals ``loop.time()`` inside a coroutine."""
    loop = _loop()
    return time.monotonic() if loop is None else loop.time()


def wall() -> float:
    """Seconds since the Unix epoch; may jump when the computer's clock is set."""
    loop = _loop()
    return loop.wall_time() if isinstance(loop, KeepsWallTime) else time.time()
