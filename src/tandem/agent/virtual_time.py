"""An event loop whose clock is turned by the tests' own progress.

When nothing is ready to run and no thread works for the loop, time jumps to the next timer. A test of an
hour of behaviour takes milliseconds, is exact, and cannot be flaky from a slow machine. Prior art:
``trio.testing.MockClock(autojump_threshold=0)``; ours lives in the selector, because that is the one place
where asyncio decides to wait.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NoReturn, TypeVar

from tandem.core import clock

T = TypeVar("T")

THREAD_POLL_S = 0.05
"""Real seconds to wait at most for a working thread before looking again; it wakes the loop itself when done."""


class DeadlockError(RuntimeError):
    """Every task waits for something that can no longer happen."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never sleeps: advances its loop's clock instead."""

    def __init__(self, loop: VirtualTimeLoop):
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.threads_working:
            return super().select(THREAD_POLL_S)
        if timeout is None:
            raise DeadlockError("every task waits and no timer is set")
        self._loop.advance(timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that starts at time 0 and at the wall time given (Unix seconds). Network sockets are refused."""

    def __init__(self, wall: float | None = None):
        self._now = 0.0
        self._epoch = time.time() if wall is None else wall
        self.threads_working = 0
        super().__init__(_JumpingSelector(self))

    def run_forever(self) -> None:
        with clock.kept_by(self):
            super().run_forever()

    def time(self) -> float:
        return self._now

    def wall_time(self) -> float:
        return self._epoch + self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward by ``seconds``."""
        self._now += seconds

    def set_wall_time(self, wall: float) -> None:
        """Set the calendar, as a person or NTP might; timers are not moved by it."""
        self._epoch = wall - self._now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        self.threads_working += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        # The standard loop waits for a helper thread of its own here.
        self.threads_working += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self.threads_working -= 1

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self.threads_working -= 1

    async def create_connection(self, *_: Any, **__: Any) -> NoReturn:
        refuse("create_connection")

    async def create_server(self, *_: Any, **__: Any) -> NoReturn:
        refuse("create_server")

    async def create_unix_connection(self, *_: Any, **__: Any) -> NoReturn:
        refuse("create_unix_connection")

    async def create_unix_server(self, *_: Any, **__: Any) -> NoReturn:
        refuse("create_unix_server")

    async def create_datagram_endpoint(self, *_: Any, **__: Any) -> NoReturn:
        refuse("create_datagram_endpoint")


def refuse(what: str) -> NoReturn:
    raise RuntimeError(f"{what}: real sockets do not know virtual time; use the memory transport in unit tests")


def run(main: Callable[[], Any], *, wall: float | None = None) -> Any:
    """Run the coroutine function ``main`` on a fresh virtual-time loop and return its result."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(wall)) as runner:
        return runner.run(main())
