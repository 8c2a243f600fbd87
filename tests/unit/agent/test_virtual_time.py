"""The virtual-time loop: time moves only when nothing else can."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tandem.agent.virtual_time import DeadlockError, run
from tandem.core import clock


def test_an_hour_passes_exactly() -> None:
    """Sleeping an hour moves both clocks by exactly an hour, without waiting."""

    async def main() -> tuple[float, float]:
        await asyncio.sleep(3600)
        return clock.monotonic(), clock.wall()

    assert run(main, wall=1_000_000.0) == (3600.0, 1_003_600.0)


def test_timers_fire_in_order_of_their_times() -> None:
    """Tasks wake in the order of their deadlines, whatever the order they were made in."""

    async def main() -> list[int]:
        woken: list[int] = []

        async def wake(after: int) -> None:
            await asyncio.sleep(after)
            woken.append(after)

        await asyncio.gather(*(wake(n) for n in (30, 10, 20)))
        return woken

    assert run(main) == [10, 20, 30]


def test_time_stands_still_while_a_thread_works() -> None:
    """A thread's work is outstanding work: no timer overtakes it."""

    async def main() -> tuple[bool, float]:
        release = threading.Event()
        timer_fired = False

        async def timer() -> None:
            nonlocal timer_fired
            await asyncio.sleep(0.001)
            timer_fired = True

        task = asyncio.create_task(timer())
        work = asyncio.create_task(asyncio.to_thread(release.wait, 10))
        for _ in range(3):
            await asyncio.sleep(0)
        fired_during_work = timer_fired
        release.set()
        await work
        await task
        return fired_during_work, clock.monotonic()

    fired_during_work, elapsed = run(main)

    assert not fired_during_work
    assert elapsed == pytest.approx(0.001)


def test_a_deadlock_is_reported_instead_of_hanging() -> None:
    """When every task waits and no timer is set, the test fails at once."""

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run(main)


def test_real_sockets_are_refused() -> None:
    """A unit test cannot open a connection by accident."""

    async def main() -> None:
        await asyncio.open_connection("127.0.0.1", 9)

    with pytest.raises(RuntimeError, match="memory transport"):
        run(main)


def test_the_calendar_can_be_set_without_moving_timers() -> None:
    """A clock jump changes wall time only; a running timer keeps its length."""

    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        sleeper = asyncio.create_task(asyncio.sleep(10))
        await asyncio.sleep(1)
        loop.set_wall_time(5_000.0)  # type: ignore[attr-defined]
        await sleeper
        return clock.monotonic(), clock.wall()

    assert run(main, wall=100.0) == (10.0, 5_009.0)
