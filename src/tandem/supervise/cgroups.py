"""Control groups (cgroups(7)), both versions: limits the kernel keeps, and process trees nobody can leave.

Used only where a part of the tree was given to us: systemd's ``Delegate=yes`` (known by the mark that the system's manager
leaves on the directory), or ``TANDEM_CGROUP`` naming a cgroup (``/`` in a container, ``.`` for the one we are in). Elsewhere
process groups, marks and measuring do the same work less tightly. Each unit gets a group below ``<ours>/tandem-<machine>``;
keeper and node are in a leaf beside it, ``<ours>/supervision``, since version 2 allows no processes in a group that passes
controllers on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from tandem.supervise import proc
from tandem.supervise.wire import Bounds

VARIABLE = "TANDEM_CGROUP"
CONTROLLERS = ("memory", "cpu", "pids")
_OWN = "."
_LEAF = "supervision"
_PERIOD_US = 100_000
_ATTEMPTS = 10
"""How often a group is emptied before controllers are passed on: what is in it may fork meanwhile."""
_SHARES, _STEP = 1024, 1.25
"""Weight of niceness 0 in version 1, and how much less each step up has (sched(7))."""
_NOT_EVERYWHERE = {"memory.swap.max", "memory.memsw.limit_in_bytes", "memory.oom.group"}
"""Absent without accounting of swap, and before Linux 4.19."""
_NO_LIMIT = 1 << 60
"""Bytes; without one, version 1 says the largest number of pages."""
_MARKS = ("trusted.delegate", "user.delegate")  # systemd.resource-control(5), Delegate=


class Hierarchy(Struct, frozen=True):
    """One mounted tree. ``ours``: the directory in it that is ours; ``holds``: the controllers it has for us.

    ``origin``: the directory we ourselves were born in.
    """

    version: int
    ours: str
    holds: frozenset[str]
    origin: str = ""


class Cgroups:
    """The groups of one machine's units. Without hierarchies everything is empty and does nothing."""

    def __init__(self, hierarchies: list[Hierarchy], machine: str):
        self._machine = machine
        self._hierarchies = hierarchies

    @property
    def holds(self) -> frozenset[str]:
        """Which of ``memory``, ``cpu``, ``pids`` the kernel limits."""
        return frozenset(name for h in self._hierarchies for name in h.holds)

    def prepare(self) -> None:
        """Make the machine's directory, let controllers through to it, and go beside it. Raises ``OSError``.

        A controller that the kernel refuses to let through is not held. Going there ourselves shows that others can be
        put there: an unprivileged user may move processes only within what is his.
        """
        prepared = []
        for hierarchy in self._hierarchies:
            leaf, base = os.path.join(hierarchy.ours, _LEAF), self._base(hierarchy)
            os.makedirs(leaf, exist_ok=True)
            os.makedirs(base, exist_ok=True)
            _put(leaf, os.getpid())
            holds = hierarchy.holds
            if hierarchy.version == 2:
                holds = _enable(base, _let_through(hierarchy.ours, leaf, holds))
            prepared.append(replace(hierarchy, holds=holds))
        self._hierarchies = prepared

    def give_up(self) -> None:
        """Do without."""
        self._hierarchies = []

    def accompany(self, pid: int) -> None:
        """Put the process where we are, out of the group of whoever forked it. Raises ``OSError``."""
        for hierarchy in self._hierarchies:
            _put(os.path.join(hierarchy.ours, _LEAF), pid)

    def enter(self, key: str, pid: int, bounds: Bounds) -> None:
        """Make the group ``key``, limit it, and put the process in. Raises ``OSError``."""
        for hierarchy, group in self._groups(key):
            os.makedirs(group, exist_ok=True)
            for name, value in _limits(hierarchy, bounds):
                if name not in _NOT_EVERYWHERE or os.path.exists(os.path.join(group, name)):
                    _write(os.path.join(group, name), value)
            _put(group, pid)

    def members(self, key: str) -> list[int]:
        """Living processes in the group, in any hierarchy, also in groups they have made below it."""
        found: set[int] = set()
        for _hierarchy, group in self._groups(key):
            for directory in _within(group):
                found.update(int(pid) for pid in _read(os.path.join(directory, "cgroup.procs")).split())
        return [pid for pid in found if proc.lives(pid)]

    def kill(self, key: str) -> None:
        """KILL everything in it: at one stroke where the kernel can (5.14), else one by one."""
        for hierarchy, group in self._groups(key):
            switch = os.path.join(group, "cgroup.kill")
            if hierarchy.version == 2 and os.path.exists(switch):
                _write(switch, "1")
                return
        for pid in self.members(key):
            proc.signal_process(pid, signal.SIGKILL)

    def why_killed(self, key: str) -> str:
        """What the kernel has killed a process of it for: its own memory limit, or want of memory around it."""
        for hierarchy, group in self._groups(key):
            if "memory" not in hierarchy.holds:
                continue
            second = hierarchy.version == 2
            counts = _counts(os.path.join(group, "memory.events" if second else "memory.oom_control"))
            if not counts.get("oom_kill"):
                continue
            # Version 1 does not tell whose limit it was: its own, if it has one.
            limit = _read(os.path.join(group, "memory.limit_in_bytes"))
            reached = counts.get("oom") if second else int(limit or 0) < _NO_LIMIT
            return "it reached its memory limit" if reached else "the kernel killed it when memory ran out"
        return ""

    def remove(self, key: str) -> None:
        """Take an empty group away; one that is not stays."""
        for _hierarchy, group in self._groups(key):
            _remove(group)

    def close(self) -> None:
        """Go back to where we came from, if we may, and take the machine's directories away."""
        for hierarchy in self._hierarchies:
            _remove(self._base(hierarchy))
            try:
                _put(hierarchy.origin, os.getpid())
            except OSError:
                continue  # we end where we are: what systemd has made, it takes away
            _remove(os.path.join(hierarchy.ours, _LEAF))

    def _base(self, hierarchy: Hierarchy) -> str:
        return os.path.join(hierarchy.ours, f"tandem-{self._machine}")

    def _groups(self, key: str) -> Iterator[tuple[Hierarchy, str]]:
        for hierarchy in self._hierarchies:
            yield hierarchy, os.path.join(self._base(hierarchy), key)


