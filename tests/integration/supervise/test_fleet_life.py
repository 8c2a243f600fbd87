from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_rig import PATIENCE_S, FleetRig

from tandem.core.paths import Home
from tandem.core.tasks import end
from tandem.hub.nodes import moves
from tandem.supervise import proc

pytestmark = pytest.mark.integration

Make = Callable[..., FleetRig]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Make]:
    """Makes fleets that are gone after the test."""
    made: list[FleetRig] = []

    def make(agents: str, **options: str) -> FleetRig:
        made.append(FleetRig(tmp_path, agents, **options))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


THREE = """
A: {class: "fleet_agents:Good"}
B: {class: "fleet_agents:Good", needs: [A], port: 7210}
C: {class: "fleet_agents:Good", launch: exec}
"""


def _without_usage(status: dict[str, Any]) -> dict[str, Any]:
    rows = {kind: [row | {"usage": None} for row in status[kind]] for kind in ("services", "agents")}
    return status | rows


def test_up_status_down(fleet: Make) -> None:
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


def test_a_need_is_ready_before_its_dependant_exists(fleet: Make) -> None:
    """The dependant is made only after its need has said READY."""
    rig = fleet(THREE)
    rig.tandem("up")
    lines = [line for line in rig.tandem("logs", "--agent", "node").splitlines() if "->" in line]
    order = [line.split("node ", 1)[1].strip() for line in lines]
    assert order.index("A: starting -> healthy") < order.index("B: waiting -> starting")


def test_a_killed_agent_is_healthy_again(fleet: Make) -> None:
    """kill -9 of one agent: a new instance is healthy, one restart is counted, nobody else is touched."""
    rig = fleet(THREE)
    rig.tandem("up")
    before = {a["name"]: a["pid"] for a in rig.status()["agents"]}
    os.kill(before["A"], signal.SIGKILL)
    rig.until(lambda: (a := rig.agent("A"))["restarts"] == 1 and a["state"] == "healthy", "A to be back")
    after = {a["name"]: a["pid"] for a in rig.status()["agents"]}
    assert after["A"] != before["A"]
    assert (after["B"], after["C"]) == (before["B"], before["C"])


def test_a_killed_node_is_replaced_and_nobody_notices(fleet: Make) -> None:
    """kill -9 of the node: same agent pids, the operator's stop still holds, and deaths are handled again."""
    rig = fleet(THREE)
    rig.tandem("up")
    rig.tandem("stop", "C")
    before = {a["name"]: a["pid"] for a in rig.status()["agents"]}
    node = rig.keeper()["node"]
    os.kill(node, signal.SIGKILL)
    after = {a["name"]: a["pid"] for a in rig.status()["agents"]}
    assert after == before and rig.keeper()["node"] != node
    assert rig.agent("C")["state"] == "stopped"
    os.kill(after["A"], signal.SIGKILL)
    rig.until(lambda: (a := rig.agent("A"))["pid"] != before["A"] and a["state"] == "healthy", "A to be back")


def test_a_death_while_the_node_is_away_is_learnt_by_the_next(fleet: Make) -> None:
    """Agent and node killed together: the new node finds the death and restarts the agent."""
    rig = fleet(THREE)
    rig.tandem("up")
    victim, node = rig.pid("A"), rig.keeper()["node"]
    os.kill(node, signal.SIGSTOP)
    os.kill(victim, signal.SIGKILL)
    os.kill(node, signal.SIGKILL)
    rig.until(
        lambda: (a := rig.agent("A"))["pid"] not in (None, victim) and a["state"] == "healthy", "A to be back"
    )


