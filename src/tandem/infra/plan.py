"""Which servers a machine runs, how they are linked, and how its processes reach them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tandem.core.access import NatsAccess, ValkeyAccess
from tandem.core.errors import NotFound, PermissionDenied
from tandem.core.paths import MachineDirs
from tandem.infra import valkey
from tandem.infra.nats import Hub, Leaf, Link, nats_server
from tandem.infra.permissions import inbox_prefix
from tandem.infra.spec import ServerSpec
from tandem.security import Authority, Machine
from tandem.security.machine import LEAF, NODE

if TYPE_CHECKING:
    from tandem.fleet.model import Fleet, InfraPorts

log = logging.getLogger("tandem.node")


def link_of(fleet: Fleet, machine: str, authority: Authority) -> Link | None:
    """How ``machine`` is linked to the others: the first machine of the fleet is the hub, the others are its leaves.

    A machine of another computer that has not joined yet is left out until the servers are planned again.
    """
    names = list(fleet.machines)
    if len(names) < 2:
        return None
    hub = fleet.machines[names[0]]
    if machine != hub.name:
        together = fleet.machines[machine].host_key == hub.host_key
        return Leaf(hub.name, "127.0.0.1" if together else hub.host or "127.0.0.1", hub.infra.leaf)
    leaves: dict[str, list[str]] = {}
    everybody_here = True
    for other in (fleet.machines[name] for name in names[1:]):
        here = authority.machine(other.name) if other.host_key == hub.host_key else None
        everybody_here &= here is not None
        try:
            certified = authority.record(other.name).leaf
            leaves[other.name] = here.nkeys(LEAF) if here is not None else [certified]
        except NotFound:
            continue
        except PermissionDenied as error:
            log.warning("%s is not linked: %s", other.name, error)
    return Hub(leaves, "127.0.0.1" if everybody_here else "0.0.0.0")


def plan_servers(
    machine: str,
    dirs: MachineDirs,
    authority: Authority,
    ports: InfraPorts,
    link: Link | None = None,
    *,
    agents: Iterable[str],
    observers: Iterable[str] = (),
    hosts: Iterable[str] = (),
) -> list[ServerSpec]:
    """The three servers of ``machine``. ``agents`` are bare names; ``hosts`` under which other machines reach this one.

    Plan again and :func:`~tandem.infra.reload.reload` when an agent or a machine is added; nothing restarts.
    """
    identity = authority.machine(machine, hosts)
    names = list(agents)
    return [
        nats_server(identity, dirs, ports, link, names, observers),
        valkey.valkey_server(identity, dirs, "control", names),
        valkey.valkey_server(identity, dirs, "cache", names),
    ]


def nats_access(machine: Machine, ports: InfraPorts, subject: str) -> NatsAccess:
    """How ``subject`` (an agent's bare name, or ``node``) logs into its machine's nats-server."""
    tls = machine.client_tls
    return NatsAccess(
        url=f"tls://127.0.0.1:{ports.nats}",
        nkey_seed=machine.nkey(NODE if subject == NODE else machine.agent(subject)).seed,
        ca_file=tls.ca,
        cert_file=tls.cert,
        key_file=tls.key,
        domain=machine.name,
        machine=machine.name,
        inbox_prefix=inbox_prefix(subject),
    )


def valkey_access(machine: Machine, dirs: MachineDirs, purpose: valkey.Purpose, subject: str) -> ValkeyAccess:
    """How ``subject`` (an agent's bare name, or ``node``) logs into a Valkey server of its machine."""
    return valkey.access(machine, dirs, purpose, subject)
