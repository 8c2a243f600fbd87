"""Public names beyond :mod:`tandem.agent`: a person's own connection to a running fleet, steering it, and the hub to derive from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

from tandem.agent.neighbours import endpoint_of
from tandem.agent.peers import PeerProxies
from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import ConfigError, Unreachable
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.fleet import Fleet, find_fleet_file, load
from tandem.hub import HealthMonitor, Hub, IncidentHub, Incidents
from tandem.rpc import Endpoint, Peers
from tandem.supervise.api import AgentView as AgentState
from tandem.supervise.steering import Steering
from tandem.telemetry.tracing import INTENT, AnySpan, start_turn

__all__ = [
    "INTENT",
    "AgentState",
    "AnySpan",
    "Connection",
    "HealthMonitor",
    "Hub",
    "IncidentHub",
    "Incidents",
    "Steering",
    "connect",
    "start_turn",
]

T = TypeVar("T")


class LocalResolver:
    """Finds agents of the machines that run on this computer by their unix sockets."""

    def __init__(self, fleet: Fleet, home: Home):
        self._fleet = fleet
        self._home = home

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        """See :class:`tandem.rpc.Resolver`."""
        identity = self._fleet.identify(peer)
        machine = self._fleet.machines[identity.machine]
        if not machine.is_here:
            raise Unreachable(f"{identity} runs on another computer", hint=f"run this on {machine.name}")
        return endpoint_of(self._home, identity)


class Connection:
    """An operator's view of the fleet; get one from :func:`connect`."""

    def __init__(self, fleet: Fleet, peers: Peers):
        self.fleet = fleet
        self._proxies = PeerProxies(peers)

    @property
    def front_door(self) -> AgentId:
        """The agent that takes requests of people.

        Raises :class:`ConfigError` when the fleet file names none.
        """
        if self.fleet.front_door is None:
            raise ConfigError("the fleet has no front door", hint="name one with `front_door:` in the fleet file")
        return AgentId(self.fleet.front_door)

    @overload
    def peer(self, who: type[T], at: str | None = None) -> T: ...
    @overload
    def peer(self, who: str, at: str | None = None) -> Any: ...
    def peer(self, who: Any, at: str | None = None) -> Any:
        """An agent as an object; see :meth:`tandem.agent.Agent.peer`."""
        return self._proxies.proxy(who, at)


@asynccontextmanager
async def connect(fleet_file: str | None = None, *, budget_s: float = 60.0) -> AsyncIterator[Connection]:
    """Connect to the fleet of this computer as its operator, whom its agents know by the kernel's word for the user id.

    ``fleet_file`` as for ``--fleet``; without any, the file of the fleet that runs. Calls made within the block share a time budget of ``budget_s`` seconds.
    Raises :class:`~tandem.fleet.FleetInvalid` for a wrong fleet file; an agent that does not run shows at the first call.
    """
    home = Home.from_environment()
    fleet = load(_fleet_file(fleet_file, home)).require()
    if not any(machine.is_here for machine in fleet.machines.values()):
        raise ConfigError("no machine of this fleet runs on this computer", hint="tandem machine join")
    peers = Peers(LocalResolver(fleet, home))
    try:
        with deadline_scope(Deadline.after(budget_s)):
            yield Connection(fleet, peers)
    finally:
        await peers.close()


def _fleet_file(explicit: str | None, home: Home) -> Path:
    path = find_fleet_file(explicit)
    if explicit is None and not path.exists():
        from tandem.supervise.node_client import running_fleet_file

        return running_fleet_file(home) or path
    return path