def test_a_killed_keeper_is_replaced_and_agents_serve_on(fleet: Make) -> None:
    """kill -9 of the keeper: same agent pids under a new keeper and node, and down still leaves nothing."""
    rig = fleet(THREE)
    rig.tandem("up")
    before = {a["name"]: a["pid"] for a in rig.status()["agents"]}
    keeper = rig.keeper()["keeper"]
    os.kill(keeper, signal.SIGKILL)
    rig.until(lambda: "node" in (k := rig.keeper()) and k["keeper"] != keeper, "a new keeper and node")
    assert {a["name"]: a["pid"] for a in rig.status()["agents"]} == before
    rig.tandem("restart", "A")
    assert rig.pid("A") != before["A"]
    rig.tandem("down")
    assert rig.remains() == []


def test_keeper_and_node_killed_together_then_up(fleet: Make) -> None:
    """With keeper and node both dead, up takes over the agents that still run."""
    rig = fleet(THREE)
    rig.tandem("up")
    before = {a["name"]: a["pid"] for a in rig.status()["agents"]}
    pids = rig.keeper()
    os.kill(pids["node"], signal.SIGSTOP)
    os.kill(pids["keeper"], signal.SIGKILL)
    os.kill(pids["node"], signal.SIGKILL)
    assert "stale" in rig.tandem("status", code=1)
    rig.tandem("up")
    assert {a["name"]: a["pid"] for a in rig.status()["agents"]} == before


def test_down_after_keeper_and_node_died_leaves_nothing(fleet: Make) -> None:
    """With nobody left to ask, down finds everything by the journal and ends it."""
    rig = fleet(THREE)
    rig.tandem("up")
    pids = rig.keeper()
    os.kill(pids["node"], signal.SIGSTOP)
    os.kill(pids["keeper"], signal.SIGKILL)
    os.kill(pids["node"], signal.SIGKILL)
    rig.tandem("down")
    assert rig.remains() == []


