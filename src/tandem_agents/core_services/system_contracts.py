"""What the operator's door for programs offers."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from tandem.agent import action, contract


class ManagedAgent(Struct, frozen=True, kw_only=True):
    """An agent as its supervisor sees it. ``note`` says why it is where it is and what comes next. ``state`` is ``unknown``
    when the computer it runs on does not answer.
    """

    name: str
    machine: str
    group: str
    state: str
    pid: int | None = None
    restarts: int = 0
    issues: list[str] = []
    note: str = ""


class Leftover(Struct, frozen=True, kw_only=True):
    """A file that was deleted."""

    path: str
    bytes: int


class MachineInfo(Struct, frozen=True, kw_only=True):
    """A machine of the fleet on this computer. ``links``: other machine → up, silent, cut or never."""

    name: str
    up_s: float
    agents: int
    servers: list[str]
    links: dict[str, str] = {}


class SystemInfo(Struct, frozen=True, kw_only=True):
    """A computer and what of the fleet runs on it."""

    system: str
    processor: str
    cores: int
    memory_bytes: int
    python: str
    machines: list[MachineInfo]


@contract("UnifiedSystemAgent")
class SystemControl(Protocol):
    """The operator's orders, for programs. Names are ``Name`` or ``Name@machine``."""

    @action(idempotent=True)
    async def list_services(self, machine: str = "") -> list[ManagedAgent]:
        """Every agent of ``machine``, or of all; raises nothing for a computer that does not answer, see :class:`ManagedAgent`."""
        ...

    @action(idempotent=True)
    async def get_service_status(self, name: str) -> ManagedAgent:
        """One agent, by ``Name`` or ``Name@machine``. Raises ``NotFound``."""
        ...

    async def start_service(self, name: str) -> ManagedAgent:
        """This and the following raise ``PermissionDenied`` for who is not an operator, ``NotFound`` for no such agent."""
        ...

    async def stop_service(self, name: str) -> ManagedAgent:
        """Stop an agent; returns when nothing of it is left."""
        ...

    async def restart_service(self, name: str) -> ManagedAgent:
        """Stop an agent and start it anew; returns when it is up or in trouble."""
        ...

    async def cleanup_system(self, older_than_s: float = 604_800.0, machine: str = "") -> list[Leftover]:
        """Delete compressed logs older than that on the asked computer, or that of ``machine``; which they were."""
        ...

    @action(idempotent=True)
    async def get_system_info(self, machine: str = "") -> SystemInfo:
        """What the asked computer, or that of ``machine``, is, and the machines of the fleet that run on it."""
        ...
