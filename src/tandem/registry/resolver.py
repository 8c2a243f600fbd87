"""From a peer's name to the endpoint RPC connects to."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tandem.core import clock
from tandem.core.deadline import Deadline
from tandem.core.errors import NotFound, PermissionDenied, TandemError, Unavailable, Unreachable
from tandem.core.ids import AgentId
from tandem.core.paths import MachineDirs
from tandem.registry.client import Registry
from tandem.registry.lease import Lease
from tandem.rpc import Endpoint, LinkCut

LOOKUP_S = 1.0
"""How much of a call's budget a look into the registry may take before the last known endpoint is used."""

APPEAR_S = 1.0
"""How much of it an agent without lease gets to appear: it may be starting, or its name on its way between machines."""

POLL_S = 0.05


class RegistryResolver:
    """Resolves peers for one machine.

    A neighbour is reached by its unix socket, whose path follows from its name: no registry is asked, so
    neighbours find each other even without one. Peers on other machines are looked up, and the last answer is kept
    for the time the registry is away.

    ``directory`` is the fleet file's view: agent name → machines that have it.
    """

    def __init__(
        self, machine: str, run_dir: Path, directory: Mapping[str, Sequence[str]], registry: Registry | None
    ) -> None:
        self._machine = machine
        self._dirs = MachineDirs(run_dir, run_dir)
        self._directory = directory
        self._registry = registry
        self._last: dict[AgentId, Endpoint] = {}

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        """The endpoint of ``Name`` or ``Name@machine``; see design.md section 2 for what a bare name means.

        Raises :class:`NotFound` for a name nobody has or that several machines have, and :class:`Unreachable` for
        an agent that is not running, cannot be called from here, or is not known while the registry is away.
        """
        name, _, machine = peer.partition("@")
        where = machine or self._machine_of(name) or await self._registered_machine(name, deadline)
        if where == self._machine:
            return Endpoint.of_socket(self._dirs.agent_socket(name), AgentId.of(name, where))
        return await self._elsewhere(AgentId.of(name, where), deadline)

    def _machine_of(self, name: str) -> str:
        """The machine the fleet file has it on; empty when the file does not know it."""
        machines = self._directory.get(name, ())
        if self._machine in machines:
            return self._machine
        return _only(name, machines) if machines else ""

    async def _registered_machine(self, name: str, deadline: Deadline) -> str:
        """The machine of an agent that is no part of our view of the fleet, for instance one just added."""
        try:
            machines = [lease.machine for lease in await self._lookup(name, deadline)]
        except TandemError:
            machines = []
        if self._machine in machines:
            return self._machine
        if machines:
            return _only(name, machines)
        close = difflib.get_close_matches(name, self._directory, n=1)
        raise NotFound(f"no agent is called {name}", hint=f"did you mean {close[0]}?" if close else None)

    async def _elsewhere(self, agent: AgentId, deadline: Deadline) -> Endpoint:
        await self._refuse_if_cut(agent)
        try:
            lease = await self._awaited(agent, deadline)
        except (Unreachable, Unavailable, PermissionDenied) as error:
            last = self._last.get(agent)
            if last is None:
                raise Unreachable(f"cannot find {agent}: {error}") from error
            return last
        if lease is None:
            self._last.pop(agent, None)
            raise Unreachable(
                f"{agent} is not running, as far as {self._machine} knows", hint=f"tandem start {agent}"
            )
        endpoint = self._last[agent] = _endpoint(lease, self._machine)
        return endpoint

    async def _refuse_if_cut(self, agent: AgentId) -> None:
        """Nobody should wait for a connection that this machine's node knows to be impossible."""
        if self._registry is None:
            return
        try:
            async with asyncio.timeout(LOOKUP_S):
                since = await self._registry.cut_since(agent.machine)
        except (TandemError, TimeoutError):
            return
        if since is not None:
            raise LinkCut(
                f"{agent.machine} cannot be reached from {self._machine} since {max(0.0, clock.wall() - since):.0f} s",
                hint="tandem status shows the link",
                details={"machine": agent.machine},
            )

    async def _awaited(self, agent: AgentId, deadline: Deadline) -> Lease | None:
        patience = Deadline.after(min(APPEAR_S, deadline.remaining()))
        while True:
            leases = await self._lookup(agent, deadline)
            if leases or patience.remaining() <= 0:
                return leases[0] if leases else None
            await asyncio.sleep(POLL_S)

    async def _lookup(self, name: str, deadline: Deadline) -> list[Lease]:
        if self._registry is None:
            raise Unreachable("this process has no registry")
        try:
            async with asyncio.timeout(min(LOOKUP_S, max(0.0, deadline.remaining()))):
                return await self._registry.lookup(name)
        except TimeoutError:
            raise Unreachable("the registry does not answer") from None


def _only(name: str, machines: Sequence[str]) -> str:
    if len(machines) > 1:
        candidates = ", ".join(f"{name}@{machine}" for machine in sorted(machines))
        raise NotFound(
            f"{name} is on several machines",
            hint=f"say which: {candidates}",
            details={"candidates": candidates},
        )
    return machines[0]


def _endpoint(lease: Lease, caller_machine: str) -> Endpoint:
    if lease.zmq is None:
        raise Unreachable(
            f"{lease.name} opens no port, so {caller_machine} cannot call it",
            hint=f"give {lease.agent} a port in the fleet file",
        )
    return Endpoint("zmq", lease.zmq, lease.instance, lease.curve_public.encode(), service=lease.name)