@pytest.mark.parametrize("service", ["nats", "valkey-control", "valkey-cache"])
def test_a_killed_server_comes_back(fleet: Make, service: str) -> None:
    """kill -9 of a server: it is healthy again with a new pid, and no agent was restarted."""
    rig = fleet(THREE)
    rig.tandem("up")
    agents = {a["name"]: a["pid"] for a in rig.status()["agents"]}

    def find() -> dict[str, object]:
        return next(s for s in rig.status()["services"] if s["name"] == service)

    pid = find()["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    rig.until(lambda: (s := find())["state"] == "healthy" and s["pid"] != pid, f"{service} to be back")
    assert {a["name"]: a["pid"] for a in rig.status()["agents"]} == agents


def test_a_killed_zygote_comes_back(fleet: Make) -> None:
    """kill -9 of the zygote: agents run on, and a restart forks from a new one."""
    rig = fleet(THREE)
    rig.tandem("up")
    before = {a["name"]: a["pid"] for a in rig.status()["agents"]}
    zygote = rig.keeper()["zygote"]
    os.kill(zygote, signal.SIGKILL)
    rig.tandem("restart", "A")
    after = {a["name"]: a["pid"] for a in rig.status()["agents"]}
    assert after["A"] != before["A"] and after["B"] == before["B"]
    assert rig.keeper()["zygote"] != zygote


BAD = """
Fine: {class: "fleet_agents:Good"}
Broken: {class: "broken_module:Anything"}
Crashing: {class: "fleet_agents:DiesAtOnce"}
Hanging: {class: "fleet_agents:NeverReady", start_timeout_s: 1}
Absent: {class: "fleet_agents:NoSuchClass"}
Dependant: {class: "fleet_agents:Good", needs: [Crashing]}
"""


def test_bad_agents_are_explained_and_do_not_hold_the_others_up(fleet: Make) -> None:
    """Up ends with 1 and says of each bad agent how it ended, its last lines and what is next; the good one is up."""
    rig = fleet(BAD)
    said = rig.tandem("up", "--timeout", "30", code=1)
    assert "libmagic is not installed" in said
    assert "cannot open the microphone" in said
    assert "NoSuchClass" in said and "configuration error (exit code 78)" in said
    assert "not ready in time" in said
    assert "Crashing (" in said
    states = {a["name"]: a["state"] for a in rig.status()["agents"]}
    assert states["Fine"] == "healthy" and states["Absent"] == "failed" and states["Dependant"] == "waiting"
    shown = rig.tandem("status", code=1)
    assert "exit code 1" in shown and "cannot open the microphone" in shown and "tried again in" in shown


def test_an_agent_that_keeps_dying_backs_off_and_stops_when_told(fleet: Make) -> None:
    """A crash loop shows its delay; the operator's stop wins over the timer."""
    rig = fleet('Loop: {class: "fleet_agents:DiesLater"}')
    rig.tandem("up", code=None)
    rig.until_state("Loop", "backoff")
    rig.tandem("stop", "Loop")
    assert rig.agent("Loop")["state"] == "stopped"
    assert rig.agent("Loop")["pid"] is None


def test_a_degraded_agent_counts_as_up_and_says_why(fleet: Make) -> None:
    """An agent with an issue that does not block it is up, degraded, and its issue is listed."""
    rig = fleet('Unhappy: {class: "fleet_agents:Unhappy"}')
    rig.tandem("up")
    agent = rig.until_state("Unhappy", "degraded")
    assert agent["issues"] == ["no microphone (fix: plug one in)"]


@pytest.mark.parametrize("kind", ["IgnoresTerm", "StubbornFamily"])
def test_stopped_means_that_nothing_is_left(fleet: Make, kind: str) -> None:
    """An agent that ignores TERM, or whose children do, is stopped only when every process of it is gone."""
    rig = fleet(f'X: {{class: "fleet_agents:{kind}", stop_grace_s: 1}}')
    rig.tandem("up")
    others = {rig.pid("X")}
    keeper = rig.keeper()
    known = {
        keeper["keeper"],
        keeper["node"],
        keeper["zygote"],
        *(s["pid"] for s in rig.status()["services"]),
    }
    others |= set(rig.processes()) - known
    rig.tandem("stop", "X")
    assert [pid for pid in others if proc.lives(pid)] == []
    assert rig.agent("X")["state"] == "stopped"


def test_an_unresponsive_agent_is_killed_and_replaced(fleet: Make) -> None:
    """SIGSTOP: no sign of life for ten seconds, then KILL and a new instance."""
    rig = fleet(THREE)
    rig.tandem("up")
    pid = rig.pid("A")
    os.kill(pid, signal.SIGSTOP)
    rig.until(
        lambda: (a := rig.agent("A"))["pid"] not in (None, pid) and a["state"] == "healthy",
        "A to be replaced",
    )


def test_a_taken_port_is_named_with_its_owner(fleet: Make) -> None:
    """Up tells which port is taken and by whom, and starts nothing."""
    rig = fleet(THREE)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 7210 + rig.offset))
        other.listen()
        said = rig.tandem("up", code=1)
    assert f"port {7210 + rig.offset}" in said and f"pid {os.getpid()}" in said and "B@m1" in said
    assert rig.remains() == []


@pytest.mark.parametrize("stage", ["at once", "keeper", "node", "agents"])
def test_interrupted_up_leaves_a_clean_state(fleet: Make, stage: str) -> None:
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
    assert process.returncode in (130, -signal.SIGINT), out + err
    if stage == "agents":
        assert "m1 is stopped again" in err
    rig.until(lambda: rig.remains() == [], "everything to be gone")


def test_interrupted_second_up_stops_only_what_it_began(fleet: Make) -> None:
    """Ctrl-C in an up that found the fleet running stops the agents this up had started, and no others."""
    rig = fleet(THREE + 'H: {class: "fleet_agents:NeverReady", required: false}')
    rig.tandem("up", "--timeout", "2", code=None)
    rig.tandem("stop", "H", "C")
    before = rig.pid("A")
    process = rig.start("up")
    rig.until_state("H", "starting")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    states = {a["name"]: a["state"] for a in rig.status()["agents"]}
    assert states["A"] == "healthy" and rig.pid("A") == before
    assert states["H"] == "stopped" and states["C"] == "stopped"


