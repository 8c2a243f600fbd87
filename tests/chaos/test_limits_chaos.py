"""Agents that take too much, hang, or lose what they need: the fault stays where it happened, and says its name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_rig import FleetRig, MakeFleet

from tandem.supervise import cgroups, proc
from tandem.supervise.usage import members_of

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def ask_for_it(rig: FleetRig, agent: str) -> None:
    """Let the agent do what it is there for."""
    (Path(rig.env["TANDEM_HOME"]) / "machines" / "m1" / "state" / agent / "take").touch()


def replaced(rig: FleetRig, name: str, pid: int) -> dict[str, Any]:
    found: dict[str, Any] = rig.until(
        lambda: a if (a := rig.agent(name))["pid"] not in (None, pid) and a["state"] == "healthy" else None,
        f"a new {name}",
    )
    return found


def await_word(rig: FleetRig, name: str, words: str) -> None:
    """Wait until they are in somebody's log, which the keeper writes."""
    rig.until(lambda: words in rig.tandem("logs", name, "--lines", "0"), f"{name}: {words}")


def by_kernel(rig: FleetRig, *controllers: str) -> None:
    """Let the fleet use control groups of its own; skips where this computer gives us none with ``controllers``."""
    own = f"/tandem-chaos-{os.getpid()}"
    offered = cgroups.find("m1", {cgroups.VARIABLE: own}).holds
    if missing := sorted(set(controllers) - offered):
        pytest.skip(f"no cgroup hierarchy here, version 1 or 2, gives this user {', '.join(missing)}")
    rig.env[cgroups.VARIABLE] = own


@pytest.fixture(autouse=True)
def no_groups_left() -> Iterator[None]:
    """Take the groups away that :func:`by_kernel` had made, once nothing is in them."""
    yield
    ours = f"tandem-chaos-{os.getpid()}"
    # Others' groups may vanish while one looks.
    for group in [Path(place) / ours for place, groups, _ in os.walk("/sys/fs/cgroup") if ours in groups]:
        for inner in sorted(group.glob("**/"), reverse=True):
            deadline = time.monotonic() + 60.0  # a keeper that has said goodbye is still ending
            while (inner / "cgroup.procs").read_text() and time.monotonic() < deadline:
                time.sleep(0.01)
            inner.rmdir()


def group_file(pid: int, controller: str, name: str) -> str:
    """What a file of the process's own group says, in whichever version holds the controller."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        root = Path("/sys/fs/cgroup") / controllers if controllers else Path("/sys/fs/cgroup")
        if controller in controllers.split(",") or not controllers:
            file = root / path.lstrip("/") / name
            if file.exists():
                return file.read_text().strip()
    raise AssertionError(Path(f"/proc/{pid}/cgroup").read_text())


@pytest.mark.parametrize("keeper", ["measured", "kernel"])
def test_a_memory_hog_is_killed_and_its_neighbour_is_not(fleet: MakeFleet, keeper: str) -> None:
    """Above ``memory_mb`` it is killed, the node's log says why, and it is replaced; nobody else restarts."""
    rig = fleet(
        "Hog: {class: chaos_agents:Hog, limits: {memory_mb: 200}}\nB: {class: chaos_agents:Good}"
    )
    if keeper == "kernel":
        by_kernel(rig, "memory")
    rig.tandem("up")
    hog, neighbour = rig.pid("Hog"), rig.pid("B")
    ask_for_it(rig, "Hog")
    after = replaced(rig, "Hog", hog)
    assert after["restarts"] == 1 and "SIGKILL" in after["exit"] and rig.pid("B") == neighbour
    said = "it reached its memory limit" if keeper == "kernel" else "MiB of memory, 200 allowed"
    await_word(rig, "node", said)


def test_a_grown_agent_is_renewed_with_grace(fleet: MakeFleet) -> None:
    """Above ``restart_above_mb`` it is asked to finish, ends with status 0, and a fresh one follows."""
    rig = fleet("Hog: {class: chaos_agents:Hog, limits: {restart_above_mb: 200}}")
    rig.tandem("up")
    hog = rig.pid("Hog")
    ask_for_it(rig, "Hog")
    after = replaced(rig, "Hog", hog)
    assert after["exit"] == "exit code 0"
    await_word(rig, "node", "restarted above 200")


