"""What should run, fully resolved: every default applied, every name an identity, every port final.

These types are data only; they travel as JSON or msgpack. What may be *written* in a fleet file is in
:mod:`tandem.fleet.document`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from tandem.core.errors import NotFound
from tandem.core.ids import AgentId
from tandem.fleet.diagnostics import Diagnostic, did_you_mean

HERE = "here"
"""Host key of every machine that runs on this computer."""

Launch = Literal["fork", "exec"]
Update = Literal["surge", "handover", "stop-first"]
OnDependency = Literal["wait", "restart", "degrade"]
EscalateTo = Literal["group", "operator"]
Speaks = Literal["rpc", "http"]
ProbeKind = Literal["zmq", "http", "exec", "log-line"]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Count = Annotated[int, Meta(ge=1)]


class RestartPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a dead agent comes back. Exit code 78 (wrong configuration) is never retried.

    A death after ``healthy_after_s`` of health restarts at once; further deaths in ``window_s`` wait
    ``first_delay_s`` times ``factor`` each, up to ``max_delay_s``, spread by ``jitter`` (a fraction).
    After ``escalate_after`` deaths within the window, or as many quick ones in a row, its group is restarted as a whole,
    and if that does not help the operator is told; ``escalate_to: operator`` leaves the group alone;
    ``give_up_after`` deaths within it end the attempts (null: never).
    """

    when: Literal["always", "on-failure", "never"] = "always"
    first_delay_s: Seconds = 0.5
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    max_delay_s: Seconds = 30.0
    jitter: Annotated[float, Meta(ge=0, le=1)] = 0.2
    healthy_after_s: Seconds = 10.0
    window_s: Seconds = 60.0
    escalate_after: Count = 10
    escalate_to: EscalateTo = "group"
    give_up_after: Count | None = None


