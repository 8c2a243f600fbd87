"""`tandem up` and `down` as a person or a script uses them, on a small fleet."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess

import pytest
from fleets import FRIEND, GREETER, PAIR, fleet_of
from household import TANDEM, MakeHousehold, can_listen, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

STATUS_KEYS = {"machines", "services", "agents", "links"}
AGENT_KEYS = {"name", "machine", "group", "state", "pid", "port", "ready_after_s", "restarts", "issues",
              "note", "exit", "breaker", "usage"}  # fmt: skip


def test_up_status_and_down(make_household: MakeHousehold) -> None:
    """``up`` says where the time went and what to try; the contract of ``status --json`` holds while a fleet runs, and
    ``down`` leaves no process, socket or port."""
    household = make_household(PAIR)
    up = household.up().out
    assert "2 of 2 agents are up on local after " in up
    assert re.search(r"^time: .*keepers started \d+\.\d\d s", up, re.MULTILINE)
    _, *steps = re.split(r"next: |  \|  ", up.splitlines()[-1])
    assert [step.partition(" ")[2] for step in steps] == ["logs -f", "status", "down"]
    for step in steps:
        program = shutil.which(household.directory / step.split()[0]) or shutil.which(step.split()[0])
        assert program is not None, f"what is to be typed next cannot be: {step}"
    said = household.tandem("status", "--json")
    assert said.status == 0
    assert set(said.json) == STATUS_KEYS
    (machine,) = said.json["machines"]
    assert machine.keys() == {"name", "host", "state", "pid"}
    assert (machine["name"], machine["state"]) == ("local", "up")
    os.kill(machine["pid"], 0)
    greeter, friend = household.agent("Greeter"), household.agent("Friend")
    assert greeter.keys() == AGENT_KEYS
    assert (greeter["state"], greeter["group"], greeter["restarts"], greeter["issues"]) == (
        "healthy",
        "test",
        0,
        [],
    )
    assert greeter["port"] == 5709 + household.offset
    assert not can_listen(greeter["port"])
    assert friend["port"] is None
    assert friend["ready_after_s"] > 0
    assert {service["name"] for service in said.json["services"]} == {
        "nats",
        "valkey-control",
        "valkey-cache",
    }
    household.down()


def test_up_twice(make_household: MakeHousehold) -> None:
    """A second ``up`` touches nothing that runs and succeeds."""
    household = make_household(PAIR)
    household.up()
    before = {agent["name"]: agent["pid"] for agent in household.status()["agents"]}
    again = household.up("--json").json
    assert again["ok"] is True
    assert again["already_running"] == ["local"]
    assert {agent["name"]: agent["pid"] for agent in again["agents"]} == before


def test_two_ups_at_once(make_household: MakeHousehold) -> None:
    """Two ``up`` typed at the same moment both end well, with one fleet."""
    household = make_household(PAIR)
    running = [household.begin("up", "--json") for _ in range(2)]
    said = [one.end() for one in running]
    assert [one.status for one in said] == [0, 0], said
    pids = {json.dumps({agent["name"]: agent["pid"] for agent in one.json["agents"]}) for one in said}
    assert len(pids) == 1
    keepers = {row["keeper"] for row in household.tandem("node", "--json").json}
    assert len(keepers) == 1
    household.down()


def test_down_during_up(make_household: MakeHousehold) -> None:
    """``down`` while ``up`` still waits wins: ``up`` ends with words, and nothing is left."""
    household = make_household(fleet_of(f"{GREETER}\nSlow: {{class: fleet_agents.trouble:NeverReady}}"))
    running = household.begin("up")
    eventually(lambda: "Greeter" in running.out, "the first agent")
    household.down()
    said = running.end()
    assert said.status == 1
    assert "Traceback" not in said.text
    household.assert_nothing_left()


def test_down_without_the_fleet_file(make_household: MakeHousehold) -> None:
    """``down`` and ``status`` work from anywhere, also when the fleet file is gone."""
    household = make_household(PAIR)
    household.up()
    household.fleet.unlink()
    assert household.tandem("status").status == 0
    household.down()


def test_other_computer(make_household: MakeHousehold) -> None:
    """A machine whose address is another computer's is not started here, and ``up`` and ``status`` say where it is."""
    fleet = (
        "fleet: small\nmachines: {one: {host: '${MAINPC_IP}'}, two: {host: '${PC2_IP}'}}\ngroups:\n"
        "  a: {machine: one, agents: {Greeter: {class: 'fleet_agents.greeter:Greeter'}}}\n"
        "  b: {machine: two, agents: {Friend: {class: 'fleet_agents.greeter:Friend'}}}\n"
    )
    household = make_household(fleet, PC2_IP="203.0.113.9")
    said = household.up()
    assert "one runs here because MAINPC_IP is unset" in said.out
    assert "two runs on 203.0.113.9: start it there" in said.out
    status = household.status()
    assert {machine["name"]: machine["state"] for machine in status["machines"]} == {
        "one": "up",
        "two": "remote",
    }
    assert [agent["name"] for agent in status["agents"]] == ["Greeter"]


