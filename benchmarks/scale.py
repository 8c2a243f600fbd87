"""A thousand minimal agents on one computer: how long they start, what they take, and whether it grows in proportion."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from _fleet import cpu_seconds, idle_fraction, proportional_set, running
from _managers import wait_until_idle
from _rows import Row, run, say

MANY, FEW = 1000, 250
SETTLE_S = 10.0
WATCHED_S = 20.0


def measure() -> Sequence[Row]:
    few_s, few_bytes, _few_idle, few_cpu = one(FEW)
    many_s, many_bytes, many_idle, many_cpu = one(MANY)
    grown = MANY / FEW
    return [
        Row(id="scale.start_s", ours=many_s, unit="s"),
        Row(id="scale.start_growth", ours=many_s / few_s / grown, unit="1"),
        Row(id="scale.cpu_s", ours=many_cpu, unit="s"),
        Row(id="scale.cpu_growth", ours=many_cpu / few_cpu / grown, unit="1"),
        Row(id="scale.pss_bytes", ours=many_bytes, unit="B"),
        Row(id="scale.pss_growth", ours=many_bytes / few_bytes / grown, unit="1"),
        Row(id="scale.idle_cpu_fraction", ours=many_idle, unit="1"),
    ]


def one(number: int) -> tuple[float, float, float, float]:
    """Seconds, bytes, fraction of a core when idle, and CPU seconds of the start of ``number`` agents."""
    with running([f"Agent{at:04}" for at in range(number)]) as (fleet, seconds):
        asyncio.run(fleet.answer())
        processes = fleet.processes()
        cpu, memory = cpu_seconds(processes), proportional_set(processes)
        fleet.await_copy()
        wait_until_idle(SETTLE_S)
        idle = idle_fraction(fleet.processes(), WATCHED_S)
    say(f"{number} agents: up after {seconds:.1f} s ({cpu:.1f} s of CPU), {memory / 2**20:.0f} MiB, then {idle:.1%} of a core")
    return seconds, memory, idle, cpu


if __name__ == "__main__":
    run("scale", measure)