def test_a_fork_bomb_meets_a_wall_of_the_kernel(fleet: MakeFleet) -> None:
    """With control groups the eleventh process is refused: the agent lives on with those it has, and so do the others."""
    rig = fleet("Bomb: {class: chaos_agents:Bomb, limits: {processes: 10}}\nB: {class: chaos_agents:Good}")
    by_kernel(rig, "pids")
    rig.tandem("up")
    bomb, neighbour = rig.pid("Bomb"), rig.pid("B")
    ask_for_it(rig, "Bomb")
    rig.until(lambda: "Resource temporarily unavailable" in rig.tandem("logs", "Bomb"), "the wall")
    assert 1 < len(members_of(bomb)) <= 10
    assert (rig.pid("Bomb"), rig.pid("B")) == (bomb, neighbour)


def test_cpu_is_bounded_by_the_kernel(fleet: MakeFleet) -> None:
    """With control groups the kernel has the bound before the agent runs: half a core is 50 ms of every 100."""
    rig = fleet("Burner: {class: chaos_agents:Burner, limits: {cpu_percent: 50}}")
    by_kernel(rig, "cpu")
    rig.tandem("up")
    pid = rig.pid("Burner")
    second = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    quota = group_file(pid, "cpu", "cpu.max") if second else group_file(pid, "cpu", "cpu.cfs_quota_us")
    assert quota == ("50000 100000" if second else "50000")


def test_in_control_groups_nobody_goes_with_the_zygote_or_the_keeper(fleet: MakeFleet) -> None:
    """Forked from the zygote, node and agents are in no group of its: killed, it takes nobody along. Nor does the keeper
    an agent, and the next one has the same groups."""
    rig = fleet("A: {class: chaos_agents:Good}\nB: {class: chaos_agents:Good, limits: {processes: 50}}")
    by_kernel(rig, "pids")
    rig.tandem("up")
    agents, before = {name: rig.pid(name) for name in ("A", "B")}, rig.keeper()
    os.kill(before["zygote"], signal.SIGKILL)
    rig.until(lambda: rig.keeper().get("zygote") not in (None, before["zygote"]), "another zygote")
    assert rig.keeper()["node"] == before["node"]
    os.kill(before["keeper"], signal.SIGKILL)
    rig.until(lambda: "node" in (k := rig.keeper()) and k.get("keeper") not in (None, before["keeper"]), "another keeper")
    rig.tandem("restart", "B")
    assert rig.pid("A") == agents["A"] and rig.pid("B") != agents["B"]
    assert group_file(rig.pid("B"), "pids", "pids.max") == "50"
    rig.tandem("down")
    assert rig.remains() == []


def test_cpu_is_given_to_others_first_where_nothing_bounds_it(fleet: MakeFleet) -> None:
    """Measured above its limit it runs at the lowest priority and says so; calmed down it is healthy again."""
    rig = fleet(
        "Burner: {class: chaos_agents:Burner, limits: {cpu_percent: 20}}\nB: {class: chaos_agents:Good}"
    )
    rig.tandem("up")
    pids = {name: rig.pid(name) for name in ("Burner", "B")}
    ask_for_it(rig, "Burner")
    slowed = rig.until_state("Burner", "degraded")
    assert any("20 allowed" in issue and "lowest priority" in issue for issue in slowed["issues"])
    family = members_of(pids["Burner"])
    assert len(family) == 2
    rig.until(lambda: {os.getpriority(os.PRIO_PROCESS, pid) for pid in family} == {19}, "the lowest priority")
    assert os.getpriority(os.PRIO_PROCESS, pids["B"]) == os.getpriority(os.PRIO_PROCESS, 0)
    ask_for_it(rig, "Burner")
    calm = rig.until_state("Burner", "healthy")
    assert calm["pid"] == pids["Burner"] and calm["issues"] == [] and calm["restarts"] == 0
    await_word(rig, "node", "priority lowest")
    assert rig.pid("B") == pids["B"]


