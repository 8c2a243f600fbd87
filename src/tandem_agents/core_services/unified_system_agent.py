"""The operator's door for programs."""

from __future__ import annotations

import os
import platform

from msgspec import Struct

from tandem.agent import Agent, action, current_principal
from tandem.api import AgentState, Steering
from tandem.core.errors import InvalidArguments, NotFound, PermissionDenied, TandemError
from tandem.core.ids import AgentId
from tandem_agents.core_services.system_contracts import (
    Leftover,
    MachineInfo,
    ManagedAgent,
    SystemControl,
    SystemInfo,
)

DAY_S = 86_400.0


class UnifiedSystemAgent(Agent):
    """Lists, starts, stops and restarts agents, cleans up behind them, and describes computers.

    Everybody of the fleet may look; only the operator, and who the fleet file names, may change anything. What concerns
    another computer is asked of its own UnifiedSystemAgent, which has to name this one among its ``operators``: so each
    computer decides for itself whom it obeys.
    """

    class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``operators``: callers (``Agent@machine``, or a user's name) who may do what the operator may."""

        operators: tuple[str, ...] = ()

    settings: Settings

    async def start(self) -> None:
        self._steering = Steering()

    @action(idempotent=True)
    async def list_services(self, machine: str = "") -> list[ManagedAgent]:
        """Every agent of ``machine``, or of all. Those of a computer that does not answer are ``unknown``, with the reason."""
        found = [_shown(view) for status in await self._steering.status() for view in status.agents]
        here = {agent.machine for agent in found} | {self.machine}
        if machine in here:
            return [agent for agent in found if agent.machine == machine]
        if machine:
            return await self._twin(machine).list_services(machine)
        leases = await self.directory()
        for other in sorted({lease.machine for lease in leases} - here):
            try:
                found += await self._twin(other).list_services(other)
            except TandemError as error:
                why = f"{other} did not tell: {error.message}"
                found += [
                    ManagedAgent(name=lease.agent, machine=other, group="", state="unknown", note=why)
                    for lease in sorted(leases, key=lambda lease: lease.agent)
                    if lease.machine == other
                ]
        return found

    @action(idempotent=True)
    async def get_service_status(self, name: str) -> ManagedAgent:
        """One agent."""
        machine = await self._elsewhere(name)
        return await self._twin(machine).get_service_status(name) if machine else _shown(await self._steering.find(name))

    @action
    async def start_service(self, name: str) -> ManagedAgent:
        """Start an agent and wait until it is up or in trouble."""
        self._must_be_operator("start")
        machine = await self._elsewhere(name)
        if machine:
            return await self._twin(machine).start_service(name)
        return _shown(await self._steering.order("start", name))

    @action
    async def stop_service(self, name: str) -> ManagedAgent:
        """Stop an agent; done when not a process of it is left."""
        self._must_be_operator("stop")
        machine = await self._elsewhere(name)
        if machine:
            return await self._twin(machine).stop_service(name)
        await self._must_be_another(name)
        return _shown(await self._steering.order("stop", name))

    @action
    async def restart_service(self, name: str) -> ManagedAgent:
        """Restart an agent and wait until the new instance is up."""
        self._must_be_operator("restart")
        machine = await self._elsewhere(name)
        if machine:
            return await self._twin(machine).restart_service(name)
        await self._must_be_another(name)
        return _shown(await self._steering.order("restart", name))

    @action
    async def cleanup_system(self, older_than_s: float = 7 * DAY_S, machine: str = "") -> list[Leftover]:
        """Delete compressed logs older than that on this computer, or on that of ``machine``."""
        self._must_be_operator("clean up")
        if older_than_s < 0:
            raise InvalidArguments(f"older_than_s must not be negative: {older_than_s}")
        if not await self._is_here(machine):
            return await self._twin(machine).cleanup_system(older_than_s, machine)
        removed = await self._steering.remove_leftovers(older_than_s)
        self.log.info("removed %d old log files, %d bytes", len(removed), sum(size for _, size in removed))
        return [Leftover(path=path, bytes=size) for path, size in removed]

    @action(idempotent=True)
    async def get_system_info(self, machine: str = "") -> SystemInfo:
        """What this computer, or that of ``machine``, is, and the machines that run on it."""
        if not await self._is_here(machine):
            return await self._twin(machine).get_system_info(machine)
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

    async def _elsewhere(self, name: str) -> str:
        """The machine of another computer on which ``name`` (``Name@machine``, or a name only it has) runs; else empty."""
        said = AgentId(name)
        here = [view for status in await self._steering.status() for view in status.agents]
        if said.machine:
            return "" if said.machine in {self.machine, *(view.machine for view in here)} else said.machine
        if any(view.name == said.name for view in here):
            return ""
        machines = {lease.machine for lease in await self.directory() if lease.agent == said.name}
        return machines.pop() if len(machines) == 1 else ""

    async def _is_here(self, machine: str) -> bool:
        return machine in ("", self.machine) or machine in {s.machine for s in await self._steering.status()}

    def _twin(self, machine: str) -> SystemControl:
        caller = current_principal()
        if caller is not None and caller.kind == "agent" and AgentId(caller.name).name == self.name:
            # One of us took that machine to be ours; asking on could go round in circles.
            raise NotFound(f"machine {machine} is not on this computer")
        return self.peer(SystemControl, f"{self.name}@{machine}")

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
