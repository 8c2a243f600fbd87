"""What may be written in a fleet file: the shape, its limits, and the words that explain it.

The loader, the messages and the published JSON Schema are all driven by these types. Names of keys are
the names of fields. Ports are written without PORT_OFFSET, which is added to every one of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from tandem.fleet.model import Count, Launch, Limits, OnDependency, RestartPolicy, Seconds, Speaks, Update

PORT_MARK = {"tandem": "port"}
HOST_MARK = {"tandem": "host"}

Port = Annotated[int, Meta(ge=1, le=65535, description="TCP port before PORT_OFFSET.", extra=PORT_MARK)]
Host = Annotated[str, Meta(min_length=1, description="Address or name of a computer.", extra=HOST_MARK)]
Ports = Annotated[
    str, Meta(pattern=r"^[0-9]{1,5}( ?- ?[0-9]{1,5})?$", title="a port or a range such as 7100-7199")
]
Share = (
    Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)? ?%$", title="a percentage such as 80%")]
    | Annotated[int, Meta(ge=0, title="a number of MiB")]
)
Mebibytes = Annotated[int, Meta(ge=0)]
Words = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1)]
Account = Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_-]{0,31}$", title="the name of a Unix account")]


class ProbeDoc(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exactly one of zmq, http, exec and log-line, and how often to ask."""

    zmq: Annotated[
        Port | Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="A port, a side port's name, or tcp://host:port. health falls back to the agent's port."
        ),
    ] = None
    http: Annotated[
        Port | Annotated[str, Meta(min_length=1)] | None,
        Meta(description="A port, a path on the agent's port, or a whole URL; a 2xx answer is healthy."),
    ] = None
    exec: Annotated[Words | None, Meta(description="A command; exit status 0 is healthy.")] = None
    log_line: Annotated[str | None, Meta(description="Regular expression; seen once means ready.")] = field(
        default=None, name="log-line"
    )
    every_s: Seconds = 1.0
    timeout_s: Seconds = 3.0
    failures: Count = 3


