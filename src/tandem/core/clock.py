"""Time, in one place, so that tests can turn it by hand.

An event loop that has a calendar of its own (the virtual-time loop of :mod:`tandem.agent.testing`) is asked for
both; it therefore drives every timer, deadline and timestamp at once. Other loops are not asked, since uvloop's
clock has a resolution of a millisecond only; ``call_at`` takes our times all the same, both being CLOCK_MONOTONIC.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast


class KeepsTime(Protocol):
    """An event loop that has a clock and a calendar of its own."""

    def time(self) -> float: ...
    def wall_time(self) -> float: ...


def _own_time() -> KeepsTime | None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    # isinstance() with a protocol takes 20 µs, which a call cannot afford several times.
    return cast(KeepsTime, loop) if hasattr(loop, "wall_time") else None


def monotonic() -> float:
    """Seconds from an arbitrary point; never goes back."""
    own = _own_time()
    return time.monotonic() if own is None else own.time()


def wall() -> float:
    """Seconds since the Unix epoch; may jump when the computer's clock is set."""
    own = _own_time()
    return time.time() if own is None else own.wall_time()
