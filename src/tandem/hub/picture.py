"""The fleet as a hub shows it: plain values for pages, JSON and other hubs. Times are Unix seconds, spans seconds."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tandem.supervise.api import AgentView, MachineStatus, ServiceView, Usage

TAIL = 5
"""Last lines of a process that ended, as many as one looks at in a list."""

Reach = Literal["here", "linked", "lost"]
"""``here``: asked from its own node. ``linked``: told by its hub within the last seconds. ``lost``: told longer ago."""


class Figures(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was last measured of one agent; None where nothing is known (yet).

    ``cpu``: cores in use (1.0 is one whole core). Rates are per second since the measurement before. ``queue``: requests
    being answered. ``latency_s``: mean time of a request in that span.
    """

    rss_bytes: int | None = None
    cpu: float | None = None
    health_s: float | None = None
    requests_hz: float | None = None
    errors_hz: float | None = None
    latency_s: float | None = None
    queue: int | None = None


class AgentPicture(Struct, frozen=True, kw_only=True):
    """One agent; the fields of :class:`~tandem.supervise.api.AgentView` with what was measured."""

    name: str
    machine: str
    group: str
    state: str
    verdict: Literal["up", "pending", "trouble", "off"]
    required: bool = True
    pid: int | None = None
    port: int | None = None
    ready_after_s: float | None = None
    restarts: int = 0
    issues: list[str] = []
    note: str = ""
    exit: str = ""
    tail: list[str] = []
    breaker: Literal["closed", "open", "half-open"] = "closed"
    escalated: Literal["", "group", "operator"] = ""
    usage: Usage | None = None
    figures: Figures = Figures()

    @property
    def id(self) -> str:
        """``Name@machine``."""
        return f"{self.name}@{self.machine}"


class ServicePicture(Struct, frozen=True, kw_only=True):
    """One server Tandem runs for its agents. ``figures`` are its own, by the names `/metrics` uses."""

    name: str
    machine: str
    state: str
    pid: int | None = None
    port: int | None = None
    restarts: int = 0
    issues: list[str] = []
    note: str = ""
    exit: str = ""
    usage: Usage | None = None
    figures: dict[str, float] = {}


class MachinePicture(Struct, frozen=True, kw_only=True):
    """One machine at the time ``at``. ``load`` is the mean over one minute, ``memory_bytes`` used of ``memory_total_bytes``."""

    machine: str
    at: float
    reach: Reach = "here"
    host: str | None = None
    node_pid: int = 0
    up_s: float = 0.0
    fault: str = ""
    """Why there is no newer picture; empty when there is one."""
    link_s: float | None = None
    """Round trip to this machine's hub; None for our own machine and when there is no answer."""
    cores: int = 0
    load: float = 0.0
    memory_bytes: int = 0
    memory_total_bytes: int = 0
    services: list[ServicePicture] = []
    agents: list[AgentPicture] = []


class GroupPicture(Struct, frozen=True, kw_only=True):
    """A group of the fleet file; ``agents`` are identities."""

    name: str
    machine: str
    description: str
    agents: list[str]


class FleetPicture(Struct, frozen=True, kw_only=True):
    """All machines, as the hub ``seen_by`` knows them at ``at``. ``needs``: identity to those it needs or wants."""

    fleet: str
    seen_by: str
    at: float
    alerting: bool
    """Whether this hub is the one that sends alerts now."""
    front_door: str | None
    machines: list[MachinePicture]
    groups: list[GroupPicture]
    needs: dict[str, list[str]]

    def agents(self) -> list[AgentPicture]:
        """Of all machines."""
        return [agent for machine in self.machines for agent in machine.agents]


def machine_picture(status: MachineStatus, at: float, figures: dict[str, Figures]) -> MachinePicture:
    """What a node said, with what was measured of each agent (by bare name)."""
    return MachinePicture(
        machine=status.machine,
        at=at,
        host=status.host,
        node_pid=status.pid,
        up_s=status.up_s,
        services=[_service(view) for view in status.services],
        agents=[agent_picture(view, figures.get(view.name)) for view in status.agents],
    )


def agent_picture(view: AgentView, figures: Figures | None = None) -> AgentPicture:
    """What a node says of one agent, with what was measured of it."""
    return AgentPicture(
        name=view.name,
        machine=view.machine,
        group=view.group,
        state=view.state,
        verdict=view.verdict,
        required=view.required,
        pid=view.pid,
        port=view.port,
        ready_after_s=view.ready_after_s,
        restarts=view.restarts,
        issues=view.issues,
        note=view.note,
        exit=view.exit,
        tail=view.tail[-TAIL:],
        breaker=view.breaker,
        escalated=view.escalated,
        usage=view.usage,
        figures=figures or Figures(),
    )


def _service(view: ServiceView) -> ServicePicture:
    return ServicePicture(
        name=view.name,
        machine=view.machine,
        state=view.state,
        pid=view.pid,
        port=view.port,
        restarts=view.restarts,
        issues=view.issues,
        note=view.note,
        exit=view.exit,
        usage=view.usage,
    )