class Probe(Struct, frozen=True, kw_only=True):
    """How a program that is not an :class:`tandem.agent.Agent` is asked for its health.

    ``target``: a ``tcp://`` endpoint for ``zmq`` (asked ``{"action": "health_check"}``), a URL for ``http``
    (2xx is healthy), a regular expression for ``log-line`` (seen once means ready), empty for ``exec``, whose
    ``argv`` must exit 0. ``failures`` in a row make it unhealthy.
    """

    kind: ProbeKind
    target: str = ""
    argv: list[str] = field(default_factory=list)
    every_s: float = 1.0
    timeout_s: float = 3.0
    failures: int = 3


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Resource bounds of one agent; null means unbounded.

    ``cpu_percent`` counts 100 per core; without control groups who takes more runs at the lowest priority instead.
    Above ``memory_mb`` (MiB, its children included) it is killed; above ``restart_above_mb`` it is asked to finish,
    and a fresh one follows.
    """

    memory_mb: Count | None = None
    restart_above_mb: Count | None = None
    cpu_percent: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    processes: Count | None = None
    open_files: Count | None = None
    log_mb: Count | None = None
    nice: Annotated[int, Meta(ge=-20, le=19)] | None = None


class PortRange(Struct, frozen=True, order=True):
    """Ports ``first`` to ``last``, both included."""

    first: int
    last: int

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class InfraPorts(Struct, frozen=True, kw_only=True):
    """TCP ports of the servers a machine starts itself; Valkey listens on unix sockets only.

    ``nats`` clients, ``leaf`` NATS leaf nodes of other machines, ``monitor`` NATS's own HTTP (loopback),
    ``join`` where a second computer introduces itself.
    """

    nats: int
    leaf: int
    monitor: int
    join: int

    def listed(self) -> list[tuple[str, int]]:
        return [(name, getattr(self, name)) for name in self.__struct_fields__]


class GpuConfig(Struct, frozen=True, kw_only=True):
    """A machine's GPU and how much of its memory models may take (MiB).

    ``vram_mb`` is the declared total, used until the device itself reports one. At most one of
    ``budget_percent`` and ``budget_mb`` is set; ``reserve_percent`` or ``reserve_mb`` always stays free.
    """

    name: str = ""
    vram_mb: int | None = None
    budget_percent: float | None = None
    budget_mb: int | None = None
    reserve_percent: float | None = None
    reserve_mb: int | None = None

    def budget(self, total_mb: int | None = None) -> int | None:
        """MiB that may be leased when the device has ``total_mb`` (default: the declared total); None if unknown."""
        total = self.vram_mb if total_mb is None else total_mb
        bounds = [] if self.budget_mb is None else [self.budget_mb]
        if total is not None:
            reserve = self.reserve_mb or int(total * (self.reserve_percent or 0) / 100)
            bounds.append(int(total * (self.budget_percent or 100) / 100))
            bounds.append(total - reserve)
        return max(0, min(bounds)) if bounds else None


class MachineConfig(Struct, frozen=True, kw_only=True):
    """A named computer. ``host`` is its address as written, None when it runs here.

    ``host_key`` is equal for machines that share a computer (:data:`HERE` for this one), and
    ``host_variable`` names the environment variable whose absence put it here.
    """

    name: str
    host: str | None
    host_key: str
    host_variable: str = ""
    description: str = ""
    ports: list[PortRange] = field(default_factory=list)
    infra: InfraPorts
    gpu: GpuConfig | None = None

    @property
    def is_here(self) -> bool:
        return self.host_key == HERE

    def placement(self) -> str:
        """Why it is where it is, in words."""
        if self.host_variable:
            return f"{self.name} runs here because {self.host_variable} is unset"
        return f"{self.name} runs here" if self.is_here else f"{self.name} runs on {self.host}"


class GroupConfig(Struct, frozen=True, kw_only=True):
    """A named set of agents on one machine; ``agents`` are identities in the order of the file."""

    name: str
    machine: str
    description: str = ""
    agents: list[str] = field(default_factory=list)


class AgentConfig(Struct, frozen=True, kw_only=True):
    """One supervised unit. Exactly one of ``class_path`` (``pkg.mod:Class``) and ``command`` is set.

    ``needs`` (same machine, must be ready first) and ``wants`` (anywhere, waited for at most 3 s) are
    identities ``Name@machine``. ``port`` is final: PORT_OFFSET is included and ``auto`` is assigned; None
    means it listens on its unix socket only. ``speaks`` says what is served there; an agent that speaks ``http`` gets the
    listening socket, on loopback, and other machines do not call it. ``side_ports`` are what a foreign program opens besides.
    ``allow`` lists who may call it (agents, ``@group``, ``operator``); empty means the whole fleet.
    ``detached`` children outlive its restart, but not an operator's stop. An ``observer`` may read every machine's
    errors, traces and events.
    """

    name: str
    machine: str
    group: str
    class_path: str | None = None
    command: list[str] | None = None
    cwd: str | None = None
    description: str = ""
    port: int | None = None
    speaks: Speaks = "rpc"
    side_ports: dict[str, int] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    wants: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    launch: Launch = "fork"
    required: bool = True
    start_timeout_s: float = 60.0
    stop_grace_s: float = 10.0
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    on_dependency: OnDependency = "degrade"
    probe: Probe | None = None
    update: Update = "surge"
    user: str | None = None
    vram_mb: int = 0
    limits: Limits = field(default_factory=Limits)
    detached: bool = False
    allow: list[str] = field(default_factory=list)
    error_bus: bool = True
    observer: bool = False

    @property
    def id(self) -> AgentId:
        return AgentId.of(self.name, self.machine)


class InvalidAgent(Struct, frozen=True, kw_only=True):
    """An agent that cannot run until its entry is mended."""

    name: str
    machine: str
    group: str
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def id(self) -> AgentId:
        return AgentId.of(self.name, self.machine)


class Fleet(Struct, frozen=True, kw_only=True):
    """All that should run.

    ``agents`` and ``invalid`` are keyed by ``Name@machine``. ``front_door`` is an identity, or None.
    ``port_offset`` is already included in every port.
    """

    name: str
    file: str = ""
    description: str = ""
    front_door: str | None = None
    port_offset: int = 0
    machines: dict[str, MachineConfig] = field(default_factory=dict)
    groups: dict[str, GroupConfig] = field(default_factory=dict)
    agents: dict[str, AgentConfig] = field(default_factory=dict)
    invalid: dict[str, InvalidAgent] = field(default_factory=dict)

    def on(self, machine: str) -> list[AgentConfig]:
        """The usable agents of one machine, in the order of the file."""
        return [agent for agent in self.agents.values() if agent.machine == machine]

    def callers_of(self, agent: AgentConfig) -> list[str]:
        """Its ``allow``, with groups and bare names as identities; empty when the whole fleet may call it."""
        callers: list[str] = []
        directory = self.directory() if agent.allow else {}
        for name in agent.allow:
            said = AgentId(name)
            if name.startswith("@"):
                # A group without agents admits nobody; an empty list would admit everybody.
                callers += self.groups[name[1:]].agents or [name]
            elif said.name in directory:
                callers += [name] if said.machine else [AgentId.of(name, at) for at in directory[name]]
            else:
                callers.append(name)
        # Plain text: it goes to the agent's process, and an AgentId cannot be encoded.
        return [str(name) for name in callers]

    def shares_host(self, machine: str) -> bool:
        """Whether another machine of the fleet runs on the same computer as ``machine``."""
        own = self.machines[machine].host_key if machine in self.machines else None
        return sum(other.host_key == own for other in self.machines.values()) > 1

    def directory(self) -> dict[str, list[str]]:
        """Agent name to the machines it runs on; invalid agents are included, since their names are taken."""
        found: dict[str, list[str]] = {}
        for identity in map(AgentId, (*self.agents, *self.invalid)):
            found.setdefault(identity.name, []).append(identity.machine)
        return found

    def identify(self, name: str, machine: str | None = None) -> AgentId:
        """The identity ``name`` means when said on ``machine``: its own, else the only one.

        Raises :class:`NotFound` when there is none or when it could be several.
        """
        return identify(self.directory(), name, machine)

    def agent(self, name: str, machine: str | None = None) -> AgentConfig:
        """The usable agent ``name`` means; raises :class:`NotFound` as :meth:`identify` does."""
        identity = self.identify(name, machine)
        if identity not in self.agents:
            raise NotFound(f"{identity} is invalid", hint="tandem config validate")
        return self.agents[identity]


def identify(directory: dict[str, list[str]], name: str, machine: str | None = None) -> AgentId:
    """``name`` or ``Name@machine`` as an identity, by the rule of :meth:`Fleet.identify`."""
    said = AgentId(name)
    machines = directory.get(said.name, [])
    if said.machine:
        if said.machine in machines:
            return said
        hint = did_you_mean(name, (AgentId.of(other, at) for other, ats in directory.items() for at in ats))
        raise NotFound(f'there is no agent "{name}"', hint=hint or None)
    if machine in machines:
        return AgentId.of(name, str(machine))
    if len(machines) == 1:
        return AgentId.of(name, machines[0])
    if machines:
        choices = " or ".join(AgentId.of(name, at) for at in machines)
        raise NotFound(f'"{name}" runs on several machines', hint=f"say {choices}")
    raise NotFound(f'there is no agent "{name}"', hint=did_you_mean(name, directory) or None)