def test_interrupted_logs(make_household: MakeHousehold) -> None:
    """``logs --follow`` shows what is written from now on, until Ctrl-C, which is no error with a traceback."""
    household = make_household(PAIR)
    household.up()
    running = household.begin("logs", "--follow", "keeper", "node")
    eventually(lambda: running.out, "the first lines")
    running.interrupt()
    said = running.end()
    assert (said.status, said.err) == (130, "Interrupted.\n")


def test_output_nobody_reads(make_household: MakeHousehold) -> None:
    """A reader that goes away early (``tandem status | head -1``) ends the command without a complaint."""
    household = make_household(PAIR)
    household.up()
    shell = f"{TANDEM} logs | head -1; {TANDEM} status | true"
    done = subprocess.run(
        ["bash", "-c", shell],
        env=household.environment,
        capture_output=True,
        text=True,
        preexec_fn=household.bear_mark,
    )
    assert done.stderr == ""


def test_two_fleets_side_by_side(make_household: MakeHousehold) -> None:
    """Fleets with their own homes and offsets do not see each other; taking one down leaves the other alone."""
    one, other = make_household(PAIR), make_household(PAIR)
    one.up()
    other.up()
    pids = {agent["pid"] for agent in one.status()["agents"]}
    assert pids.isdisjoint(agent["pid"] for agent in other.status()["agents"])
    one.down()
    assert [agent["state"] for agent in other.status()["agents"]] == ["healthy", "healthy"]


def test_second_fleet_without_an_offset(make_household: MakeHousehold) -> None:
    """A fleet whose ports another fleet has is told which one that is, starts nothing, and disturbs nobody."""
    first = make_household(PAIR)
    first.up()
    second = make_household(PAIR, offset=first.offset)
    said = second.tandem("up")
    assert said.status == 1
    assert "PORT_OFFSET" in said.err
    assert f"the fleet in {first.home.root} has port" in said.err
    assert f"port {5709 + first.offset} (Greeter@local)" in said.err
    assert second.processes() == []
    assert [agent["state"] for agent in first.status()["agents"]] == ["healthy", "healthy"]


def test_port_of_another_program(make_household: MakeHousehold) -> None:
    """A port some other program listens on is named with that program's name and process id before anything starts."""
    household = make_household(PAIR)
    with socket.create_server(("127.0.0.1", 5709 + household.offset)):
        said = household.tandem("up")
        assert said.status == 1
        assert f"port {5709 + household.offset} (Greeter@local) is taken by" in said.err
        assert f"(pid {os.getpid()})" in said.err
        assert household.processes() == []
    household.up()


def test_group(make_household: MakeHousehold) -> None:
    """``--group`` starts that group and what it needs, nothing else; a plain ``up`` then adds the rest."""
    fleet = (
        "fleet: small\ngroups:\n"
        f"  base:\n    agents:\n      {GREETER}\n"
        f"  extra:\n    agents:\n      {FRIEND}\n"
        "  other:\n    agents:\n      Alone: {class: fleet_agents.greeter:Greeter}\n"
    )
    household = make_household(fleet)
    household.up("--group", "extra")
    states = {agent["name"]: agent["state"] for agent in household.status()["agents"]}
    assert states == {"Greeter": "healthy", "Friend": "healthy", "Alone": "stopped"}
    household.up()
    assert household.agent("Alone")["state"] == "healthy"
    said = household.tandem("up", "--group", "extar")
    assert said.status == 1
    assert "extra" in said.err


def test_timeout(make_household: MakeHousehold) -> None:
    """``--timeout`` ends the waiting, names what is not up, and leaves the rest running."""
    household = make_household(fleet_of(f"{GREETER}\nSlow: {{class: fleet_agents.trouble:NeverReady}}"))
    said = household.tandem("up", "--timeout", "3")
    assert said.status == 1
    assert "Slow@local" in said.text
    assert "3 s" in said.text
    eventually(lambda: household.agent("Greeter")["state"] == "healthy", "the rest")
    eventually(lambda: household.agent("Slow")["state"] == "starting", "the slow one to go on")


