"""Everything one agent process is told at birth.

It arrives through the zygote's socket or an inherited memory file, never through argv or the environment,
because it holds keys.
"""

from __future__ import annotations

import os
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tandem.core.access import NatsAccess, ValkeyAccess
from tandem.security import CurveKeys, IdentityMaterial

Begin = Literal["serve", "standby", "handover"]
"""How an instance takes up its work. ``serve``: at once. ``standby``: it becomes ready beside an older instance and takes
calls, events and timers when told to (SIGUSR1). ``handover``: it prepares beside an older instance, says STANDBY=1, and
when told to go on starts as soon as that one has let go of the agent's fence."""


class AgentSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Descriptors are numbers in the agent's own process; ``None`` means the agent has no such thing."""

    name: str
    machine: str
    group: str = ""
    instance: str
    release: str = "dev"
    class_path: str
    """``package.module:Class``"""
    settings: dict[str, Any] = {}
    state_dir: str
    run_dir: str
    unix_fd: int | None = None
    """Listening stream socket the keeper bound for us."""
    tcp_fd: int | None = None
    """Listening TCP socket for the zmq transport, also the keeper's."""
    tcp_endpoint: str | None = None
    """``tcp://host:port`` other machines reach ``tcp_fd`` by; without it, ``tcp_fd`` is the agent's own to serve."""
    side_ports: dict[str, int] = {}
    """TCP ports it opens itself, by name."""
    notify_fd: int | None = None
    """Write end of the pipe that takes READY=1 and its kin."""
    identity: IdentityMaterial | None = None
    curve: CurveKeys | None = None
    nats: NatsAccess | None = None
    control: ValkeyAccess | None = None
    cache: ValkeyAccess | None = None
    directory: dict[str, list[str]] = {}
    """Agent name to the machines that run one."""
    fleet: bytes = b""
    """The :class:`~tandem.fleet.Fleet` as msgpack; only an observer is told, and only it imports what decodes it."""
    error_bus: bool = True
    """Whether its errors are reported; otherwise they are in its log only."""
    secrets: list[str] = []
    """Values within ``settings`` and ``environment`` that must not be seen in logs, errors, traces or answers."""
    allow: list[str] = []
    """Who may call it: identities, ``operator``, ``user``; empty: the whole fleet."""
    epochs_file: str = ""
    """Where revocations appear on this computer; empty: nowhere."""
    trail_file: str = ""
    """The machine's audit trail of security; empty: none."""
    log_level: str = "INFO"
    begin: Begin = "serve"
    alone: bool = False
    """Whether no other instance may be at work at the same time: it starts under the agent's fence, with an epoch."""
    environment: dict[str, str] = {}
    """Set in the agent's process, from the fleet file's ``env:``."""


def read_spec(fd: int) -> AgentSpec:
    """The spec in the memory file ``fd``, which is closed afterwards because it holds keys."""
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return msgspec.msgpack.decode(file.read(), type=AgentSpec)
