"""Ending background tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any

INSIST_S = 0.5


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel ``tasks`` and wait until they are done, whatever they end with; None and finished ones are fine.

    A single ``cancel()`` may be lost: ``asyncio.wait_for`` of Python 3.11 swallows it when its future completes in the
    same turn of the loop (https://github.com/python/cpython/issues/86296), and a task that loops then runs on.
    """
    pending = {task for task in tasks if task is not None and not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=INSIST_S)
    for ended in tasks:
        if ended is not None and not ended.cancelled():
            ended.exception()  # retrieved, so that asyncio does not complain about it
