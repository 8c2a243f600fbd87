"""What 77 healthy agents cost while nobody asks them anything: CPU of the whole tree, each agent checked every second.

supervisord beside it runs the same agents, which check themselves as often, and asks none of them how it is.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from _fleet import AGENTS, answer_all, idle_fraction, running
from _managers import installed, wait_until_idle
from _rows import Row, compare, run, say

SETTLE_S = 10.0
WATCHED_S = 30.0


def measure_tandem() -> float:
    with running() as (fleet, _seconds):
        asyncio.run(fleet.answer())
        fleet.await_copy()
        wait_until_idle(SETTLE_S)
        return idle_fraction(fleet.processes(), WATCHED_S)


def measure() -> Sequence[Row]:
    ours = measure_tandem()
    say(f"tandem: {ours:.1%} of a core over {WATCHED_S:g} s")
    rows = []
    for name, kind in installed("supervisord").items():
        with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
            manager = kind(Path(folder), AGENTS)
            try:
                manager.start()
                asyncio.run(answer_all({agent: manager.socket(agent) for agent in AGENTS}))
                wait_until_idle(SETTLE_S)
                theirs = idle_fraction(manager.processes(), WATCHED_S)
            finally:
                manager.stop()
        say(f"{name}: {theirs:.1%} of a core")
        rows.append(compare("idle.cpu_fraction", "1", ours, name, theirs))
    return rows or [Row(id="idle.cpu_fraction", ours=ours, unit="1")]


if __name__ == "__main__":
    run("idle", measure)
