"""kill -9 of one agent until it is healthy again, and of all 77 at once, beside supervisord and circus.

"Healthy again" is what a caller sees: a call made as soon as the process is gone is answered by a new one that says it
is healthy.
"""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from _fleet import AGENTS, HEALTHY, POLL_S, answer_all, answered, running
from _managers import Manager, installed, wait_until_idle
from _rows import Row, compare, run, say

KILLS = 100
KILLS_OF_OTHERS = 15
"""They take seconds each."""
STABLE_S = 11.0
"""An agent that was healthy for ten seconds has earned an immediate restart; every one of ours has."""
LOOK_S = 0.002

Healthy = Callable[[str], Awaitable[None]]


async def kill(pids: Sequence[int]) -> float:
    """Send KILL; monotonic seconds just before. Returns when the processes are gone."""
    began = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    while any(map(alive, pids)):  # noqa: ASYNC110 - nothing tells the end of somebody else's child
        await asyncio.sleep(0.0005)
    return began


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def one_by_one(order: Sequence[str], pids: Callable[[], dict[str, int]], healthy: Healthy) -> list[float]:
    """Seconds from the KILL of each until it was healthy again."""
    took = []
    for agent in order:
        began = await kill([pids()[agent]])
        await healthy(agent)
        took.append(time.monotonic() - began)
    return took


async def all_at_once(pids: dict[str, int], healthy: Healthy) -> float:
    began = await kill(list(pids.values()))
    await asyncio.gather(*(healthy(agent) for agent in pids))
    return time.monotonic() - began


async def measure_tandem() -> tuple[list[float], float]:
    from tandem.core.errors import TandemError

    with running() as (fleet, _seconds):

        def pids() -> dict[str, int]:
            titles = {process.pid: " ".join(process.cmdline()) for process in fleet.processes()}
            return {title.removeprefix("tandem: ").partition("@")[0]: pid for pid, title in titles.items() if "@bench" in title}

        async def until_healthy(agent: str) -> None:
            peer = connection.peer(agent)
            while True:
                try:
                    if (await peer.health_check())["status"] in HEALTHY:
                        return
                except TandemError:
                    pass
                await asyncio.sleep(LOOK_S)

        async with fleet.connect() as connection:
            await asyncio.gather(*(until_healthy(agent) for agent in AGENTS))
            took: list[float] = []
            while len(took) < KILLS:
                wait_until_idle(STABLE_S)
                took += await one_by_one(AGENTS[: KILLS - len(took)], pids, until_healthy)
            wait_until_idle(STABLE_S)
            return took, await all_at_once(pids(), until_healthy)


async def measure_other(kind: type[Manager]) -> tuple[list[float], float]:
    with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
        manager = kind(Path(folder), AGENTS)

        def pids() -> dict[str, int]:
            found = {}
            for process in manager.processes():
                arguments = process.cmdline()
                if len(arguments) > 2 and arguments[-2] in AGENTS:
                    found[arguments[-2]] = process.pid
            return found

        async def until_healthy(agent: str) -> None:
            await answered(agent, manager.socket(agent), poll_s=LOOK_S)

        try:
            manager.start()
            await answer_all({agent: manager.socket(agent) for agent in AGENTS})
            wait_until_idle(STABLE_S)
            took = await one_by_one(AGENTS[:KILLS_OF_OTHERS], pids, until_healthy)
            return took, await all_at_once(pids(), lambda agent: answered(agent, manager.socket(agent), poll_s=POLL_S))
        finally:
            manager.stop()


def figures(took: list[float], everybody: float) -> dict[str, float]:
    return {
        "faults.kill9_one.median_s": statistics.median(took),
        "faults.kill9_one.p99_s": statistics.quantiles(took, n=100, method="inclusive")[98],
        "faults.kill9_all.s": everybody,
    }


def measure() -> Sequence[Row]:
    managers = installed("supervisord", "circus")
    ours = figures(*asyncio.run(measure_tandem()))
    say(f"tandem: {_in_words(ours)} ({KILLS} kills)")
    rows: list[Row] = []
    for name, kind in managers.items():
        wait_until_idle()
        theirs: dict[str, Any] = figures(*asyncio.run(measure_other(kind)))
        say(f"{name}: {_in_words(theirs)} ({KILLS_OF_OTHERS} kills)")
        rows += [compare(metric, "s", value, name, theirs[metric]) for metric, value in ours.items()]
    return rows or [Row(id=metric, ours=value, unit="s") for metric, value in ours.items()]


def _in_words(found: dict[str, float]) -> str:
    return ", ".join(f"{metric.removeprefix('faults.')} {value:.3f}" for metric, value in found.items())


if __name__ == "__main__":
    run("faults", measure)