def test_two_ups_at_once_make_one_fleet(fleet: Make) -> None:
    """Two simultaneous calls of up end well and leave one keeper."""
    rig = fleet(THREE)
    both = [rig.start("up"), rig.start("up")]
    for process in both:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, out + err
    assert [a["state"] for a in rig.status()["agents"]] == ["healthy"] * 3


def test_programs_that_are_not_agents_are_probed(fleet: Make) -> None:
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


def test_two_machines_here_and_why(fleet: Make) -> None:
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


def test_one_group_and_what_it_needs(fleet: Make) -> None:
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


def test_an_invalid_agent_is_shown_and_the_others_run(fleet: Make) -> None:
    """An entry that is wrong makes that agent invalid, with its place in the file; up ends with 1 and runs the rest."""
    rig = fleet('A: {class: "fleet_agents:Good"}\nB: {class: "fleet_agents:Good", prot: 7210}')
    said = rig.tandem("up", code=1)
    assert "prot" in said and "fleet.yaml" in said
    assert {a["name"]: a["state"] for a in rig.status()["agents"]} == {"A": "healthy", "B": "invalid"}


def test_names_that_mean_nobody_get_a_suggestion(fleet: Make) -> None:
    """start, stop and restart say which name is near."""
    rig = fleet(THREE.replace("A:", "Speaker:").replace("[A]", "[Speaker]"))
    rig.tandem("up")
    assert "Speaker" in rig.tandem("restart", "Speeker", code=1)
    assert "Speaker@m1: healthy" in rig.tandem("restart", "Speaker@m1")


def test_the_wrong_run_directory_is_recognised(fleet: Make) -> None:
    """With another run directory than the fleet was started with, status says which one it is."""
    rig = fleet(THREE)
    rig.tandem("up")
    right = rig.env["TANDEM_RUN_DIR"]
    rig.env["TANDEM_RUN_DIR"] = str(rig.root / "elsewhere")
    said = rig.tandem("status", code=1)
    rig.env["TANDEM_RUN_DIR"] = right
    assert f"TANDEM_RUN_DIR={right}" in said


def test_logs_are_filtered_and_merged(fleet: Make) -> None:
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
    assert "is here" in rig.tandem("logs", "--since", "10m") and "No line matches" in rig.tandem("logs", "--since", "0s")
    assert "no regular expression" in rig.tandem("logs", "--grep", "(", code=1)


def test_logs_follow(fleet: Make) -> None:
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


def test_a_changed_fleet_file_is_taken_over_by_the_next_up(fleet: Make) -> None:
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


def test_the_output_survives_a_closed_pipe(fleet: Make) -> None:
    """`tandem status | head -1` ends without a traceback."""
    rig = fleet(THREE)
    rig.tandem("up")
    command = f"{sys.executable} -m tandem.cli.main logs -n 0 | head -1"
    out = subprocess.run(
        ["bash", "-c", command], env=rig.env, cwd=rig.root, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert "Traceback" not in out.stderr and out.stdout.count("\n") == 1


async def test_who_asks_for_moves_hears_of_a_death_and_of_nothing_else(
    fleet: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node says so when an agent dies; agents that merely show signs of life every second are no news."""
    rig = fleet(THREE)
    await asyncio.to_thread(rig.tandem, "up")
    monkeypatch.setenv("TANDEM_RUN_DIR", str(rig.run))
    heard = 0

    async def listen() -> None:
        nonlocal heard
        async for _ in moves(Home(rig.root / "home").machine("m1"), "m1"):
            heard += 1

    listening = asyncio.create_task(listen())
    try:
        await asyncio.sleep(5)
        quiet = heard
        os.kill(await asyncio.to_thread(rig.pid, "A"), signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            while heard == quiet:  # noqa: ASYNC110 - the node tells when it does
                await asyncio.sleep(0.05)
        assert quiet <= 1, "signs of life were told"
    finally:
        await end(listening)
