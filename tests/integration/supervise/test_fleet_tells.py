"""What a fleet tells the operator: mistakes, issues, near names, logs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from fleet_rig import PATIENCE_S, THREE, MakeFleet

pytestmark = pytest.mark.integration

BAD = """
Fine: {class: "fleet_agents:Good"}
Broken: {class: "broken_module:Anything"}
Crashing: {class: "fleet_agents:DiesAtOnce"}
Hanging: {class: "fleet_agents:NeverReady", start_timeout_s: 1}
Absent: {class: "fleet_agents:NoSuchClass"}
Dependant: {class: "fleet_agents:Good", needs: [Crashing]}
"""


def test_bad_agents_are_explained_and_do_not_hold_the_others_up(fleet: MakeFleet) -> None:
    """Up ends with 1 and says of each bad agent how it ended, its last lines and what is next; the good one is up."""
    rig = fleet(BAD)
    said = rig.tandem("up", "--timeout", "90", code=1)
    assert "libmagic is not installed" in said
    assert "cannot open the microphone" in said
    assert "NoSuchClass" in said and "configuration error (exit code 78)" in said
    assert "not ready in time" in said
    assert "Crashing (" in said
    states = {a["name"]: a["state"] for a in rig.status()["agents"]}
    assert states["Fine"] == "healthy" and states["Absent"] == "failed" and states["Dependant"] == "waiting"
    # While it is tried again there is other news of it.
    words = ("exit code 1", "cannot open the microphone", "tried again in")
    rig.until(lambda: all(word in shown for word in words) if (shown := rig.tandem("status", code=1)) else None, "the words")


def test_a_degraded_agent_counts_as_up_and_says_why(fleet: MakeFleet) -> None:
    """An agent with an issue that does not block it is up, degraded, and its issue is listed."""
    rig = fleet('Unhappy: {class: "fleet_agents:Unhappy"}')
    rig.tandem("up")
    agent = rig.until_state("Unhappy", "degraded")
    assert agent["issues"] == ["no microphone (fix: plug one in)"]


def test_a_taken_port_is_named_with_its_owner(fleet: MakeFleet) -> None:
    """Up tells which port is taken and by whom, and starts nothing."""
    rig = fleet(THREE)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 7210 + rig.offset))
        other.listen()
        said = rig.tandem("up", code=1)
    assert f"port {7210 + rig.offset}" in said and f"pid {os.getpid()}" in said and "B@m1" in said
    assert rig.remains() == []


def test_an_invalid_agent_is_shown_and_the_others_run(fleet: MakeFleet) -> None:
    """An entry that is wrong makes that agent invalid, with its place in the file; up ends with 1 and runs the rest."""
    rig = fleet('A: {class: "fleet_agents:Good"}\nB: {class: "fleet_agents:Good", prot: 7210}')
    said = rig.tandem("up", code=1)
    assert "prot" in said and "fleet.yaml" in said
    assert {a["name"]: a["state"] for a in rig.status()["agents"]} == {"A": "healthy", "B": "invalid"}


def test_names_that_mean_nobody_get_a_suggestion(fleet: MakeFleet) -> None:
    """start, stop and restart say which name is near."""
    rig = fleet(THREE.replace("A:", "Speaker:").replace("[A]", "[Speaker]"))
    rig.tandem("up")
    assert "Speaker" in rig.tandem("restart", "Speeker", code=1)
    assert "Speaker@m1: healthy" in rig.tandem("restart", "Speaker@m1")


def test_the_wrong_run_directory_is_recognised(fleet: MakeFleet) -> None:
    """With another run directory than the fleet was started with, status says which one it is."""
    rig = fleet(THREE)
    rig.tandem("up")
    right = rig.env["TANDEM_RUN_DIR"]
    rig.env["TANDEM_RUN_DIR"] = str(rig.root / "elsewhere")
    said = rig.tandem("status", code=1)
    rig.env["TANDEM_RUN_DIR"] = right
    assert f"TANDEM_RUN_DIR={right}" in said


def test_logs_are_filtered_and_merged(fleet: MakeFleet) -> None:
    """Lines of several agents come in order of time; agent, grep, level and since select."""
    rig = fleet(THREE)
    rig.tandem("up")
    rig.until(lambda: rig.tandem("logs", "--grep", "is here").count("is here") == 3, "three lines")
    raw = rig.tandem("logs", "--json", "-n", "0").splitlines()
    stamps = [line.split('"ts":"')[1][:24] for line in raw if '"ts":"' in line]
    assert stamps == sorted(stamps) and len(stamps) > 20
    assert "A is here" in rig.tandem("logs", "--agent", "A@m1") and "B is here" not in rig.tandem(
        "logs", "--agent", "A"
    )
    assert "is here" not in rig.tandem("logs", "--level", "warning")
    assert "is here" in rig.tandem("logs", "--since", "10m") and "No line matches" in rig.tandem(
        "logs", "--agent", "A", "--since", "0s"
    )
    assert "no regular expression" in rig.tandem("logs", "--grep", "(", code=1)


def test_logs_follow(fleet: MakeFleet) -> None:
    """logs -f shows what is written after it began."""
    rig = fleet(THREE)
    rig.tandem("up")
    follower = rig.start("logs", "-f", "--agent", "A", "-n", "1")
    assert follower.stdout is not None
    follower.stdout.readline()
    rig.tandem("restart", "A")
    line = ""
    while "is here" not in line:
        line = follower.stdout.readline()
        assert line, "the follower ended"
    follower.send_signal(signal.SIGINT)
    follower.communicate(timeout=PATIENCE_S)
    assert follower.returncode in (130, -signal.SIGINT)


def test_the_output_survives_a_closed_pipe(fleet: MakeFleet) -> None:
    """`tandem status | head -1` ends without a traceback."""
    rig = fleet(THREE)
    rig.tandem("up")
    command = f"{sys.executable} -m tandem.cli.main logs -n 0 | head -1"
    out = subprocess.run(
        ["bash", "-c", command], env=rig.env, cwd=rig.root, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert "Traceback" not in out.stderr and out.stdout.count("\n") == 1