class PolicyDoc(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be said once under ``defaults`` of a group, a machine or the whole fleet."""

    launch: Annotated[
        Launch | None,
        Meta(
            description="fork from the preloaded zygote, or exec a fresh interpreter. A command always execs."
        ),
    ] = None
    required: Annotated[bool, Meta(description="Whether the fleet counts as down without it.")] = True
    start_timeout_s: Annotated[Seconds, Meta(description="From spawn to READY.")] = 60.0
    stop_grace_s: Annotated[Seconds, Meta(description="From TERM to KILL.")] = 10.0
    restart: Annotated[
        Literal["always", "on-failure", "never"] | RestartPolicy,
        Meta(description="When a dead agent comes back."),
    ] = "always"
    on_dependency: Annotated[
        OnDependency,
        Meta(
            description="When something it needs dies: wait (stop until it is back), restart with it, or degrade."
        ),
    ] = "degrade"
    probe: Annotated[
        Literal["zmq", "http"] | ProbeDoc | None, Meta(description="How a command is asked for its health.")
    ] = None
    update: Annotated[
        Update | None,
        Meta(
            description="surge: new beside old. handover: one at a time, new in standby. stop-first: old ends first."
        ),
    ] = None
    user: Annotated[Account | None, Meta(description="Unix account; needs root or systemd.")] = None
    limits: Limits = field(default_factory=Limits)
    env: Annotated[dict[str, str], Meta(description="Environment variables; never secrets.")] = field(
        default_factory=dict
    )
    allow: Annotated[
        list[str],
        Meta(description="Who may call it: agent names, @group, operator, user. Empty: the whole fleet."),
    ] = field(default_factory=list)
    error_bus: Annotated[bool, Meta(description="Whether its errors are reported to the error bus.")] = True


class AgentDoc(PolicyDoc, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One agent. An empty entry is enough when the class can be inferred from the group's package."""

    class_: Annotated[
        str | None,
        Meta(
            description="pkg.mod:Class; .mod:Class within the group's package; "
            "by default <package>.<name_in_snake_case>:<Name>."
        ),
    ] = field(default=None, name="class")
    command: Annotated[Words | None, Meta(description="Any program, instead of a class.")] = None
    cwd: Annotated[
        str | None, Meta(description="Working directory of a command, relative to the fleet file.")
    ] = None
    description: str = ""
    port: Annotated[
        Port | Literal["auto"] | None,
        Meta(description="Where agents of other machines reach it; auto picks one."),
    ] = None
    shared_host_port: Annotated[
        Port | None, Meta(description="Used instead of port when another machine runs on the same computer.")
    ] = None
    speaks: Annotated[
        Speaks, Meta(description="What the agent serves on its port; http: on loopback only, see docs/observability.md.")
    ] = "rpc"
    side_ports: Annotated[
        dict[str, Port], Meta(description="What a foreign program opens besides, by purpose.")
    ] = field(default_factory=dict)
    needs: Annotated[list[str], Meta(description="Agents of this machine that must be ready first.")] = field(
        default_factory=list
    )
    wants: Annotated[
        list[str], Meta(description="Agents anywhere that should be; waited for at most 3 s.")
    ] = field(default_factory=list)
    settings: Annotated[dict[str, Any], Meta(description="What the agent's Settings declare.")] = field(
        default_factory=dict
    )
    vram_mb: Annotated[Mebibytes, Meta(description="GPU memory it leases, MiB.")] = 0
    observer: Annotated[
        bool, Meta(description="Whether it may read every machine's errors, traces and events.")
    ] = False
    detached: Annotated[bool, Meta(description="Whether jobs it starts outlive its restart.")] = False


class GroupDoc(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Agents that belong together, on one machine."""

    machine: Annotated[str | None, Meta(description="May be left out in a fleet of one machine.")] = None
    package: Annotated[
        str | None,
        Meta(description="Python package of its agents; by default <package of the fleet>.<group>."),
    ] = None
    description: str = ""
    defaults: PolicyDoc = field(default_factory=PolicyDoc)
    agents: dict[str, AgentDoc | None] = field(default_factory=dict)


class InfraDoc(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ports of a machine's own servers; each further machine's defaults are one higher."""

    nats: Port | None = None
    leaf: Port | None = None
    monitor: Port | None = None
    join: Port | None = None


class GpuDoc(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GPU and the memory models may take."""

    name: str = ""
    vram_mb: Annotated[
        Count | None, Meta(description="Total MiB, used until the device reports its own.")
    ] = None
    budget: Annotated[Share | None, Meta(description="What may be leased: 80% or MiB.")] = None
    reserve: Annotated[Share | None, Meta(description="What always stays free: 5% or MiB.")] = None


class MachineDoc(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A computer by name. Without a host, or while its variable is unset, it runs here."""

    host: Host | None = None
    description: str = ""
    ports: Annotated[list[Ports], Meta(description="Ranges its agents may use; empty allows any.")] = field(
        default_factory=list
    )
    infra: InfraDoc = field(default_factory=InfraDoc)
    gpu: GpuDoc | None = None
    defaults: PolicyDoc = field(default_factory=PolicyDoc)


class FleetDoc(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fleet: machines, and groups of agents on them."""

    fleet: Annotated[str, Meta(min_length=1, max_length=64, description="Its name.")]
    description: str = ""
    front_door: Annotated[str | None, Meta(description="The agent that answers the user.")] = None
    package: Annotated[str | None, Meta(description="Python package that holds one package per group.")] = (
        None
    )
    machines: dict[str, MachineDoc | None] = field(default_factory=dict)
    defaults: PolicyDoc = field(default_factory=PolicyDoc)
    groups: dict[str, GroupDoc | None] = field(default_factory=dict)
