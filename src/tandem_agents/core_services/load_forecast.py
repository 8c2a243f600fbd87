"""Would more fit? Judged by the recent readings of a machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tandem_agents.core_services.contracts import LoadVerdict
from tandem_agents.infrastructure.contracts import MachineReading

RECENT_S = 60.0
CPU_CEILING_PERCENT = 90.0
MEMORY_RESERVE = 0.05
"""Share of a machine's memory that stays free for everybody else."""
MIB = 1 << 20


def would_fit(
    readings: Sequence[MachineReading], kind: Literal["cpu", "ram"], amount: float, now: float
) -> LoadVerdict:
    """Judge ``amount`` more (percent of CPU, or MiB) by the last minute; the worst reading counts for memory.

    ``unknown`` when there is no reading that recent.
    """
    recent = [reading for reading in readings if now - reading.at <= RECENT_S]
    if not recent:
        return LoadVerdict(fits="unknown", left=0.0, why="there is no reading of the last minute")
    if kind == "cpu":
        mean = sum(reading.cpu_percent for reading in recent) / len(recent)
        left = CPU_CEILING_PERCENT - mean - amount
        why = f"{mean:.0f}% of the CPU is used, {CPU_CEILING_PERCENT:.0f}% may be"
    else:
        free = min(reading.memory_total - reading.memory_used for reading in recent)
        left = (free - MEMORY_RESERVE * recent[-1].memory_total) / MIB - amount
        why = f"{free / MIB:.0f} MiB are free, {MEMORY_RESERVE:.0%} of all stay in reserve"
    return LoadVerdict(fits="yes" if left >= 0 else "no", left=left, why=why)
