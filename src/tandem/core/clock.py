"""Time, in one place, so that tests can turn it by hand.

An event loop that has a calendar of its own (the virtual-time loop of :mod:`tandem.agent.testing`) is asked for
both; it therefore drives every timer, deadline and timestamp at once. Other loops are not asked, since uvloop's
clock has a resolution of a millisecond only; ``call_at`` takes our times all the same, both being CLOCK_MONOTONIC.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, cast


class KeepsTime(Protocol):
    """An event loop that has a clock and a calendar of its own."""

    def time(self) -> float: ...
    def wall_time(self) -> float: ...


# A call reads the clock a dozen times: isinstance() with a protocol would take 20 µs of it, and get_running_loop()
# raises where there is no loop.
_running_loop = cast("Callable[[], KeepsTime | None]", asyncio._get_running_loop)


def monotonic() -> float:
    """Seconds from an arbitrary point; never goes back."""
    loop = _running_loop()
    return loop.time() if loop is not None and hasattr(loop, "wall_time") else time.monotonic()


def wall() -> float:
    """Seconds since the Unix epoch; may jump when the computer's clock is set."""
    loop = _running_loop()
    return loop.wall_time() if loop is not None and hasattr(loop, "wall_time") else time.time()
