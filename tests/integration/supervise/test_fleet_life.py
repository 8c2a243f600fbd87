"""A fleet driven by the command line: up, down, groups, machines, changes, interruptions."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from fleet_rig import PATIENCE_S, THREE, MakeFleet

pytestmark = pytest.mark.integration

NOT_YET_OURS = ("Fatal Python error: init_import_site", "Could not import runpy module")
"""What an interpreter says that is interrupted before it has come to a line of ours; it ends with status 1 then."""


def _without_usage(status: dict[str, Any]) -> dict[str, Any]:
    rows = {kind: [row | {"usage": None} for row in status[kind]] for kind in ("services", "agents")}
    return status | rows


def test_up_status_down(fleet: MakeFleet) -> None:
    """Up brings all to healthy, status has exactly the fields promised, up again changes nothing, down leaves nothing."""
    rig = fleet(THREE)
    rig.tandem("up")
    first = rig.status()
    assert set(first) == {"machines", "services", "agents", "links"}
    assert first["machines"] == [{"name": "m1", "host": None, "state": "up", "pid": rig.keeper()["node"]}]
    assert {s["name"]: s["state"] for s in first["services"]} == {
        "nats": "healthy", "valkey-control": "healthy", "valkey-cache": "healthy",
    }  # fmt: skip
    fields = {"name", "machine", "group", "state", "pid", "port", "ready_after_s", "restarts", "issues"}
    more = {"note", "exit", "breaker", "usage"}
    assert all(set(agent) == fields | more for agent in first["agents"])
    rig.until(lambda: all((a["usage"] or {}).get("rss_bytes") for a in rig.status()["agents"]), "the first measurement")
    assert [a["state"] for a in first["agents"]] == ["healthy"] * 3
    assert [a["port"] for a in first["agents"]] == [None, 7210 + rig.offset, None]
    rig.tandem("up")
    assert _without_usage(rig.status()) == _without_usage(first)
    rig.tandem("down")
    assert rig.remains() == []
    assert "Nothing runs here" in rig.tandem("status", code=3)
    rig.tandem("down")


def test_a_need_is_ready_before_its_dependant_exists(fleet: MakeFleet) -> None:
    """The dependant is made only after its need has said READY."""
    rig = fleet(THREE)
    rig.tandem("up")


    def moves() -> list[str]:
        lines = [line for line in rig.tandem("logs", "--agent", "node").splitlines() if "->" in line]
        return [line.split("node ", 1)[1].strip() for line in lines]

    order = rig.until(lambda: found if "B: starting -> healthy" in (found := moves()) else None, "the last move")
    assert order.index("A: starting -> healthy") < order.index("B: waiting -> starting")


@pytest.mark.parametrize("stage", ["at once", "keeper", "node", "agents"])
def test_interrupted_up_leaves_a_clean_state(fleet: MakeFleet, stage: str) -> None:
    """Ctrl-C at any stage: exit 130, a word about it, and nothing of the fleet is left."""
    rig = fleet(THREE + 'H: {class: "fleet_agents:NeverReady"}')
    process = rig.start("up")
    run = rig.run / "m1"
    reached: dict[str, Callable[[], bool]] = {
        "at once": lambda: True,
        "keeper": (run / "keeper.sock").exists,
        "node": (run / "node.sock").exists,
        "agents": (run / "a" / "H.sock").exists,
    }
    rig.until(reached[stage], f"the stage {stage}")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (130, -signal.SIGINT) or any(words in err for words in NOT_YET_OURS), out + err
    if stage == "agents":
        assert "m1 is stopped again" in err
    rig.until(lambda: rig.remains() == [], "everything to be gone")


def test_interrupted_second_up_stops_only_what_it_began(fleet: MakeFleet) -> None:
    """Ctrl-C in an up that found the fleet running stops the agents this up had started, and no others."""
    rig = fleet(THREE + 'H: {class: "fleet_agents:NeverReady", required: false}')
    rig.tandem("up", "--timeout", "2", code=None)
    for name in "ABC":
        rig.until_state(name, "healthy")
    rig.tandem("stop", "H", "C")
    before = rig.pid("A")
    process = rig.start("up")
    rig.until_state("H", "starting")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    states = {a["name"]: a["state"] for a in rig.status()["agents"]}
    assert states["A"] == "healthy" and rig.pid("A") == before
    assert states["H"] == "stopped" and states["C"] == "stopped"


def test_two_ups_at_once_make_one_fleet(fleet: MakeFleet) -> None:
    """Two simultaneous calls of up end well and leave one keeper."""
    rig = fleet(THREE)
    both = [rig.start("up"), rig.start("up")]
    for process in both:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, out + err
    assert [a["state"] for a in rig.status()["agents"]] == ["healthy"] * 3


def test_programs_that_are_not_agents_are_probed(fleet: MakeFleet) -> None:
    """A program with an http probe, one with a log line and one with a command are ready when their probe says so."""
    rig = fleet(
        """
