"""What the node needs to know to run a server: how to start it, which files it reads, how to tell that it serves."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from tandem.core.access import ValkeyAccess
from tandem.core.damage import set_aside
from tandem.core.files import write_atomic
from tandem.core.paths import private_dir

log = logging.getLogger("tandem.node")


class NatsProbe(Struct, frozen=True, tag="nats"):
    """Ask the monitoring port (loopback HTTP). ``store_dir`` tells our server from another one on the same port."""

    monitor: int
    store_dir: str


class ValkeyProbe(Struct, frozen=True, tag="valkey"):
    """AUTH and PING over the unix socket. ``former`` passwords are tried, too: while the machine's keys change, the server
    may not know the new one yet.
    """

    access: ValkeyAccess
    former: list[str] = []


Probe = NatsProbe | ValkeyProbe


class ConfigFile(Struct, frozen=True):
    """A rendered file; ``mode`` 0o400 when there is a secret in it."""

    path: Path
    content: str
    mode: int = 0o600


class ServerSpec(Struct, frozen=True, kw_only=True):
    """One server of one machine. ``name`` is ``nats``, ``valkey-control`` or ``valkey-cache``; no secret is in ``argv``
    or ``env``. ``port`` is what clients on this machine dial, None for a server with only a unix ``socket``.
    ``directories`` and ``files`` must exist before it starts, and what matches the patterns of ``outdated`` below ``cwd``
    must not: see :func:`prepare`. ``expendable`` are names below ``cwd`` of data it can do without, should its last words
    be among ``unreadable``: see :func:`mend`.
    """

    name: str
    argv: list[str]
    env: dict[str, str] = {}
    cwd: str
    directories: list[Path]
    files: list[ConfigFile]
    outdated: tuple[str, ...] = ()
    expendable: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    probe: Probe
    port: int | None = None
    socket: str | None = None


def prepare(spec: ServerSpec) -> None:
    """What a server needs, and needs to miss, before it starts; not for one that runs."""
    install(spec)
    for pattern in spec.outdated:
        for file in Path(spec.cwd).glob(pattern):
            file.unlink(missing_ok=True)


def mend(spec: ServerSpec, last_words: Iterable[str]) -> None:
    """Put the data of a server that has ended aside when it says that it cannot read it; it is made anew by who uses it."""
    said = [line for line in last_words if any(words in line for words in spec.unreadable)]
    for path in (Path(spec.cwd) / name for name in spec.expendable if said):
        try:
            log.error("%s cannot read its data (%s); that is put aside as %s", spec.name, said[-1], set_aside(path).name)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.error("the data of %s is damaged and cannot be put aside: %s", spec.name, error)


def install(spec: ServerSpec) -> bool:
    """Write the server's directories and files; whether any file changed."""
    for directory in spec.directories:
        private_dir(directory)
    changed = [file for file in spec.files if not is_current(file)]
    for file in changed:
        write_atomic(file.path, file.content.encode(), file.mode)
    return bool(changed)


def is_current(file: ConfigFile) -> bool:
    """Whether it is on disk as it is here."""
    try:
        is_same = file.path.read_bytes() == file.content.encode()
        return is_same and file.path.stat().st_mode & 0o777 == file.mode
    except FileNotFoundError:
        return False
