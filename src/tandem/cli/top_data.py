"""What `tandem top` shows: the nodes' pictures, the agents' own request counts, and the incidents of the hub."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from tandem.cli.asking import _Neighbours
from tandem.cli.local import all_agents, open_all, statuses
from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.errors.desk import IncidentView
from tandem.hub.contract import HUB
from tandem.rpc import Peers
from tandem.security import Authority, Identity
from tandem.supervise.api import AgentView, Done, MachineStatus, Order, Refused, Verb
from tandem.supervise.log_reader import Line, LogReader
from tandem.supervise.node_client import follow

ASK_S = 1.0
"""Budget of one look at an agent's counters; one that is too busy to answer shows no rate."""
ORDER_S = 120.0
INCIDENTS = 6
OWN_QUESTIONS = ("metrics", "health_check", "ping", "list_incidents")
"""Asked by whoever watches, so they are no work."""

_COUNT = re.compile(r'^agent_requests_total\{[^}]*method="([^"]*)"[^}]*\} ([0-9.e+]+)', re.MULTILINE)


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

    def read(self) -> list[Line]:
        """Lines not returned before, oldest first."""
        ...


class FleetSource:
    """The fleet of this computer."""

    def __init__(self, home: Home):
        self._home = home
        self._peers: Peers | None = None
        self._counts: dict[str, tuple[float, float]] = {}

    async def look(self) -> Picture:
        """See :class:`Source`."""
        found, failures = await asyncio.to_thread(statuses, self._home)
        trouble = [f"{machine}: {error}" for machine, error in failures.items()] if not found else []
        views = all_agents(found)
        if not found:
            return Picture(trouble=trouble or ["nothing runs here: tandem up"])
        peers = self._connected(found[0].machine)
        serving = [view for view in views if view.pid is not None and view.verdict == "up"]
        rates = dict(zip(map(_id, serving), await asyncio.gather(*(self._rate(peers, view) for view in serving)), strict=True))
        incidents = await self._incidents(peers, [view for view in serving if view.name == HUB])
        return Picture(
            machines=[_machine_row(status) for status in found],
            agents=[_agent_row(view, rates.get(_id(view))) for view in views],
            incidents=incidents,
            trouble=trouble,
        )

    async def order(self, verb: Verb, agent: str) -> str:
        """See :class:`Source`."""
        return await asyncio.to_thread(self._order, verb, AgentId(agent))

    def logs(self, agent: str, count: int) -> LogTail:
        """See :class:`Source`."""
        return _Tail(self._home, agent, count)

    async def close(self) -> None:
        if self._peers is not None:
            await self._peers.close()

    def _order(self, verb: Verb, agent: AgentId) -> str:
        question = Order(verb=verb, agents=[str(agent)])
        begun, refused = open_all(self._home, [agent.machine], lambda _machine: question)
        final = refused.get(agent.machine) or follow(begun, lambda _m, _a: None, ORDER_S).get(agent.machine)
        match final:
            case Done(views=[view, *_]):
                return f"{agent}: {view.state}"
            case Refused(message=message):
                return f"{agent}: {message}"
            case TandemError():
                return f"{agent}: {final}"
        return f"{agent}: not done after {ORDER_S:g} s"

    def _connected(self, machine: str) -> Peers:
        if self._peers is None:
            identity = Identity(Authority.open(self._home).machine(machine).issue("operator", "operator"))
            self._peers = Peers(_Neighbours(self._home), token=identity.token)
        return self._peers

    async def _rate(self, peers: Peers, view: AgentView) -> float | None:
        name = _id(view)
        try:
            text = await peers.call(name, "metrics", {}, result=str, timeout=ASK_S)
        except TandemError:
            # A program without our protocol, or an agent that is just going away.
            return None
        now, total = clock.monotonic(), requests(text)
        before = self._counts.get(name)
        self._counts[name] = (now, total)
        if before is None or total < before[1]:
            return None
        return (total - before[1]) / max(now - before[0], 0.001)

    async def _incidents(self, peers: Peers, hubs: Iterable[AgentView]) -> list[IncidentView]:
        for hub in hubs:
            try:
                found: list[IncidentView] = await peers.call(
                    _id(hub), "list_incidents", {"limit": INCIDENTS}, result=list[IncidentView], timeout=ASK_S
                )
            except TandemError:
                continue
            return found
        return []


class _Tail:
    def __init__(self, home: Home, agent: str, count: int):
        self._reader = LogReader(home, {agent})
        self._count: int | None = count

    def read(self) -> list[Line]:
        """See :class:`LogTail`."""
        if self._count is None:
            return self._reader.read_new()
        count, self._count = self._count, None
        return list(self._reader.read())[-count:]


def requests(text: str) -> float:
    """Requests an agent has answered, by its metrics; those of onlookers left out."""
    return sum(float(count) for method, count in _COUNT.findall(text) if method not in OWN_QUESTIONS)


def _id(view: AgentView) -> str:
    return str(AgentId.of(view.name, view.machine))


def _agent_row(view: AgentView, rate: float | None) -> AgentRow:
    usage = view.usage
    return AgentRow(
        id=_id(view),
        name=view.name,
        machine=view.machine,
        group=view.group,
        state=view.state,
        verdict=view.verdict,
        restarts=view.restarts,
        cpu_fraction=None if usage is None else usage.cpu_fraction,
        memory_bytes=None if usage is None else usage.pss_bytes or usage.rss_bytes,
        rate_hz=rate,
        remark="; ".join(view.issues) or (view.note if view.verdict != "up" else ""),
    )


def _machine_row(status: MachineStatus) -> MachineRow:
    of_units = [*(service.usage for service in status.services), *(agent.usage for agent in status.agents)]
    usages = [*(usage for usage in of_units if usage is not None), *status.parts.values()]
    return MachineRow(
        name=status.machine,
        up_s=status.up_s,
        servers={service.name: service.state for service in status.services},
        cpu_fraction=sum(usage.cpu_fraction for usage in usages),
        memory_bytes=sum(usage.pss_bytes or usage.rss_bytes for usage in usages),
    )
