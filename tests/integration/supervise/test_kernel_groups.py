"""Control groups of the real kernel, where this computer gives us some."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from keeper_rig import alive, until

from tandem.supervise import cgroups as module
from tandem.supervise.cgroups import Cgroups
from tandem.supervise.wire import Bounds

pytestmark = [pytest.mark.integration]

FAMILY = """
import os, sys, time
sys.stdin.read(1)
made = 0
for _ in range(30):
    try:
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
    except OSError:
        break
    made += 1
print(made, flush=True)
time.sleep(600)
"""


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    """Groups of our own in whatever hierarchies let us make some."""
    own = f"/tandem-test-{os.getpid()}"
    groups = module.find("m1", {module.VARIABLE: own})
    made = [path for path in Path("/sys/fs/cgroup").glob(f"**{own}") if os.access(path, os.W_OK)]
    if not made:
        pytest.skip("no cgroup hierarchy here lets this user make groups")
    groups.prepare()
    yield groups
    groups.close()
    for path in made:
        path.rmdir()


async def test_a_family_cannot_leave_its_group(cgroups: Cgroups) -> None:
    """Children in sessions of their own stay members, are as many as allowed, and end with one kill; nothing is left."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    cgroups.enter("i1", process.pid, Bounds(processes=10))
    process.stdin.write(b"x")
    process.stdin.flush()
    made = int(process.stdout.readline())
    assert made == (9 if "pids" in cgroups.holds else 30)
    members = cgroups.members("i1")
    assert len(members) == made + 1 and process.pid in members
    cgroups.kill("i1")
    process.wait(120)
    await until(lambda: not any(map(alive, members)), "their end")
    await until(lambda: not cgroups.members("i1"), "an empty group")
    cgroups.remove("i1")
