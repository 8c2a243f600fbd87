from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tandem.supervise import cgroups as module
from tandem.supervise.cgroups import Cgroups, Hierarchy
from tandem.supervise.wire import Bounds

BOUNDS = Bounds(memory_mb=64, cpu_percent=50, processes=8, nice=5)
ALL = frozenset({"memory", "cpu", "pids"})
MEMORY_2 = {"memory.max": "67108864", "memory.swap.max": "0", "memory.oom.group": "1"}
CPU_2 = {"cpu.max": "50000 100000", "cpu.weight.nice": "5"}
CPU_1 = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000", "cpu.shares": "336"}
OUR_LIMIT = "it reached its memory limit"
NO_MEMORY = "the kernel killed it when memory ran out"


def fake(root: Path, *files: str) -> Path:
    """A directory that looks like a control group: the kernel would make these files."""
    root.mkdir(parents=True)
    for name in files:
        (root / name).touch()
    return root


class Kernel:
    """Version 2 as cgroups(7) has it, over a directory: which groups may have processes, pass controllers on, be written to.

    ``found`` are the groups :func:`module.find` shall find: of a process in ``own``.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, own: str = "/", offers: frozenset[str] = ALL):
        self.root = root
        self.refuses: Callable[[Path, str], int] = lambda _file, _value: 0
        """What else it refuses: an errno."""
        self._offers = offers
        monkeypatch.setattr(module, "_write", lambda path, value: self.write(Path(path), value))
        monkeypatch.setattr(module, "_mounts", lambda: iter([(2, str(root), [])]))
        monkeypatch.setattr(module, "_own_paths", lambda: {"": own})
        self.group(own).mkdir(parents=True, exist_ok=True)
        self.settle()

    def group(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def processes(self, path: str) -> set[int]:
        return set(map(int, self._words(self.group(path) / "cgroup.procs")))

    def passes_on(self, path: str) -> set[str]:
        return self._words(self.group(path) / "cgroup.subtree_control")

    def settle(self) -> None:
        """Every group has the files the kernel would show in it."""
        for group in [self.root, *sorted(path for path in self.root.glob("**/") if path != self.root)]:
            offered = self._offers if group == self.root else self._words(group.parent / "cgroup.subtree_control")
            (group / "cgroup.controllers").write_text(" ".join(sorted(offered)))
            for name in ("cgroup.procs", "cgroup.subtree_control", "cgroup.type")[: 2 if group == self.root else 3]:
                (group / name).touch()

    def put(self, path: str, *pids: int) -> None:
        with (self.group(path) / "cgroup.procs").open("a") as file:
            file.write("".join(f"{pid}\n" for pid in pids))

    def write(self, file: Path, value: str) -> None:
        self.settle()
        group = file.parent
        error = self.refuses(file, value)
        if file.name == "cgroup.subtree_control":
            if value[1:] not in self._words(group / "cgroup.controllers"):
                error = errno.ENOENT
            elif group != self.root and self._words(group / "cgroup.procs"):
                error = errno.EBUSY
            value = " ".join(sorted(self._words(file) | {value[1:]}))
        elif file.name == "cgroup.procs" and group != self.root and self._words(group / "cgroup.subtree_control"):
            error = errno.EBUSY
        if error:
            raise OSError(error, os.strerror(error))
        if file.name == "cgroup.procs":
            for other in self.root.glob("**/cgroup.procs"):
                other.write_text("".join(f"{pid}\n" for pid in self._words(other) if pid != value))
            value = "".join(f"{pid}\n" for pid in [*self._words(file), value])
        file.write_text(value)
        self.settle()

    @staticmethod
    def _words(file: Path) -> set[str]:
        return set(file.read_text().split()) if file.exists() else set()


def delegated(monkeypatch: pytest.MonkeyPatch, kernel: Kernel, path: str) -> None:
    """``path`` has systemd's mark, and the controllers of those above it."""
    monkeypatch.setattr(module, "_is_delegated", lambda directory: directory == str(kernel.group(path)))
    for above in list(reversed(Path(path).parents)):
        (kernel.group(str(above)) / "cgroup.subtree_control").write_text(" ".join(sorted(ALL)))
        kernel.settle()


