"""How nonsense is thrown at real listeners, and how to see what they keep of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
BOUND_S = 60.0
"""Generous bound for one example."""


async def try_all(examples: SearchStrategy[T], attempt: Callable[[T], Awaitable[None]], count: int) -> None:
    """Await ``attempt`` with ``count`` examples, one after another. Hypothesis knows no loop: it works in a thread."""
    loop = asyncio.get_running_loop()

    def run() -> None:
        @settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
        @given(examples)
        def one(example: T) -> None:
            asyncio.run_coroutine_threadsafe(attempt(example), loop).result(BOUND_S)

        one()

    await asyncio.to_thread(run)


def descriptors() -> int:
    """How many this process holds."""
    return len(os.listdir("/proc/self/fd"))
