"""What the screen of `tandem top` shows, and what it asks for it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from tandem.errors.desk import IncidentView
from tandem.supervise.api import Verb
from tandem.supervise.log_reader import Line


class AgentRow(Struct, frozen=True, kw_only=True):
    """One agent. ``cpu_fraction``: of one core; ``rate_hz``: requests answered a second; None: not known (yet)."""

    id: str
    name: str
    machine: str
    group: str
    state: str
    verdict: str
    restarts: int
    cpu_fraction: float | None = None
    memory_bytes: int | None = None
    rate_hz: float | None = None
    remark: str = ""


class MachineRow(Struct, frozen=True, kw_only=True):
    """One machine: its age in seconds, its servers' states, and what all of it uses."""

    name: str
    up_s: float
    servers: dict[str, str]
    cpu_fraction: float
    memory_bytes: int


class Picture(Struct, frozen=True):
    """One look. ``trouble``: what could not be seen, and why."""

    machines: list[MachineRow] = []
    agents: list[AgentRow] = []
    incidents: list[IncidentView] = []
    trouble: list[str] = []


class Source(Protocol):
    """Where the screen gets everything from."""

    async def look(self) -> Picture:
        """The fleet as it is now."""
        ...

    async def order(self, verb: Verb, agent: str) -> str:
        """Do ``verb`` to an agent and say in a sentence what came of it."""
        ...

    def logs(self, agent: str, count: int) -> LogTail:
        """The agent's last lines, and then what it writes."""
        ...


class LogTail(Protocol):
    """First the last lines, then what is new each time."""

    async def read(self) -> list[Line]:
        """Lines not returned before, oldest first."""
        ...

    async def close(self) -> None:
        """No more lines are wanted."""
        ...
