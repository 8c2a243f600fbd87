"""Ending tasks that would rather not."""

from __future__ import annotations

import asyncio

from tandem.core import tasks
from tandem.core.tasks import end


async def test_a_task_that_loses_a_cancellation_ends_all_the_same(monkeypatch):
    """The second cancellation reaches a loop whose library swallowed the first."""
    monkeypatch.setattr(tasks, "INSIST_S", 0.01)
    lost = 0

    async def deaf_once() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                lost += 1
                if lost > 1:
                    raise

    task = asyncio.create_task(deaf_once())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert lost == 2


async def test_finished_failed_and_absent_tasks_are_fine():
    """Nothing is raised for what ended before, by itself or by an error."""

    async def fail() -> None:
        raise RuntimeError("as it may")

    async def done() -> int:
        return 1

    failed, finished = asyncio.create_task(fail()), asyncio.create_task(done())
    await asyncio.wait({failed, finished})
    await end(failed, finished, None)
    await end()
    assert finished.result() == 1


async def test_the_waiter_can_itself_be_cancelled():
    """A caller in a hurry is not held by a task that never ends."""

    async def never() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if stop:
                    raise

    stop: list[int] = []
    task = asyncio.create_task(never())
    await asyncio.sleep(0)
    waiter = asyncio.create_task(end(task))
    await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.wait({waiter})
    assert waiter.cancelled()
    stop.append(1)
    await end(task)
