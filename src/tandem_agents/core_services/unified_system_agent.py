"""The operator's door for programs."""

from __future__ import annotations

import os
import platform

from msgspec import Struct

from tandem.agent import Agent, action, current_principal
from tandem.api import AgentState, Steering
from tandem.core.errors import InvalidArguments, PermissionDenied
from tandem_agents.core_services.system_contracts import Leftover, MachineInfo, ManagedAgent, SystemInfo

DAY_S = 86_400.0


class UnifiedSystemAgent(Agent):
    """Lists, starts, stops and restarts agents of this computer, cleans up behind them, and describes it.

    Everybody of the fleet may look; only the operator, and who the fleet file names, may change anything.
    """

    class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``operators``: callers (``Agent@machine``, or a user's name) who may do what the operator may."""

        operators: tuple[str, ...] = ()

    settings: Settings

    async def start(self) -> None:
        self._steering = Steering()

    @action(idempotent=True)
    async def list_services(self, machine: str = "") -> list[ManagedAgent]:
        """Every agent of this computer's machines."""
        found = [view for status in await self._steering.status() for view in status.agents]
        return [_shown(view) for view in found if machine in ("", view.machine)]

    @action(idempotent=True)
    async def get_service_status(self, name: str) -> ManagedAgent:
        """One agent."""
        return _shown(await self._steering.find(name))

    @action
    async def start_service(self, name: str) -> ManagedAgent:
        """Start an agent and wait until it is up or in trouble."""
        self._must_be_operator("start")
        return _shown(await self._steering.order("start", name))

    @action
    async def stop_service(self, name: str) -> ManagedAgent:
        """Stop an agent; done when not a process of it is left."""
        self._must_be_operator("stop")
        await self._must_be_another(name)
        return _shown(await self._steering.order("stop", name))

    @action
    async def restart_service(self, name: str) -> ManagedAgent:
        """Restart an agent and wait until the new instance is up."""
        self._must_be_operator("restart")
        await self._must_be_another(name)
        return _shown(await self._steering.order("restart", name))

    @action
    async def cleanup_system(self, older_than_s: float = 7 * DAY_S) -> list[Leftover]:
        """Delete compressed logs older than that."""
        self._must_be_operator("clean up")
        if older_than_s < 0:
            raise InvalidArguments(f"older_than_s must not be negative: {older_than_s}")
        removed = await self._steering.remove_leftovers(older_than_s)
        self.log.info("removed %d old log files, %d bytes", len(removed), sum(size for _, size in removed))
        return [Leftover(path=path, bytes=size) for path, size in removed]

    @action(idempotent=True)
    async def get_system_info(self) -> SystemInfo:
        """What this computer is, and the machines that run on it."""
        return SystemInfo(
            system=f"{platform.system()} {platform.release()}",
            processor=platform.machine(),
            cores=os.cpu_count() or 1,
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            python=platform.python_version(),
            machines=[
                MachineInfo(
                    name=status.machine,
                    up_s=status.up_s,
                    agents=len(status.agents),
                    servers=[service.name for service in status.services],
                    links={link.machine: link.state for link in status.links},
                )
                for status in await self._steering.status()
            ],
        )

    def _must_be_operator(self, what: str) -> None:
        caller = current_principal()
        if caller is None or (caller.kind != "operator" and caller.name not in self.settings.operators):
            who = "an unknown caller" if caller is None else caller.name
            self.log.warning("refused to let %s %s", who, what)
            raise PermissionDenied(
                f"{who} may not {what} agents",
                hint="only the operator, or `operators:` of this agent's settings",
            )

    async def _must_be_another(self, name: str) -> None:
        view = await self._steering.find(name)
        if (view.name, view.machine) == (self.name, self.machine):
            raise InvalidArguments("it cannot wait for its own end", hint=f"tandem restart {self.name}")


def _shown(view: AgentState) -> ManagedAgent:
    return ManagedAgent(
        name=view.name,
        machine=view.machine,
        group=view.group,
        state=view.state,
        pid=view.pid,
        restarts=view.restarts,
        issues=list(view.issues),
        note=view.note,
    )
