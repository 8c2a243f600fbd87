"""What the command line and a node say to each other over ``node.sock``; framed like everything else (``wire``).

A connection carries one request; the answers follow until a :class:`Done` or :class:`Refused`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tandem.fleet.model import Fleet
from tandem.supervise.made_of import MadeOf
from tandem.supervise.rollout_api import AskRelease, Follow, ReleaseStatus, Roll, RolloutView, Steer

Verb = Literal["start", "stop", "restart"]


class AskStatus(Struct, frozen=True, tag=True):
    """Answered by one :class:`MachineStatus`."""


class BringUp(Struct, frozen=True, kw_only=True, tag=True):
    """Start what ``agents`` (identities; empty: all of this machine) and their needs name.

    ``fleet`` is what the file says now. Progress follows until every one is up or in trouble.
    """

    fleet: Fleet
    agents: list[str] = []


class Order(Struct, frozen=True, kw_only=True, tag=True):
    """Do ``verb`` to each of ``agents`` (identities on this machine) and follow them until they are there.

    ``spare_stopped`` leaves out those the operator has stopped: for orders that no operator gave.
    """

    verb: Verb
    agents: list[str]
    spare_stopped: bool = False


class TakeDown(Struct, frozen=True, tag=True):
    """Stop every agent, dependants first, then the servers, the node and the keeper. The keeper's socket tells the end."""


class AskMoves(Struct, frozen=True, tag=True):
    """Answered by a :class:`Moved` after every change, until who asked hangs up."""


AnyQuestion = AskStatus | AskMoves | BringUp | Order | TakeDown | AskRelease | Roll | Follow | Steer


class Usage(Struct, frozen=True, kw_only=True):
    """What the processes of one session use, measured every two seconds by the node.

    ``cpu_fraction``: of one core, over the time between the last two looks. ``cpu_s``: CPU seconds of those that live.
    ``rss_bytes`` counts shared pages for each process, ``pss_bytes`` their share only (None: not measured yet, or
    forbidden, as for processes that hold keys unless this runs as root). ``fds``: open descriptors, None as above.
    """

    cpu_fraction: float = 0.0
    cpu_s: float = 0.0
    rss_bytes: int = 0
    pss_bytes: int | None = None
    fds: int | None = None
    processes: int = 0
    threads: int = 0


class Times(Struct, frozen=True):
    """When the process that runs was launched and when it became ready, in Unix seconds; None: not yet."""

    launched_at: float | None = None
    ready_at: float | None = None


class AgentView(Struct, frozen=True, kw_only=True):
    """One agent as people see it.

    ``state`` is a phase; ``port`` the TCP port it listens on; ``note`` says why it is where it is and what comes
    next, ``exit`` how its last process ended, ``tail`` the last lines that process wrote, ``needs`` bare names.
    """

    name: str
    machine: str
    group: str
    state: str
    pid: int | None = None
    port: int | None = None
    ready_after_s: float | None = None
    restarts: int = 0
    issues: list[str] = []
    note: str = ""
    exit: str = ""
    tail: list[str] = []
    required: bool = True
    breaker: Literal["closed", "open", "half-open"] = "closed"
    """Open: it died too often, callers fail at once, and it is tried again after the longest delay."""
    escalated: Literal["", "group", "operator"] = ""
    """To whom supervision has given it since it died too often, until it has proven itself again."""
    usage: Usage | None = None
    """None while it has no process, or for its first seconds."""
    times: Times = Times()
    verdict: Literal["up", "pending", "trouble", "off"] = "pending"
    """``off``: not wanted. ``trouble``: will not come up without help, or only after a long wait."""


class ServiceView(Struct, frozen=True, kw_only=True):
    """One server Tandem runs for its agents."""

    name: str
    machine: str
    state: str
    pid: int | None = None
    port: int | None = None
    ready_after_s: float | None = None
    restarts: int = 0
    issues: list[str] = []
    note: str = ""
    exit: str = ""
    tail: list[str] = []
    usage: Usage | None = None
    times: Times = Times()


class LinkView(Struct, frozen=True, kw_only=True):
    """How another machine is seen from this one. ``state``: up, silent (there, but its node says nothing), cut, never.

    ``since_s``: age of that state. ``clock_ahead_s``: how far its clock is ahead of ours; ``made``: what its agents are
    made of; None while unknown.
    """

    machine: str
    state: str
    since_s: float
    round_trip_s: float | None = None
    clock_ahead_s: float | None = None
    made: MadeOf | None = None


class MachineStatus(Struct, frozen=True, kw_only=True, tag=True):
    """One node's whole picture. ``pid`` is the node's; ``up_s`` its age."""

    machine: str
    host: str | None
    pid: int
    keeper_pid: int
    fleet: str
    fleet_file: str
    services: list[ServiceView]
    agents: list[AgentView]
    up_s: float = 0.0
    zygote: Times = Times()
    parts: dict[str, Usage] = {}
    """What ``node``, ``keeper`` and ``zygote`` themselves use."""
    links: list[LinkView] = []
    made: MadeOf = MadeOf()
    note: str = ""
    """What a person should know about the node itself."""
    busy: str = ""
    """Why nobody but the operator should steer its agents now, in words; empty: nothing is in the way."""


class Progress(Struct, frozen=True, kw_only=True, tag=True):
    """One agent or service moved. ``at_s``: seconds since the request arrived."""

    at_s: float
    kind: Literal["agent", "service"]
    name: str
    state: str
    note: str = ""
    ready_after_s: float | None = None


class Began(Struct, frozen=True, tag=True):
    """First answer to :class:`BringUp`: the agents (identities) it is going to start that were not wanted before."""

    agents: list[str]


class Done(Struct, frozen=True, kw_only=True, tag=True):
    """The request is through. ``views`` are the agents it was about, ``notes`` what a person should know.

    ``phases`` tells where the time went: name of a stage to seconds.
    """

    views: list[AgentView] = []
    services: list[ServiceView] = []
    notes: list[str] = []
    phases: dict[str, float] = {}


class Refused(Struct, frozen=True, kw_only=True, tag=True):
    """It cannot be done."""

    message: str
    hint: str = ""


class Moved(Struct, frozen=True, tag=True):
    """Something is not as it was; :class:`AskStatus` tells what. Changes of one moment are told together."""


AnyAnswer = MachineStatus | Moved | Began | Progress | Done | Refused | RolloutView | ReleaseStatus