@pytest.mark.parametrize("stage", ["at once", "keeper", "agents"])
def test_interrupted_up(make_household: MakeHousehold, stage: str) -> None:
    """Ctrl-C during ``up`` takes back what it has started, at whichever stage, and a later ``up`` works."""
    household = make_household(fleet_of(f"{GREETER}\nSlow: {{class: fleet_agents.trouble:NeverReady}}"))
    running = household.begin("up")
    reached = {
        "at once": lambda: household.processes(),
        "keeper": lambda: household.home.machine("local").root.exists(),
        "agents": lambda: "Greeter" in running.out,
    }[stage]
    eventually(reached, stage)
    running.interrupt()
    said = running.end()
    if stage != "at once":  # by then Python itself may not have come far enough to catch it
        assert said.status == 130
        assert said.err.splitlines()[-1].startswith("Interrupted")
        assert "Traceback" not in said.text
    household.assert_nothing_left()
    household.fleet.write_text(PAIR)
    household.up()


def test_interrupted_addition(make_household: MakeHousehold) -> None:
    """Ctrl-C during an ``up`` of a running fleet stops only the agents that this ``up`` was starting."""
    household = make_household(fleet_of(GREETER))
    household.up()
    pid = household.agent("Greeter")["pid"]
    household.fleet.write_text(fleet_of(f"{GREETER}\nSlow: {{class: fleet_agents.trouble:NeverReady}}"))
    running = household.begin("up")
    eventually(
        lambda: any(a["name"] == "Slow" and a["pid"] for a in household.status()["agents"]), "Slow's process"
    )
    running.interrupt()
    assert running.end().status == 130
    assert household.agent("Greeter")["pid"] == pid
    assert household.agent("Slow")["state"] == "stopped"


def test_killed_up(make_household: MakeHousehold) -> None:
    """When ``up`` itself is killed, ``down`` still finds and ends everything."""
    household = make_household(fleet_of(f"{GREETER}\nSlow: {{class: fleet_agents.trouble:NeverReady}}"))
    running = household.begin("up")
    eventually(lambda: "Greeter" in running.out, "the first agent")
    running.process.kill()
    running.process.wait()
    household.down()


def test_question_from_anywhere(make_household: MakeHousehold) -> None:
    """A question needs no fleet file beside it while a fleet runs; without both, the missing file is named."""
    household = make_household(f"front_door: Greeter\n{PAIR}")
    missing = household.directory / "nowhere"
    missing.mkdir()
    lost = household.tandem("ask", "--fleet", str(missing), "hello")
    assert lost.status == 78
    assert str(missing / "fleet.yaml") in lost.err
    household.up()
    moved = household.directory / "moved.yaml"
    household.fleet.rename(moved)
    household.tandem("up", "--fleet", str(moved))
    del household.environment["TANDEM_FLEET"]
    said = household.tandem("ask", "hello")
    assert "unknown" in said.err or "no action" in said.err, (
        said.text
    )  # the Greeter is no front door, but it was asked


def test_nothing_runs(make_household: MakeHousehold) -> None:
    """Without a fleet, ``status`` exits with 3 and says how to start, ``down`` is content, other verbs say what is missing."""
    household = make_household(PAIR)
    status = household.tandem("status")
    assert (status.status, "tandem up" in status.text) == (3, True)
    assert household.tandem("down").status == 0
    for words in (["ask", "hello"], ["stop", "Greeter"], ["restart", "Greeter"]):
        said = household.tandem(*words)
        assert said.status in (1, 78), said.text
        assert said.err.startswith("Error: ")
    assert household.tandem("status", "--json").json["agents"] == []


def test_operator_stop_wins(make_household: MakeHousehold) -> None:
    """An agent the operator stopped stays stopped until it is started again, and its port is closed meanwhile."""
    household = make_household(PAIR)
    household.up()
    port = household.agent("Greeter")["port"]
    assert household.tandem("stop", "Greeter").status == 0
    assert household.agent("Greeter")["state"] == "stopped"
    eventually(lambda: can_listen(port), "the closed port")
    assert household.tandem("start", "Greeter").status == 0
    assert not can_listen(port)
    restarted = household.tandem("restart", "Greeter", "--json")
    assert json.loads(restarted.out)["agents"][0]["state"] == "healthy"


def test_logs(make_household: MakeHousehold) -> None:
    """``logs`` shows what agents and servers wrote, by agent, level and pattern."""
    household = make_household(fleet_of(f"{GREETER}\nBad: {{class: fleet_agents.trouble:RaisesAtStart}}"))
    household.tandem("up", "--timeout", "60")
    eventually(lambda: any("no cheese today" in line for line in household.logs("--agent", "Bad")), "the bad one's word")
    assert not any("no cheese today" in line for line in household.logs("--agent", "Greeter"))
    assert household.logs("--agent", "node")
    assert household.logs("--grep", "no cheese")
    unknown = household.tandem("logs", "Bda")
    assert (unknown.status, 'Did you mean "Bad"?' in unknown.err) == (1, True)
    said = household.tandem("logs", "--grep", "(")
    assert (said.status, "regular expression" in said.err) == (1, True)
