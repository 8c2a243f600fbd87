"""Waits for something to become true of the runners of a machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tandem.supervise.supervisor import Supervisor


async def until(supervisor: Supervisor, condition: Callable[[], bool], patience_s: float | None = None) -> bool:
    """Wait until ``condition`` holds, looking after every change of anything; whether it did within ``patience_s``."""
    moved = asyncio.Event()
    unwatch = supervisor.watch(lambda _runner, _before: moved.set())
    try:
        async with asyncio.timeout(patience_s):
            while not condition():
                moved.clear()
                await moved.wait()
    except TimeoutError:
        return False
    finally:
        unwatch()
    return True
