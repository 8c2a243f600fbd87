"""Who listens where: one list of listeners per host, and what is wrong with it.

Two machines may share a computer, so clashes are judged per host, not per machine.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from msgspec import Struct

from tandem.fleet.model import AgentConfig, Fleet, MachineConfig, PortRange

INFRA = ""
"""Agent of a listener that belongs to the machine's own servers."""


class Listener(Struct, frozen=True, kw_only=True, order=True):
    """A TCP port in use. ``agent`` is an identity or :data:`INFRA`; ``purpose`` is ``rpc`` or the side port's name."""

    host: str
    port: int
    machine: str
    agent: str
    purpose: str

    def owner(self) -> str:
        """Who it is, in words."""
        if self.agent == INFRA:
            return f"{self.purpose} of machine {self.machine}"
        return self.agent if self.purpose == "rpc" else f"{self.agent} ({self.purpose})"


class Conflict(Struct, frozen=True):
    """Two listeners on one port of one host; ``first`` comes first in the file and keeps it."""

    first: Listener
    second: Listener


class Usage(Struct, frozen=True):
    """How full a machine's range is."""

    machine: str
    range: PortRange
    used: list[int]

    @property
    def free(self) -> int:
        return self.range.last - self.range.first + 1 - len(self.used)

    def gaps(self) -> list[PortRange]:
        """The free stretches, in order."""
        found: list[PortRange] = []
        start = self.range.first
        for port in (*self.used, self.range.last + 1):
            if port > start:
                found.append(PortRange(start, port - 1))
            start = port + 1
        return found


def infra_listeners(machine: MachineConfig) -> list[Listener]:
    """The ports of a machine's own servers."""
    return [
        Listener(host=machine.host_key, port=port, machine=machine.name, agent=INFRA, purpose=name)
        for name, port in machine.infra.listed()
    ]


def agent_listeners(agent: AgentConfig, host: str) -> list[Listener]:
    """The ports of one agent on ``host``: its own, then its side ports."""
    own = [("rpc", agent.port)] if agent.port is not None else []
    return [
        Listener(host=host, port=port, machine=agent.machine, agent=str(agent.id), purpose=purpose)
        for purpose, port in (*own, *agent.side_ports.items())
    ]


def listeners(fleet: Fleet) -> list[Listener]:
    """Every listener of the fleet: the machines' servers first, then agents in the order of the file."""
    found = [listener for machine in fleet.machines.values() for listener in infra_listeners(machine)]
    for agent in fleet.agents.values():
        if agent.machine in fleet.machines:
            found += agent_listeners(agent, fleet.machines[agent.machine].host_key)
    return found


def conflicts(found: Iterable[Listener]) -> list[Conflict]:
    """Every listener whose port an earlier one on the same host already has, with that first owner."""
    owners: dict[tuple[str, int], Listener] = {}
    clashes = []
    for listener in found:
        first = owners.setdefault((listener.host, listener.port), listener)
        if first is not listener:
            clashes.append(Conflict(first, listener))
    return clashes


def in_ranges(port: int, ranges: Iterable[PortRange]) -> bool:
    """Whether ``port`` is in one of ``ranges``; always, when there are none."""
    listed = list(ranges)
    return not listed or any(port in allowed for allowed in listed)


def usage(fleet: Fleet) -> list[Usage]:
    """How full each machine's ranges are, counting every listener on its host."""
    taken: dict[str, set[int]] = {}
    for listener in listeners(fleet):
        taken.setdefault(listener.host, set()).add(listener.port)
    return [
        Usage(
            machine.name, allowed, sorted(port for port in taken.get(machine.host_key, ()) if port in allowed)
        )
        for machine in fleet.machines.values()
        for allowed in machine.ports
    ]


def assign(name: str, ranges: Iterable[PortRange], taken: Mapping[int, object] | set[int]) -> int | None:
    """A free port for ``port: auto``, or None when the ranges are full.

    Starts at a place that follows from ``name``, so that adding one agent rarely moves another's port.
    """
    pool = [port for allowed in ranges for port in range(allowed.first, allowed.last + 1)]
    if not pool:
        return None
    start = zlib.crc32(name.encode()) % len(pool)
    return next((port for port in (*pool[start:], *pool[:start]) if port not in taken), None)
