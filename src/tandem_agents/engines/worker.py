"""Threads for libraries that block."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Emit = Callable[[T], bool]
"""Hands an item to the consumer; false once nobody wants more."""


class Worker:
    """A few threads (one unless told) that an engine does its blocking work on, in order of arrival.

    One thread is also what keeps a library that is not thread-safe safe.
    """

    def __init__(self, name: str, threads: int = 1):
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` on the thread. Cancelled before its turn it never starts; once running it ends unheard."""
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: context.run(function, *args, **kwargs))

    def submit(self, function: Callable[[], object]) -> None:
        """Have ``function`` called in its turn, without waiting; also the way to free what belongs to the thread."""
        self._pool.submit(function)

    async def stream(self, produce: Callable[[Emit[T]], None]) -> AsyncGenerator[T, None]:
        """Items that ``produce`` emits on the thread. Closing the iterator makes ``emit`` return false.

        The queue has no bound, so ``produce`` must emit a bounded number of items.
        """
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[T | None] = asyncio.Queue()
        abandoned = threading.Event()

        def emit(item: T) -> bool:
            if abandoned.is_set():
                return False
            loop.call_soon_threadsafe(items.put_nowait, item)
            return True

        job = asyncio.ensure_future(self.run(produce, emit))
        # The loop runs this after every emitted item was queued, whether the job ended, failed or never started.
        job.add_done_callback(lambda _: items.put_nowait(None))
        try:
            while (item := await items.get()) is not None:
                yield item
            await job
        finally:
            abandoned.set()
            job.cancel()

    async def one_ahead(self, calls: Iterable[Callable[[], T]]) -> AsyncGenerator[T, None]:
        """The calls' results in order, each computed while the one before it is consumed."""
        pending: asyncio.Future[T] | None = None
        try:
            for call in calls:
                ready, pending = pending, asyncio.ensure_future(self.run(call))
                if ready is not None:
                    yield await ready
            if pending is not None:
                yield await pending
        finally:
            if pending is not None:
                pending.cancel()

    def close(self) -> None:
        """Accept no more work. What was accepted still runs, so that what was submitted to free things does."""
        self._pool.shutdown(wait=False)
