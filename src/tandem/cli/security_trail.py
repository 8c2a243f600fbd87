"""The audit trails of this computer's machines, read as one."""

from __future__ import annotations

from tandem.core import clock
from tandem.core.paths import Home
from tandem.security import Trail
from tandem.security.trail import Record
from tandem.supervise.node_client import known_machines

RECENT_S = 3600.0


def read_all(home: Home, since: float = 0.0) -> list[tuple[str, Record]]:
    """Machine and record, by time, from ``since`` (Unix seconds) on."""
    found = [
        (machine, record)
        for machine in known_machines(home)
        for record in Trail(home.machine(machine).trail).read(since)
    ]
    return sorted(found, key=lambda pair: pair[1].at)


def refused_lately(home: Home) -> int:
    """How many connections, calls and joins were refused within the last hour."""
    recent = read_all(home, clock.wall() - RECENT_S)
    return sum(record.times for _, record in recent if record.event.endswith(("denied", "refused")))
