"""Control groups (cgroups(7)), both versions: limits the kernel keeps, and process trees nobody can leave.

Used only where a part of the tree was given to us: systemd's ``Delegate=yes`` (known by the mark it leaves on the
directory), or ``TANDEM_CGROUP`` naming a cgroup (``/`` in a container). Elsewhere process groups, marks and measuring do
the same work less tightly. Each unit gets a group below ``<ours>/tandem-<machine>``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from msgspec import Struct

from tandem.supervise import proc
from tandem.supervise.wire import Bounds

VARIABLE = "TANDEM_CGROUP"
CONTROLLERS = ("memory", "cpu", "pids")
_PERIOD_US = 100_000
_MARKS = ("trusted.delegate", "user.delegate")  # systemd.resource-control(5), Delegate=


class Hierarchy(Struct, frozen=True):
    """One mounted tree. ``ours``: the directory in it that is ours; ``holds``: the controllers it has for us."""

    version: int
    ours: str
    holds: frozenset[str]


class Cgroups:
    """The groups of one machine's units. Without hierarchies everything is empty and does nothing."""

    def __init__(self, hierarchies: list[Hierarchy], machine: str):
        self._bases = [(h, os.path.join(h.ours, f"tandem-{machine}")) for h in hierarchies]
        self.holds = frozenset(name for h in hierarchies for name in h.holds)
        """Which of ``memory``, ``cpu``, ``pids`` the kernel limits."""

    def prepare(self) -> None:
        """Make the machine's directory, and let controllers through to it. Raises ``OSError``."""
        for hierarchy, base in self._bases:
            if hierarchy.version == 2 and hierarchy.holds:
                _move_out(hierarchy.ours)
                _enable(hierarchy.ours, hierarchy.holds)
            os.makedirs(base, exist_ok=True)
            if hierarchy.version == 2 and hierarchy.holds:
                _enable(base, hierarchy.holds)

    def give_up(self) -> None:
        """Do without."""
        self._bases, self.holds = [], frozenset()

    def enter(self, key: str, pid: int, bounds: Bounds) -> None:
        """Make the group ``key``, limit it, and put the process in. Raises ``OSError``."""
        for hierarchy, base in self._bases:
            group = os.path.join(base, key)
            os.makedirs(group, exist_ok=True)
            for name, value in _limits(hierarchy, bounds):
                _write(os.path.join(group, name), value)
            _write(os.path.join(group, "cgroup.procs"), str(pid))

    def members(self, key: str) -> list[int]:
        """Living processes in the group, in any hierarchy."""
        found: set[int] = set()
        for _hierarchy, base in self._bases:
            text = _read(os.path.join(base, key, "cgroup.procs"))
            found.update(int(pid) for pid in text.split())
        return [pid for pid in found if proc.lives(pid)]

    def kill(self, key: str) -> None:
        """KILL everything in it: at one stroke where the kernel can (5.14), else one by one."""
        for hierarchy, base in self._bases:
            switch = os.path.join(base, key, "cgroup.kill")
            if hierarchy.version == 2 and os.path.exists(switch):
                _write(switch, "1")
                return
        for pid in self.members(key):
            proc.signal_process(pid, signal.SIGKILL)

    def out_of_memory(self, key: str) -> bool:
        """Whether the kernel has killed a process of it for its memory limit."""
        for hierarchy, base in self._bases:
            if "memory" in hierarchy.holds:
                file = "memory.events" if hierarchy.version == 2 else "memory.oom_control"
                for line in _read(os.path.join(base, key, file)).splitlines():
                    if line.startswith("oom_kill ") and line.split()[1] != "0":
                        return True
        return False

    def remove(self, key: str) -> None:
        """Take an empty group away; one that is not stays."""
        for _hierarchy, base in self._bases:
            _remove(os.path.join(base, key))

    def close(self) -> None:
        """Take the machine's directories away."""
        for _hierarchy, base in self._bases:
            for entry in _entries(base):
                _remove(os.path.join(base, entry))
            _remove(base)


def find(machine: str, environment: dict[str, str]) -> Cgroups:
    """The groups that were given to us; none when nothing was."""
    return Cgroups(list(_given(environment.get(VARIABLE))), machine)


def _given(named: str | None) -> Iterator[Hierarchy]:
    paths = _own_paths()
    for version, mount, names in _mounts():
        own = paths.get("" if version == 2 else names[0])
        if own is None:
            continue
        path = own if named is None else named
        ours = os.path.normpath(os.path.join(mount, path.lstrip("/")))
        if version == 2:
            available = set(_read(os.path.join(ours if os.path.isdir(ours) else mount, "cgroup.controllers")).split())
            holds = frozenset(available & set(CONTROLLERS))
            given = named is not None or _is_delegated(ours)
        else:
            holds = frozenset(names) & set(CONTROLLERS)
            given = named is not None and bool(holds)
        if given and _make(ours):
            yield Hierarchy(version, ours, holds)


def _own_paths() -> dict[str, str]:
    """Controller (empty: version 2) to our path in its hierarchy."""
    paths = {}
    for line in _read("/proc/self/cgroup").splitlines():
        _number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _mounts() -> Iterator[tuple[int, str, list[str]]]:
    for line in _read("/proc/self/mounts").splitlines():
        _device, place, kind, options, *_rest = line.split()
        if kind == "cgroup2":
            yield 2, place, []
        elif kind == "cgroup":
            names = [option for option in options.split(",") if option in CONTROLLERS]
            if names:
                yield 1, place, names


def _is_delegated(directory: str) -> bool:
    for mark in _MARKS:
        try:
            if os.getxattr(directory, mark) == b"1":
                return os.access(directory, os.W_OK)
        except OSError:
            continue
    return False


def _limits(hierarchy: Hierarchy, bounds: Bounds) -> Iterator[tuple[str, str]]:
    second = hierarchy.version == 2
    if "memory" in hierarchy.holds and bounds.memory_mb is not None:
        yield "memory.max" if second else "memory.limit_in_bytes", str(bounds.memory_mb * 1024 * 1024)
    if "cpu" in hierarchy.holds and bounds.cpu_percent is not None:
        quota = bounds.cpu_percent * _PERIOD_US // 100
        if second:
            yield "cpu.max", f"{quota} {_PERIOD_US}"
        else:
            yield "cpu.cfs_period_us", str(_PERIOD_US)
            yield "cpu.cfs_quota_us", str(quota)
    if "pids" in hierarchy.holds and bounds.processes is not None:
        yield "pids.max", str(bounds.processes)


def _move_out(directory: str) -> None:
    """Version 2 allows no processes in a group that has subgroups with controllers: into a leaf with them."""
    leaf = os.path.join(directory, "supervision")
    os.makedirs(leaf, exist_ok=True)
    for pid in _read(os.path.join(directory, "cgroup.procs")).split():
        try:
            _write(os.path.join(leaf, "cgroup.procs"), pid)
        except OSError:
            continue  # it has ended meanwhile, or is the kernel's own


def _enable(directory: str, controllers: frozenset[str]) -> None:
    _write(os.path.join(directory, "cgroup.subtree_control"), " ".join(f"+{name}" for name in sorted(controllers)))


def _make(directory: str) -> bool:
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK)


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _entries(directory: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(directory) if entry.is_dir()]
    except OSError:
        return []


def _remove(directory: str) -> None:
    try:
        os.rmdir(directory)
    except OSError:
        return  # not empty, or gone
