"""Where Tandem keeps things on disk.

State lives under ``$TANDEM_HOME`` (default ``~/.local/share/tandem``). Sockets live in a short private
directory of their own, because a unix socket's path may have at most 107 bytes (``sun_path`` in unix(7)).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from msgspec import Struct

from tandem.core.errors import ConfigError

UNIX_PATH_MAX = 107

KEEPER_SOCKET = "keeper.sock"
"""Within a machine's run directory."""
FORMER_SEED, NEXT_KEYS = "former", "next"
"""Within a machine's folder of the CA while its keys change: the seed before, and complete new keys about to be put in place."""


class Home(Struct, frozen=True):
    """One installation's directories. Two homes never share state, sockets or keys."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """``$TANDEM_HOME``, else ``$XDG_DATA_HOME/tandem``, else ``~/.local/share/tandem``."""
        chosen = os.environ.get("TANDEM_HOME")
        if chosen:
            return cls(Path(chosen).expanduser().absolute())
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return cls((Path(data).expanduser() / "tandem").absolute())

    @property
    def ca(self) -> Path:
        return self.root / "ca"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    def machine(self, machine: str) -> MachineDirs:
        return MachineDirs(self.root / "machines" / machine, self.run_root() / machine)

    def is_rotating(self, machine: str) -> bool:
        """Whether the machine's keys are being changed, or were when somebody was interrupted."""
        keys = self.ca / "machines" / machine
        return (keys / FORMER_SEED).exists() or (keys / NEXT_KEYS).exists()

    def run_root(self) -> Path:
        """Parent of this home's socket directories: ``$TANDEM_RUN_DIR``, else a private directory named by uid and home."""
        chosen = os.environ.get("TANDEM_RUN_DIR")
        if chosen:
            return Path(chosen).absolute()
        base = os.environ.get("XDG_RUNTIME_DIR")
        parent = Path(base) if base and os.access(base, os.W_OK) else Path(tempfile.gettempdir())
        mark = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:8]
        return parent / f"tandem-{os.getuid()}-{mark}"


class MachineDirs(Struct, frozen=True):
    """One machine's directories within a home: ``root`` persists, ``run`` holds sockets and may vanish at reboot."""

    root: Path
    run: Path

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def valkey(self) -> Path:
        return self.root / "valkey"

    @property
    def keeper_socket(self) -> Path:
        return self.run / KEEPER_SOCKET

    @property
    def node_socket(self) -> Path:
        return self.run / "node.sock"

    @property
    def trail(self) -> Path:
        """The audit trail of security."""
        return self.root / "security.jsonl"

    def agent_socket(self, agent: str) -> Path:
        return self.run / "a" / f"{agent}.sock"

    def agent_state(self, agent: str) -> Path:
        return self.state / agent


def private_dir(path: Path) -> Path:
    """Create ``path`` with mode 0700 and return it.

    Raises :class:`ConfigError` when it exists but belongs to somebody else, since a socket directory another
    user controls would let them impersonate agents.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise ConfigError(f"{path} belongs to another user", hint="set TANDEM_RUN_DIR to a directory of your own")
    return path


def check_socket_path(path: Path) -> Path:
    """``path``, or :class:`ConfigError` when it is too long for a unix socket."""
    size = len(os.fsencode(path))
    if size > UNIX_PATH_MAX:
        raise ConfigError(
            f"socket path has {size} bytes, the kernel allows {UNIX_PATH_MAX}: {path}",
            hint="set TANDEM_RUN_DIR to a shorter directory",
        )
    return path
