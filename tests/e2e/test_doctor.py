"""`tandem doctor` finds what is wrong, says the fix, and changes nothing."""

from __future__ import annotations

import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from fleets import GREETER, PAIR, fleet_of
from household import Household, MakeHousehold, can_listen, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ALWAYS = {
    "python", "libraries", "kernel", "servers", "home", "disk", "memory", "clock", "fleet file", "run directory", "open files",
    "ports", "gpu", "models", "sound", "extra llm", "extra voice",
}  # fmt: skip


def examine(household: Household, **environment: str) -> dict[str, list[dict[str, Any]]]:
    """Findings by check; the report must be well formed and agree with the exit status."""
    said = household.tandem("doctor", "--json", **environment)
    report = said.json
    assert report.keys() == {"ok", "checks"}
    found: dict[str, list[dict[str, Any]]] = {}
    for check in report["checks"]:
        assert check.keys() == {"check", "verdict", "message", "fix"}
        assert check["verdict"] in ("ok", "note", "problem")
        found.setdefault(check["check"], []).append(check)
    problems = [check for check in report["checks"] if check["verdict"] == "problem"]
    assert report["ok"] == (not problems)
    assert said.status == (1 if problems else 0)
    return found


def problem(found: dict[str, list[dict[str, Any]]], check: str) -> dict[str, Any]:
    """The problem of that check; it must name a fix."""
    (one,) = [finding for finding in found[check] if finding["verdict"] == "problem"]
    assert one["fix"]
    return one


@pytest.fixture
def household(make_household: MakeHousehold) -> Household:
    return make_household(PAIR)


def test_nothing_wrong(household: Household) -> None:
    """Before the first ``up`` everything but the models is looked at and found well; nothing is created."""
    found = examine(household)
    assert found.keys() >= ALWAYS
    wrong = {check for check, findings in found.items() for f in findings if f["verdict"] == "problem"}
    assert wrong <= {"models", "extra llm", "extra voice"}
    assert not household.home.root.exists()
    assert not household.run_root.exists()


def test_words(household: Household) -> None:
    """For a person it is one line per finding, the fix below what needs one, and a sum at the end."""
    household.fleet.write_text(fleet_of("Greeter: {prot: 1}"))
    said = household.tandem("doctor")
    assert said.status == 1
    lines = said.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("problem  fleet file"))
    assert "fleet.yaml:5" in lines[at]
    assert lines[at + 1].strip().startswith("fix:")
    assert "problems" in lines[-1]


def test_running_fleet(household: Household) -> None:
    """While the fleet runs its ports count as ours and the machine as reached."""
    household.up()
    found = examine(household)
    assert found["ports"][0]["verdict"] == "ok"
    assert "are ours" in found["ports"][0]["message"]
    assert found["local"][0]["verdict"] == "ok"
    assert "2 agents" in found["local"][0]["message"]
    assert found["keys"][0]["verdict"] == "ok"


def test_agent_in_trouble(make_household: MakeHousehold) -> None:
    """A running machine whose agent fails is a problem that names the agent."""
    household = make_household(fleet_of(f"{GREETER}\nBad: {{class: fleet_agents.trouble:DiesAtOnce}}"))
    household.tandem("up")
    assert "Bad" in problem(examine(household), "local")["message"]


def test_taken_port(household: Household) -> None:
    """A port another program has is named with that program."""
    with socket.create_server(("127.0.0.1", 5709 + household.offset)):
        found = problem(examine(household), "ports")
    assert f"port {5709 + household.offset} (Greeter@local) is taken by" in found["message"]
    assert "PORT_OFFSET" in found["fix"]


def test_ports_of_another_fleet(make_household: MakeHousehold) -> None:
    """Ports of another fleet are told in one line that names its home."""
    first = make_household(PAIR)
    first.up()
    second = make_household(PAIR, offset=first.offset)
    assert f"the fleet in {first.home.root} has" in problem(examine(second), "ports")["message"]


def test_after_a_power_cut(household: Household) -> None:
    """Sockets nobody listens on are noted, with what removes them; that works."""
    household.up()
    household.kill_everything()
    (note,) = examine(household)["local"]
    assert note["verdict"] == "note"
    assert "left" in note["message"]
    assert "tandem down" in note["fix"]
    household.down()
    assert examine(household)["local"][0]["verdict"] == "ok"


def test_orphans(household: Household) -> None:
    """Agents whose keeper and node are dead are a problem that ``up`` mends."""
    household.up()
    agents = {row["name"]: row["pid"] for row in household.status()["agents"]}
    supervision = household.tandem("node", "--json").json[0]
    kill_together([supervision["keeper"], supervision["node"]])
    found = problem(examine(household), "local")
    assert "its keeper is gone" in found["message"]
    assert examine(household)["ports"][0]["verdict"] == "ok"
    household.up()
    assert examine(household)["local"][0]["verdict"] == "ok"
    assert {row["name"]: row["pid"] for row in household.status()["agents"]} == agents


def kill_together(pids: list[int]) -> None:

    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            os.kill(pid, number)


def test_other_run_directory(household: Household) -> None:
    """A fleet that runs with another TANDEM_RUN_DIR is found all the same."""
    household.up()
    found = examine(household, TANDEM_RUN_DIR=str(household.directory / "r"))
    assert str(household.run_root) in problem(found, "local")["message"]


def test_long_run_directory(household: Household) -> None:
    """A run directory whose sockets would not fit the kernel's 107 bytes is a problem before anything fails."""
    found = problem(
        examine(household, TANDEM_RUN_DIR=str(household.directory / ("x" * 100))), "run directory"
    )
    assert "107" in found["message"]
    said = household.tandem("up", TANDEM_RUN_DIR=str(household.directory / ("x" * 100)))
    assert said.status == 78
    assert "107" in said.err
    assert "TANDEM_RUN_DIR" in said.err


def test_open_run_directory(household: Household) -> None:
    """A run directory others may look into is a problem with its chmod."""
    household.run_root.mkdir(mode=0o755)
    household.run_root.chmod(0o755)
    assert problem(examine(household), "run directory")["fix"] == f"chmod 700 {household.run_root}"


def test_home_that_is_a_file(household: Household, tmp_path: Path) -> None:
    """A home that is no directory is a problem, and ``up`` says the same in words."""
    place = tmp_path / "home"
    place.write_text("")
    assert "not a directory" in problem(examine(household, TANDEM_HOME=str(place)), "home")["message"]
    said = household.tandem("up", TANDEM_HOME=str(place))
    assert said.status in (1, 78)
    assert said.err.splitlines()[-1 if len(said.err.splitlines()) == 1 else -2].startswith("Error: ")


@pytest.mark.parametrize("text", [None, "fleet: [", fleet_of("A: {needs: [B]}")])
def test_fleet_file(household: Household, text: str | None) -> None:
    """A missing, unreadable or wrong fleet file is a problem; every other check is made all the same."""
    if text is None:
        household.fleet.unlink()
    else:
        household.fleet.write_text(text)
    found = examine(household)
    assert any(finding["verdict"] == "problem" for finding in found["fleet file"])
    assert {"python", "home", "models", "servers"} <= found.keys()


def test_few_open_files(household: Household) -> None:
    """A limit on open files that is too low for the fleet is a problem with the command that raises it."""

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (150, hard))
    try:
        found = examine(household)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert problem(found, "open files")["fix"] == "ulimit -n 216"


def test_doctor_leaves_ports_alone(household: Household) -> None:
    """Looking at ports does not occupy them."""
    examine(household)
    eventually(lambda: all(can_listen(port) for port in household.ports()))
