"""How busy this computer is."""

from __future__ import annotations

from pathlib import Path

import psutil

from tandem.core import clock
from tandem_agents.infrastructure.contracts import MachineReading


def read_machine(machine: str, directory: Path) -> MachineReading:
    """A reading now; CPU is the average since the last call in this process, and ``directory`` chooses the disk."""
    memory = psutil.virtual_memory()
    return MachineReading(
        at=clock.wall(),
        machine=machine,
        cpu_percent=psutil.cpu_percent(),
        cores=psutil.cpu_count() or 1,
        memory_used=memory.total - memory.available,
        memory_total=memory.total,
        disk_free=psutil.disk_usage(str(directory)).free,
    )
