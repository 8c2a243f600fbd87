"""What a machine's agents are made of, in a form that can be compared between computers.

Names of releases cannot: they contain the interpreter's path and whatever else is installed there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core import clock
from tandem.core.paths import Home
from tandem.fleet.model import AgentConfig, Fleet
from tandem.supervise.release import DEV, Target

SAME_START_S = 2.0
"""A machine's time of birth is told by two clocks; no machine comes up twice within this."""

FLEET = "the fleet file"

_DIGITS = 12
_SAID = ("class_path", "command", "needs", "wants", "settings", "launch", "update", "allow", "limits", "required", "observer")
"""Keys of an agent that are the same wherever the fleet file is read; ports, folders and variables of processes need not be."""


class MadeOf(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``release`` is a name or ``dev``. ``code``: each package of ours to a digest of its Python files; empty while it is
    not known. ``fleet``: a digest of what the fleet file says of all agents; empty when something in it cannot run."""

    release: str = DEV
    code: dict[str, str] = {}
    fleet: str = ""


class _Kept(Struct, frozen=True):
    """What of a stored release matters here, see :class:`tandem.release.store.Manifest`."""

    created: float
    files: dict[str, str]


class _Known(Struct, frozen=True):
    """What is remembered of it: when it came up or was made, in Unix seconds, and its packages."""

    created: float = 0.0
    packages: dict[str, str] = {}


def differences(one: MadeOf, other: MadeOf) -> list[str]:
    """Packages both have and that differ, and :data:`FLEET` when that does; what is not known of either does not."""
    packages = sorted(name for name in one.code.keys() & other.code.keys() if one.code[name] != other.code[name])
    differs = bool(one.fleet and other.fleet) and one.fleet != other.fleet
    return [*packages, *([FLEET] if differs else [])]


def release_file(releases: Path, name: str) -> Path:
    """Where a release says what it consists of."""
    return releases / f"{name}.json"


def base_file(releases: Path, machine: str) -> Path:
    """Where the code that came up on ``machine`` says what it consists of."""
    return releases / f"{machine}.base"


class Composition:
    """What one machine is made of now. ``since()`` is when it came up, in monotonic seconds."""

    def __init__(self, home: Home, machine: str, current: Callable[[], Target], since: Callable[[], float]):
        self._home = home
        self._machine = machine
        self._current = current
        self._since = since
        self._read: tuple[Path, int, _Known] | None = None
        self._judged: tuple[Fleet, str] | None = None

    def now(self) -> MadeOf:
        """Cheap unless something has changed since the last time."""
        current = self._current()
        if self._judged is None or self._judged[0] is not current.fleet:
            self._judged = (current.fleet, digest_of(current.fleet))
        return MadeOf(release=current.release.name, code=self._code(current.release.name), fleet=self._judged[1])

    def _code(self, release: str) -> dict[str, str]:
        releases = self._home.releases
        is_base = release == DEV
        known = self._load(base_file(releases, self._machine) if is_base else release_file(releases, release))
        came_up = clock.wall() - (clock.monotonic() - self._since())
        if is_base and abs(known.created - came_up) >= SAME_START_S:
            return {}  # of an earlier start
        return known.packages

    def _load(self, path: Path) -> _Known:
        """Empty for a file that is not there yet, or damaged, which whoever needs it will say."""
        try:
            written = path.stat().st_mtime_ns
        except OSError:
            return _Known()
        if self._read is None or self._read[:2] != (path, written):
            try:
                kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
                known = _Known(kept.created, packages_of(kept.files))
            except (OSError, msgspec.MsgspecError):
                known = _Known()
            self._read = (path, written, known)
        return self._read[2]


def packages_of(files: dict[str, str]) -> dict[str, str]:
    """Each package to a digest of its Python files, given the digest of each file by its path from the package on.

    Data beside them is left out: not all of it travels or is installed.
    """
    found: dict[str, list[str]] = {}
    for name, digest in sorted(files.items()):
        if name.endswith(".py"):
            found.setdefault(name.partition("/")[0].removesuffix(".py"), []).append(f"{name}={digest}")
    return {package: _digest(lines) for package, lines in found.items()}


def digest_of(fleet: Fleet) -> str:
    """What the fleet file says of all agents, wherever it is read; empty when some of them cannot run here."""
    if fleet.invalid:
        return ""
    return _digest(_entry(agent) for _, agent in sorted(fleet.agents.items()))


def _entry(agent: AgentConfig) -> str:
    said = [str(agent.id), *(getattr(agent, key) for key in _SAID)]
    return json.dumps(msgspec.to_builtins(said, str_keys=True), sort_keys=True)


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:_DIGITS]
