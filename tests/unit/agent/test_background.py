"""Background work of an agent: timers and tasks fail visibly and end with it."""

from __future__ import annotations

import asyncio
import logging

from tandem.agent.background import Background
from tandem.agent.virtual_time import run
from tandem.core import clock

LOG = logging.getLogger("test")


def test_timer_keeps_its_period_and_never_overlaps() -> None:
    """A run longer than the period delays the next one instead of overlapping or bursting."""

    async def main() -> list[float]:
        background, starts = Background(LOG), []

        async def work() -> None:
            starts.append(clock.monotonic())
            await asyncio.sleep(25 if len(starts) == 1 else 1)

        background.every(10, work, "work")
        await asyncio.sleep(61)
        await background.close()
        return starts

    assert run(main) == [10, 35, 45, 55]


def test_failure_is_an_issue_until_the_next_success() -> None:
    """A failing timer shows in the health, keeps running, and clears itself when it works again."""

    async def main() -> tuple[list[str], list[str]]:
        background, runs = Background(LOG), 0

        async def work() -> None:
            nonlocal runs
            runs += 1
            if runs == 1:
                raise OSError("disk full")

        background.every(1, work, "tidy")
        await asyncio.sleep(1.5)
        during = [issue.message for issue in background.issues()]
        await asyncio.sleep(1)
        after = [issue.message for issue in background.issues()]
        await background.close()
        return during, after

    during, after = run(main)

    assert during == ["tidy failed: OSError: disk full"]
    assert after == []


def test_spawned_task_failure_is_remembered() -> None:
    """A spawned task that dies is visible, not silent."""

    async def main() -> list[str]:
        background = Background(LOG)

        async def die() -> None:
            raise ValueError("no")

        background.spawn(die(), "follower")
        await asyncio.sleep(1)
        return [issue.message for issue in background.issues()]

    assert run(main) == ["follower failed: ValueError: no"]


def test_close_leaves_no_task() -> None:
    """Closing cancels what still runs and waits for its clean-up."""

    async def main() -> bool:
        background, cleaned = Background(LOG), False

        async def linger() -> None:
            nonlocal cleaned
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(1)
                cleaned = True

        background.spawn(linger())
        await asyncio.sleep(0)
        await background.close()
        return cleaned

    assert run(main)
