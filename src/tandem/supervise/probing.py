"""Readiness and liveness of what does not tell us itself: our servers, and programs that are not agents.

A probe is an adapter; its answers become the same events an agent's own words do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.health import Status
from tandem.infra.probe import DiskFull
from tandem.supervise.lifecycle import SERVING, Event, Ready, Reported, Unresponsive
from tandem.supervise.runner import Runner

Ask = Callable[[float], Awaitable[None]]
"""Returns when it serves; raises a :class:`TandemError` with the reason when not, within so many seconds."""

FIRST_POLL_S = 0.005
SLOWEST_POLL_S = 0.25


class Prober(Struct, frozen=True, kw_only=True):
    """How and how often to ask. ``failures`` in a row make it unhealthy, silence for ``give_up_s`` unresponsive, unless it
    is for want of room on the disk: then only once there is some."""

    ask: Ask
    every_s: float = 1.0
    timeout_s: float = 3.0
    failures: int = 3
    give_up_s: float = 30.0


class Probing:
    """One task per probed runner; a new instance replaces it."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, runner: Runner, prober: Prober) -> None:
        """Ask the runner's current instance until :meth:`end`."""
        self.end(runner.name)
        instance = runner.state.instance
        self._tasks[runner.name] = asyncio.create_task(
            self._follow(runner, instance, prober), name=f"probe {runner.name}"
        )

    def end(self, name: str) -> None:
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()

    def close(self) -> None:
        for name in list(self._tasks):
            self.end(name)

    async def _follow(self, runner: Runner, instance: str, prober: Prober) -> None:
        if runner.state.phase not in SERVING:
            await self._until_ready(runner, prober)
            runner.feed(Ready(instance))
        await self._watch(runner, instance, prober)

    async def _until_ready(self, runner: Runner, prober: Prober) -> None:
        pause = FIRST_POLL_S
        while True:
            try:
                return await prober.ask(prober.timeout_s)
            except TandemError as error:
                runner.status = error.message
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, SLOWEST_POLL_S)

    async def _watch(self, runner: Runner, instance: str, prober: Prober) -> None:
        failed = 0
        served_at = clock.monotonic()
        while True:
            await asyncio.sleep(prober.every_s)
            event: Event | None = None
            try:
                await prober.ask(prober.timeout_s)
            except TandemError as error:
                failed += 1
                if clock.monotonic() - served_at >= prober.give_up_s and not isinstance(error, DiskFull):
                    event = Unresponsive(instance, f"no answer for {prober.give_up_s:g} s: {error.message}")
                elif failed == prober.failures:
                    event = Reported(instance, Status.UNHEALTHY, (error.message,))
            else:
                if failed >= prober.failures:
                    event = Reported(instance, Status.HEALTHY)
                failed, served_at = 0, clock.monotonic()
            if event is not None:
                runner.feed(event)
