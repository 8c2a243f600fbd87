"""Work that runs beside the calls: tasks an agent spawns, and its timers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tandem.core import clock
from tandem.core.health import Issue
from tandem.errors import Receipt

Report = Callable[..., Receipt]
"""The shape of :meth:`tandem.agent.Agent.report_error`."""

MAX_REMEMBERED_FAILURES = 8


class Background:
    """Owns an agent's tasks: none outlives it, none fails unseen.

    ``report`` tells the error bus of each failure.
    """

    def __init__(self, log: logging.Logger, report: Report | None = None):
        self._log = log
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: dict[str, Issue] = {}

    def spawn(self, work: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def every(self, period_s: float, run: Callable[[], Awaitable[None]], name: str) -> None:
        """Start a timer: first run after one period, later ones a period apart, never two at once."""
        self.spawn(self._tick(period_s, run, name), name)

    def issues(self) -> list[Issue]:
        """The last failure of each task or timer that has not succeeded since."""
        return list(self._failures.values())

    async def close(self) -> None:
        """Cancel everything and wait until it has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick(self, period_s: float, run: Callable[[], Awaitable[None]], name: str) -> None:
        due = clock.monotonic() + period_s
        while True:
            await asyncio.sleep(due - clock.monotonic())
            try:
                await run()
            except Exception as error:
                self._remember(name, error)
            else:
                self._failures.pop(name, None)
            # A late run does not cause a burst of catch-up runs.
            due = max(due + period_s, clock.monotonic())

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._remember(task.get_name(), error)

    def _remember(self, name: str, error: BaseException) -> None:
        self._log.error("%s failed: %s", name, error, exc_info=error)
        if self._report is not None:
            self._report(error, context={"task": name})
        while len(self._failures) >= MAX_REMEMBERED_FAILURES and name not in self._failures:
            self._failures.pop(next(iter(self._failures)))
        self._failures[name] = Issue(f"{name} failed: {type(error).__name__}: {error}")