@pytest.mark.parametrize(
    ("version", "holds", "written"),
    [
        (2, "memory cpu pids", MEMORY_2 | CPU_2 | {"pids.max": "8"}),
        (2, "", {}),
        (1, "memory", {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864"}),
        (1, "cpu", CPU_1),
        (1, "pids", {"pids.max": "8"}),
    ],
)
def test_limits_in_the_words_of_each_version(tmp_path: Path, version: int, holds: str, written: dict[str, str]) -> None:
    """Each hierarchy is told the limits it has controllers for, in its own files and units, and then the process."""
    group = fake(tmp_path / "tandem-m1" / "i1", "cgroup.procs", *written)
    cgroups = Cgroups([Hierarchy(version, str(tmp_path), frozenset(holds.split()))], "m1")
    cgroups.enter("i1", 4711, BOUNDS)
    assert {name: (group / name).read_text() for name in written} == written
    assert (group / "cgroup.procs").read_text() == "4711"


@pytest.mark.parametrize(("version", "needed"), [(2, "memory.max"), (1, "memory.limit_in_bytes")])
def test_a_kernel_without_accounting_of_swap(tmp_path: Path, version: int, needed: str) -> None:
    """What such a kernel has no file for is left out; the limit itself is not, and its lack is an error."""
    group = fake(tmp_path / "tandem-m1" / "i1", "cgroup.procs", needed)
    cgroups = Cgroups([Hierarchy(version, str(tmp_path), frozenset({"memory"}))], "m1")
    cgroups.enter("i1", 4711, BOUNDS)
    assert (group / needed).read_text() == "67108864" and len(list(group.iterdir())) == 2
    (group / needed).unlink()
    with pytest.raises(FileNotFoundError):
        cgroups.enter("i1", 4711, BOUNDS)


@pytest.mark.parametrize(
    ("version", "files", "why"),
    [
        (2, {"memory.events": "low 0\noom 0\noom_kill 0\n"}, ""),
        (2, {"memory.events": "low 0\noom 2\noom_kill 1\n"}, OUR_LIMIT),
        (2, {"memory.events": "low 0\noom 0\noom_kill 1\n"}, NO_MEMORY),
        (1, {"memory.oom_control": "under_oom 0\noom_kill 0\n"}, ""),
        (1, {"memory.oom_control": "oom_kill 1\n", "memory.limit_in_bytes": "67108864\n"}, OUR_LIMIT),
        (1, {"memory.oom_control": "oom_kill 1\n", "memory.limit_in_bytes": "9223372036854771712\n"}, NO_MEMORY),
        (1, {}, ""),
    ],
)
def test_the_kernels_word_on_memory_is_read(tmp_path: Path, version: int, files: dict[str, str], why: str) -> None:
    """A counted kill is told, in both versions' files: for the group's own limit, or for want of memory around it."""
    group = fake(tmp_path / "tandem-m1" / "i1", *files)
    for name, text in files.items():
        (group / name).write_text(text)
    assert Cgroups([Hierarchy(version, str(tmp_path), frozenset({"memory"}))], "m1").why_killed("i1") == why
    assert Cgroups([Hierarchy(version, str(tmp_path), frozenset())], "m1").why_killed("i1") == ""


def test_without_delegation_there_are_none() -> None:
    """Nothing is taken that was not given: no groups, no limits held, and every question has an empty answer."""
    cgroups = Cgroups([], "m1")
    cgroups.prepare()
    cgroups.enter("i1", os.getpid(), BOUNDS)
    cgroups.accompany(os.getpid())
    assert (cgroups.holds, cgroups.members("i1"), cgroups.why_killed("i1")) == (frozenset(), [], "")


def test_a_named_group_gets_controllers_from_those_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new group has only what its parents pass on: they are asked to, and units below it can be limited."""
    kernel = Kernel(tmp_path, monkeypatch)
    kernel.put("/", 1, 2)
    cgroups = module.find("m1", {module.VARIABLE: "/house/tandem"})
    cgroups.prepare()
    assert cgroups.holds == ALL
    for path in ("/", "/house", "/house/tandem", "/house/tandem/tandem-m1"):
        assert kernel.passes_on(path) == ALL
    assert kernel.processes("/") == {1, 2}
    assert kernel.processes("/house/tandem/supervision") == {os.getpid()}
    cgroups.close()
    assert kernel.processes("/") == {1, 2, os.getpid()}


def test_the_processes_of_the_root_of_all_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the root may have both processes and groups with controllers; nobody in it is moved, whoever they are."""
    kernel = Kernel(tmp_path, monkeypatch)
    kernel.put("/", 1, 2)
    cgroups = module.find("m1", {module.VARIABLE: "/"})
    cgroups.prepare()
    assert (cgroups.holds, kernel.processes("/")) == (ALL, {1, 2})


def test_a_delegated_group_is_emptied_before_it_passes_controllers_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is in it goes into the leaf where the keeper is, also one that is born there while others are moved."""
    kernel = Kernel(tmp_path, monkeypatch, own="/user/tandem.scope")
    delegated(monkeypatch, kernel, "/user/tandem.scope")
    kernel.put("/user/tandem.scope", 11, 12)
    newborn = iter([13])

    def bear(file: Path, value: str) -> int:
        if (file.name, value) == ("cgroup.procs", "12") and (pid := next(newborn, None)) is not None:
            kernel.put("/user/tandem.scope", pid)
        return 0

    kernel.refuses = bear
    cgroups = module.find("m1", {})
    cgroups.prepare()
    assert cgroups.holds == ALL and kernel.passes_on("/user/tandem.scope/tandem-m1") == ALL
    assert kernel.processes("/user/tandem.scope") == set()
    assert kernel.processes("/user/tandem.scope/supervision") == {11, 12, 13, os.getpid()}


def test_a_keeper_that_a_node_starts_finds_the_delegated_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is born in the leaf, which has no mark; the group above it has, and is the one."""
    kernel = Kernel(tmp_path, monkeypatch, own="/tandem.scope/supervision")
    delegated(monkeypatch, kernel, "/tandem.scope")
    cgroups = module.find("m1", {})
    cgroups.prepare()
    assert cgroups.holds == ALL and kernel.passes_on("/tandem.scope/tandem-m1") == ALL


@pytest.mark.parametrize("environment", [{}, {module.VARIABLE: "."}])
@pytest.mark.parametrize("own", ["/tandem.scope", "/tandem.scope/supervision"])
def test_nothing_above_a_delegated_group_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], own: str
) -> None:
    """Marked or called our own, it is used, and those above belong to systemd: a controller it has not passed on is not
    held, and what is passed on above stays as it was."""
    kernel = Kernel(tmp_path, monkeypatch, own=own)
    delegated(monkeypatch, kernel, "/tandem.scope" if not environment else "/elsewhere")
    (tmp_path / "cgroup.subtree_control").write_text("memory pids")
    kernel.settle()
    cgroups = module.find("m1", environment)
    cgroups.prepare()
    assert cgroups.holds == ALL - {"cpu"} and kernel.passes_on("/") == ALL - {"cpu"}
    assert kernel.passes_on("/tandem.scope/tandem-m1") == ALL - {"cpu"}