def test_a_fork_bomb_ends_within_its_limit(fleet: MakeFleet) -> None:
    """Above ``processes`` the whole group is killed: not one of its children is left, and it starts afresh."""
    rig = fleet("Bomb: {class: chaos_agents:Bomb, limits: {processes: 10}}\nB: {class: chaos_agents:Good}")
    rig.tandem("up")
    bomb, neighbour = rig.pid("Bomb"), rig.pid("B")
    ask_for_it(rig, "Bomb")
    replaced(rig, "Bomb", bomb)
    await_word(rig, "node", "10 allowed")
    assert rig.pid("B") == neighbour and members_of(bomb) == []


def test_open_files_and_niceness_hold_from_the_first_instruction(fleet: MakeFleet) -> None:
    """The kernel has the agent's limits before the agent runs."""
    rig = fleet(
        "A: {class: chaos_agents:Good, limits: {open_files: 40, nice: 5}}\n"
        "P: {command: [sleep, '1000'], limits: {open_files: 16, nice: 5}}"
    )
    rig.tandem("up")
    for name, count in (("A", "40"), ("P", "16")):
        pid = rig.pid(name)
        line = next(row for row in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in row)
        assert line.split()[3:5] == [count, count] and os.getpriority(os.PRIO_PROCESS, pid) == 5


def test_a_blocked_event_loop_is_named(fleet: MakeFleet) -> None:
    """An agent that blocks its loop is replaced; the node's log says why, its own log where it hung."""
    rig = fleet("Blocker: {class: chaos_agents:Blocker}")
    rig.tandem("up")
    pid = rig.pid("Blocker")
    ask_for_it(rig, "Blocker")
    after = replaced(rig, "Blocker", pid)
    assert after["restarts"] == 1
    await_word(rig, "node", "no sign of life for")
    await_word(rig, "Blocker", "in endless_computation")


def test_what_an_agent_does_when_a_need_dies(fleet: MakeFleet) -> None:
    """``degrade`` serves on and says what is missing, ``wait`` ends until it is back, ``restart`` follows it."""
    rig = fleet(
        "Db: {class: chaos_agents:Good, restart: {first_delay_s: 2.0}}\n"
        "D: {class: chaos_agents:Good, needs: [Db]}\n"
        "W: {class: chaos_agents:Good, needs: [Db], on_dependency: wait}\n"
        "R: {class: chaos_agents:Good, needs: [Db], on_dependency: restart}"
    )
    rig.tandem("up")
    before = {name: rig.pid(name) for name in ("D", "W", "R")}
    rig.tandem("stop", "Db")
    rig.until_state("W", "waiting")
    degraded = rig.until_state("D", "degraded")
    assert degraded["issues"] == ["Db, which it needs, is not up"]
    assert degraded["pid"] == before["D"] and rig.pid("R") == before["R"]
    rig.tandem("start", "Db")
    for name in ("W", "R"):
        assert replaced(rig, name, before[name])["restarts"] == 0
    assert rig.until_state("D", "healthy")["pid"] == before["D"]


def test_a_detached_job_outlives_its_agent_but_not_the_operators_stop(fleet: MakeFleet) -> None:
    """Crash, restart and another keeper leave a declared job alone; ``stop`` ends it, and means it."""
    rig = fleet("F: {class: chaos_agents:Foreman, detached: true, stop_grace_s: 3}")
    rig.tandem("up")
    job = int((Path(rig.env["TANDEM_HOME"]) / "machines/m1/state/F/job").read_text())
    pid = rig.pid("F")
    os.kill(pid, signal.SIGKILL)
    pid = replaced(rig, "F", pid)["pid"]
    assert proc.lives(job)
    rig.tandem("restart", "F")
    assert rig.pid("F") != pid and proc.lives(job)
    rig.tandem("stop", "F")
    rig.until(lambda: not proc.lives(job), "the end of the job")
    rig.tandem("down")
    assert rig.remains() == []