Web: {command: [python, -m, http.server, "${PORT}", --bind, 127.0.0.1], port: 7211, probe: {http: "/"}}
Talker: {command: [python, -u, -c, "import time; print('model loaded'); time.sleep(3600)"], probe: {log-line: "model loaded"}}
Quiet: {command: [sleep, "3600"], probe: {exec: ["true"]}}
Plain: {command: [sleep, "3600"]}
""".replace("${PORT}", "${WEB_PORT}")
    )
    rig.env["WEB_PORT"] = str(7211 + rig.offset)
    rig.tandem("up")
    assert [a["state"] for a in rig.status()["agents"]] == ["healthy"] * 4
    assert "model loaded" in rig.tandem("logs", "--agent", "Talker")
    rig.tandem("down")
    assert rig.remains() == []


def test_two_machines_here_and_why(fleet: MakeFleet) -> None:
    """Machines without an address run here, and up says which variable would move them."""
    rig = fleet(
        'A: {class: "fleet_agents:Good", port: 7210}',
        machines='m1: {ports: [7200-7249]}\n  pc2: {host: "${PC2_IP}", ports: [7250-7299]}',
        extra='  h:\n    machine: pc2\n    agents:\n      D: {class: "fleet_agents:Good"}\n',
    )
    said = rig.tandem("up")
    assert "pc2 runs here because PC2_IP is unset" in said
    assert {(a["name"], a["machine"], a["state"]) for a in rig.status()["agents"]} == {
        ("A", "m1", "healthy"), ("D", "pc2", "healthy"),
    }  # fmt: skip
    rig.tandem("down")
    assert rig.remains() == []


def test_one_group_and_what_it_needs(fleet: MakeFleet) -> None:
    """up --group starts the group's agents and their needs; the others stay off until they are asked for."""
    rig = fleet(
        THREE, extra='  h:\n    machine: m1\n    agents:\n      D: {class: "fleet_agents:Good", needs: [B]}\n'
    )
    rig.tandem("up", "--group", "h")
    assert {a["name"]: a["state"] for a in rig.status()["agents"]} == {
        "A": "healthy", "B": "healthy", "C": "stopped", "D": "healthy",
    }  # fmt: skip
    assert 'Did you mean "h"' in rig.tandem("up", "--group", "hh", code=1)
    rig.tandem("up")
    assert rig.agent("C")["state"] == "healthy"


def test_a_changed_fleet_file_is_taken_over_by_the_next_up(fleet: MakeFleet) -> None:
    """A new agent is started and can log into the servers, a removed one is stopped, a changed one is pointed out."""
    rig = fleet(THREE)
    rig.tandem("up")
    text = rig.file.read_text()
    text = text.replace('C: {class: "fleet_agents:Good", launch: exec}', 'E: {class: "fleet_agents:Good"}')
    rig.file.write_text(
        text.replace('A: {class: "fleet_agents:Good"}', 'A: {class: "fleet_agents:Good", stop_grace_s: 3}')
    )
    said = rig.tandem("up")
    assert "A has changed in the fleet file: tandem apply" in said and "C is not in the fleet file" in said
    assert {a["name"]: a["state"] for a in rig.status()["agents"]} == {
        "A": "healthy",
        "B": "healthy",
        "E": "healthy",
    }