def test_a_controller_that_is_refused_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``cpu`` is where realtime processes run: the others are held all the same, and nobody believes it is."""
    kernel = Kernel(tmp_path, monkeypatch)
    kernel.refuses = lambda _file, value: errno.EINVAL if value == "+cpu" else 0
    cgroups = module.find("m1", {module.VARIABLE: "/tandem"})
    cgroups.prepare()
    assert cgroups.holds == ALL - {"cpu"}


def test_where_processes_may_not_be_moved_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel lets nobody move processes out of what is not his: known before the first agent lives."""
    kernel = Kernel(tmp_path, monkeypatch)
    kernel.refuses = lambda file, _value: errno.EACCES if file.name == "cgroup.procs" else 0
    with pytest.raises(PermissionError):
        module.find("m1", {module.VARIABLE: "/tandem"}).prepare()


def test_who_accompanies_us_leaves_the_group_he_was_born_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node is forked in its zygote's group; with us it is no member of it, and does not die with it."""
    kernel = Kernel(tmp_path, monkeypatch)
    cgroups = module.find("m1", {module.VARIABLE: "/tandem"})
    cgroups.prepare()
    cgroups.enter("zygote", os.getpid(), Bounds())
    assert cgroups.members("zygote") == [os.getpid()]
    cgroups.accompany(os.getpid())
    assert cgroups.members("zygote") == [] and kernel.processes("/tandem/supervision") == {os.getpid()}


def test_groups_that_a_unit_makes_below_its_own_are_its_own(tmp_path: Path) -> None:
    """As container engines do: what is in them belongs to the unit, and they go with it."""
    group = fake(tmp_path / "tandem-m1" / "i1" / "inner", "cgroup.procs")
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    cgroups = Cgroups([Hierarchy(2, str(tmp_path), ALL)], "m1")
    assert cgroups.members("i1") == [os.getpid()]
    (group / "cgroup.procs").unlink()
    cgroups.remove("i1")
    assert not (tmp_path / "tandem-m1" / "i1").exists()
