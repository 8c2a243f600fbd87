"""Agents that take too much, hang, or lose what they need: the fault stays where it happened, and says its name."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import Make
from fleet_rig import FleetRig

from tandem.supervise import proc

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]


def ask_for_it(rig: FleetRig, agent: str) -> None:
    """Let the agent do what it is there for."""
    (Path(rig.env["TANDEM_HOME"]) / "machines" / "m1" / "state" / agent / "take").touch()


def replaced(rig: FleetRig, name: str, pid: int) -> dict[str, Any]:
    found: dict[str, Any] = rig.until(
        lambda: a if (a := rig.agent(name))["pid"] not in (None, pid) and a["state"] == "healthy" else None,
        f"a new {name}",
    )
    return found


def test_a_memory_hog_is_killed_and_its_neighbour_is_not(fleet: Make) -> None:
    """Above ``memory_mb`` it is killed with the figures in the node's log, and replaced; nobody else restarts."""
    rig = fleet(
        "Hog: {class: chaos_agents:Hog, limits: {memory_mb: 200}}\nB: {class: chaos_agents:Good}"
    )
    rig.tandem("up")
    hog, neighbour = rig.pid("Hog"), rig.pid("B")
    ask_for_it(rig, "Hog")
    after = replaced(rig, "Hog", hog)
    assert after["restarts"] == 1 and "SIGKILL" in after["exit"] and rig.pid("B") == neighbour
    assert "MiB of memory, 200 allowed" in rig.tandem("logs", "node")


def test_a_grown_agent_is_renewed_with_grace(fleet: Make) -> None:
    """Above ``restart_above_mb`` it is asked to finish, ends with status 0, and a fresh one follows."""
    rig = fleet("Hog: {class: chaos_agents:Hog, limits: {restart_above_mb: 200}}")
    rig.tandem("up")
    hog = rig.pid("Hog")
    ask_for_it(rig, "Hog")
    after = replaced(rig, "Hog", hog)
    assert after["exit"] == "exit code 0"
    assert "restarted above 200" in rig.tandem("logs", "node")


def test_a_fork_bomb_ends_within_its_limit(fleet: Make) -> None:
    """Above ``processes`` the whole group is killed: not one of its children is left, and it starts afresh."""
    rig = fleet("Bomb: {class: chaos_agents:Bomb, limits: {processes: 10}}\nB: {class: chaos_agents:Good}")
    rig.tandem("up")
    bomb, neighbour = rig.pid("Bomb"), rig.pid("B")
    ask_for_it(rig, "Bomb")
    replaced(rig, "Bomb", bomb)
    assert rig.pid("B") == neighbour and "10 allowed" in rig.tandem("logs", "node")
    assert [pid for pid in rig.processes() if os.getsid(pid) == bomb] == []


def test_open_files_and_niceness_hold_from_the_first_instruction(fleet: Make) -> None:
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


def test_a_blocked_event_loop_is_named(fleet: Make) -> None:
    """An agent that blocks its loop is replaced; the node's log says why, its own log where it hung."""
    rig = fleet("Blocker: {class: chaos_agents:Blocker}")
    rig.tandem("up")
    pid = rig.pid("Blocker")
    ask_for_it(rig, "Blocker")
    after = replaced(rig, "Blocker", pid)
    assert after["restarts"] == 1
    assert "no sign of life for" in rig.tandem("logs", "node")
    assert "in endless_computation" in rig.tandem("logs", "Blocker")


def test_what_an_agent_does_when_a_need_dies(fleet: Make) -> None:
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
    degraded = rig.agent("D")
    assert degraded["state"] == "degraded" and degraded["issues"] == ["Db, which it needs, is not up"]
    assert degraded["pid"] == before["D"] and rig.pid("R") == before["R"]
    rig.tandem("start", "Db")
    for name in ("W", "R"):
        assert replaced(rig, name, before[name])["restarts"] == 0
    assert rig.until_state("D", "healthy")["pid"] == before["D"]


def test_a_detached_job_outlives_its_agent_but_not_the_operators_stop(fleet: Make) -> None:
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