def find(machine: str, environment: dict[str, str]) -> Cgroups:
    """The groups that were given to us; none when nothing was."""
    return Cgroups(list(_given(environment.get(VARIABLE))), machine)


def _given(named: str | None) -> Iterator[Hierarchy]:
    paths = _own_paths()
    for version, mount, names in _mounts():
        own = paths.get("" if version == 2 else names[0])
        if own is None:
            continue
        origin = os.path.normpath(os.path.join(mount, own.lstrip("/")))
        if named not in (None, _OWN):
            ours = os.path.normpath(os.path.join(mount, named.lstrip("/")))
        else:
            # A keeper that a node has started is born where the last one was.
            ours = os.path.dirname(origin) if os.path.basename(origin) == _LEAF else origin
        given = named is not None or (version == 2 and _is_delegated(ours))
        if given and _make(ours):
            if version == 2:
                if named not in (None, _OWN):
                    _ask_above(mount, ours)
                names = _read(os.path.join(ours, "cgroup.controllers")).split()
            yield Hierarchy(version, ours, frozenset(names) & set(CONTROLLERS), origin)


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
        limit = str(bounds.memory_mb * 1024 * 1024)
        # Swap would let it grow on, slowly; and one of a family killed alone leaves an agent that cannot do its job.
        if second:
            yield from (("memory.max", limit), ("memory.swap.max", "0"), ("memory.oom.group", "1"))
        else:
            yield from (("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", limit))
    if "cpu" in hierarchy.holds and bounds.cpu_percent is not None:
        quota = bounds.cpu_percent * _PERIOD_US // 100
        if second:
            yield "cpu.max", f"{quota} {_PERIOD_US}"
        else:
            yield "cpu.cfs_period_us", str(_PERIOD_US)
            yield "cpu.cfs_quota_us", str(quota)
    if "cpu" in hierarchy.holds and bounds.nice is not None:
        # Niceness itself only counts within a group; between groups their weights do.
        if second:
            yield "cpu.weight.nice", str(bounds.nice)
        else:
            yield "cpu.shares", str(round(_SHARES / _STEP**bounds.nice))
    if "pids" in hierarchy.holds and bounds.processes is not None:
        yield "pids.max", str(bounds.processes)


def _let_through(directory: str, leaf: str, controllers: frozenset[str]) -> frozenset[str]:
    """Pass controllers on to the subgroups of one whose processes go into the leaf; those that are passed on."""
    for _ in range(_ATTEMPTS):
        # Only the root of all may have both, and what is in it is not ours to move.
        if os.path.exists(os.path.join(directory, "cgroup.type")):
            _move(directory, leaf)
        passed = _enable(directory, controllers)
        if passed == controllers or not _read(os.path.join(directory, "cgroup.procs")):
            break
    return passed


def _move(directory: str, leaf: str) -> None:
    for pid in _read(os.path.join(directory, "cgroup.procs")).split():
        try:
            _put(leaf, int(pid))
        except OSError:
            continue  # it has ended meanwhile


def _enable(directory: str, controllers: frozenset[str]) -> frozenset[str]:
    """Let controllers through to the group's subgroups, each for itself; those that are let through."""
    switches = os.path.join(directory, "cgroup.subtree_control")
    for name in sorted(controllers):
        try:
            _write(switches, f"+{name}")
        except OSError:
            continue  # processes in it, realtime ones elsewhere, or none of it here: what counts is what it says
    return controllers & set(_read(switches).split())


def _ask_above(mount: str, directory: str) -> None:
    """Have the groups above one pass on what it may limit, those of them that let us."""
    above = mount
    for part in os.path.relpath(directory, mount).split(os.sep):
        _enable(above, frozenset(CONTROLLERS))
        above = os.path.join(above, part)


def _make(directory: str) -> bool:
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK)


def _put(group: str, pid: int) -> None:
    _write(os.path.join(group, "cgroup.procs"), str(pid))


def _counts(path: str) -> dict[str, int]:
    """A flat keyed file: a name and a number in each line."""
    return {name: int(number) for name, number in (line.split() for line in _read(path).splitlines())}


def _within(group: str) -> Iterator[str]:
    """The group and those below it, innermost first."""
    for directory, _subdirectories, _files in os.walk(group, topdown=False):
        yield directory


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


def _remove(group: str) -> None:
    for directory in _within(group):
        try:
            os.rmdir(directory)
        except OSError:
            continue  # not empty, or gone
