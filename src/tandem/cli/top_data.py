"""What `tandem top` shows: the nodes' pictures, the agents' own request counts, and the incidents of the hub."""

from __future__ import annotations

import asyncio
import re
from typing import Any, TypeVar

from tandem.agent.neighbours import Neighbours
from tandem.cli import top_elsewhere
from tandem.cli.local import all_agents, open_all, statuses
from tandem.cli.top_model import AgentRow, LogTail, MachineRow, Picture
from tandem.core import clock
from tandem.core.errors import DeadlineExceeded, Draining, TandemError, Unreachable
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.errors.desk import IncidentView
from tandem.hub.contract import HUB
from tandem.hub.picture import AgentPicture, FleetPicture, MachinePicture
from tandem.rpc import Peers
from tandem.supervise.api import AgentView, Done, MachineStatus, Order, Refused, Verb
from tandem.supervise.log_reader import Line, LogReader
from tandem.supervise.node_client import follow

T = TypeVar("T")

ASK_S = 1.0
"""Budget of one look at an agent's counters; one that is too busy to answer shows no rate."""
ORDER_S = 120.0
INCIDENTS = 6
OWN_QUESTIONS = ("metrics", "health_check", "ping", "list_incidents")
"""Asked by whoever watches, so they are no work."""

_COUNT = re.compile(r'^agent_requests_total\{[^}]*method="([^"]*)"[^}]*\} ([0-9.e+]+)', re.MULTILINE)


class FleetSource:
    """The machines of this computer by their nodes, and others by the word of a hub here."""

    def __init__(self, home: Home):
        self._home = home
        self._peers: Peers | None = None
        self._counts: dict[str, tuple[float, float]] = {}
        self._here: set[str] = set()
        self._hubs: list[AgentId] = []

    async def look(self) -> Picture:
        """See :class:`~tandem.cli.top_model.Source`."""
        found, failures = await asyncio.to_thread(statuses, self._home)
        trouble = [f"{machine}: {error}" for machine, error in failures.items()] if not found else []
        views = all_agents(found)
        if not found:
            return Picture(trouble=trouble or ["nothing runs here: tandem up"])
        peers = self._connected()
        serving = [view for view in views if view.pid is not None and view.verdict == "up"]
        rates = dict(zip(map(_id, serving), await asyncio.gather(*(self._rate(peers, view) for view in serving)), strict=True))
        self._here = {status.machine for status in found}
        self._hubs = [AgentId(_id(view)) for view in serving if view.name == HUB]
        incidents = await self._incidents(peers)
        far = await self._elsewhere(peers)
        others = {link.machine for status in found for link in status.links} - self._here - {m.machine for m in far}
        trouble = [f"{name}: another computer; no hub here tells of it" for name in sorted(others)]
        trouble += [f"{m.machine}: {m.fault or 'not heard of'}" for m in far if m.reach == "lost"]
        return Picture(
            machines=[*(_machine_row(status) for status in found), *map(top_elsewhere.machine_row, far)],
            agents=[
                *(_agent_row(view, rates.get(_id(view))) for view in views),
                *(row for machine in far for row in top_elsewhere.agent_rows(machine)),
            ],
            incidents=incidents,
            trouble=trouble,
        )

    async def order(self, verb: Verb, agent: str) -> str:
        """See :class:`~tandem.cli.top_model.Source`."""
        chosen = AgentId(agent)
        if chosen.machine in self._here or self._peers is None:
            return await asyncio.to_thread(self._order, verb, chosen)
        try:
            answer = await self._ask_hubs(
                self._peers, "order_agent", {"verb": verb, "agent": agent}, result=list[AgentPicture], timeout_s=ORDER_S
            )
        except TandemError as error:
            return f"{agent}: {error}"
        return ", ".join(f"{done.id}: {done.state}" for done in answer)

    def logs(self, agent: str, count: int) -> LogTail:
        """See :class:`~tandem.cli.top_model.Source`."""
        machine = AgentId(agent).machine
        if machine in self._here:
            return _Tail(self._home, agent, count)
        return top_elsewhere.FarTail(agent, machine, count)

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

    def _connected(self) -> Peers:
        if self._peers is None:
            self._peers = Peers(Neighbours(self._home))
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

    async def _incidents(self, peers: Peers) -> list[IncidentView]:
        wanted = {"limit": INCIDENTS}
        try:
            return await self._ask_hubs(peers, "list_incidents", wanted, result=list[IncidentView], timeout_s=ASK_S)
        except TandemError:
            return []

    async def _elsewhere(self, peers: Peers) -> list[MachinePicture]:
        """The machines that are no nodes of this computer's, as a hub here knows them."""
        try:
            found = await self._ask_hubs(peers, "picture", {}, result=FleetPicture, timeout_s=ASK_S)
        except TandemError:
            return []
        return [machine for machine in found.machines if machine.machine not in self._here]

    async def _ask_hubs(
        self, peers: Peers, action: str, args: dict[str, Any], *, result: type[T], timeout_s: float
    ) -> T:
        """What the first hub here answers that can be reached. Raises its refusal, or why none can."""
        problem: TandemError = Unreachable("it is another computer's, and no hub here speaks to that")
        for hub in self._hubs:
            try:
                answer: T = await peers.call(hub, action, args, result=result, timeout=timeout_s)
            except (Unreachable, Draining, DeadlineExceeded) as error:
                problem = error
                continue
            return answer
        raise problem


class _Tail:
    def __init__(self, home: Home, agent: str, count: int):
        self._reader = LogReader(home, {agent})
        self._count: int | None = count

    async def read(self) -> list[Line]:
        """See :class:`~tandem.cli.top_model.LogTail`."""
        if self._count is None:
            return self._reader.read_new()
        count, self._count = self._count, None
        return list(self._reader.read())[-count:]

    async def close(self) -> None:
        """See :class:`~tandem.cli.top_model.LogTail`."""


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
