from __future__ import annotations

import os
from pathlib import Path

import pytest

from tandem.supervise.cgroups import Cgroups, Hierarchy
from tandem.supervise.wire import Bounds

BOUNDS = Bounds(memory_mb=64, cpu_percent=50, processes=8)


def fake(root: Path, *files: str) -> Path:
    """A directory that looks like a control group: the kernel would make these files."""
    root.mkdir(parents=True)
    for name in files:
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("version", "holds", "written"),
    [
        (2, "memory cpu pids", {"memory.max": "67108864", "cpu.max": "50000 100000", "pids.max": "8"}),
        (2, "", {}),
        (1, "memory", {"memory.limit_in_bytes": "67108864"}),
        (1, "cpu", {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}),
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


def test_the_kernels_word_on_memory_is_read(tmp_path: Path) -> None:
    """A counted kill for memory is told, in both versions' files; none is not."""
    for version, file in ((2, "memory.events"), (1, "memory.oom_control")):
        group = fake(tmp_path / str(version) / "tandem-m1" / "i1", file)
        cgroups = Cgroups([Hierarchy(version, str(tmp_path / str(version)), frozenset({"memory"}))], "m1")
        assert not cgroups.out_of_memory("i1")
        (group / file).write_text("low 0\noom 2\noom_kill 1\n")
        assert cgroups.out_of_memory("i1")


def test_without_delegation_there_are_none() -> None:
    """Nothing is taken that was not given: no groups, no limits held, and every question has an empty answer."""
    cgroups = Cgroups([], "m1")
    cgroups.prepare()
    cgroups.enter("i1", os.getpid(), BOUNDS)
    assert (cgroups.holds, cgroups.members("i1"), cgroups.out_of_memory("i1")) == (frozenset(), [], False)
