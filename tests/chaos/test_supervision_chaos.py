"""What holds the fleet together is killed or stopped: agents serve on, and everything is known again afterwards."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fleet_rig import PATIENCE_S, FleetRig, MakeFleet

from tandem.supervise import proc
from tandem.supervise.keeper_client import ask_listing

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

TWO = "A: {class: chaos_agents:Talker}\nB: {class: chaos_agents:Talker, launch: exec}"


def pids(rig: FleetRig) -> dict[str, int]:
    return {row["name"]: row["pid"] for row in rig.status()["agents"]}


def kill_keeper(rig: FleetRig) -> None:
    keeper = rig.keeper()["keeper"]
    os.kill(keeper, signal.SIGKILL)
    rig.until(lambda: "node" in (k := rig.keeper()) and k.get("keeper") not in (None, keeper), "a new keeper")


def said(rig: FleetRig, name: str) -> list[int]:
    """The numbers an agent has counted aloud."""
    lines = rig.tandem("logs", name, "--lines", "0").splitlines()
    return [int(line.split("number ")[1].split()[0]) for line in lines if "number " in line]


def test_agents_find_their_log_again_after_the_keeper_was_killed(fleet: MakeFleet) -> None:
    """kill -9 of the keeper: forked and executed agents keep their pids, and their logs go on within seconds."""
    rig = fleet(TWO)
    rig.tandem("up")
    before = pids(rig)
    kill_keeper(rig)
    assert pids(rig) == before
    last = {name: max(said(rig, name), default=0) for name in before}
    for name in before:
        rig.until(lambda name=name: max(said(rig, name), default=0) > last[name] + 3, f"more lines of {name}")
    assert pids(rig) == before


def test_signs_of_life_and_exit_causes_are_known_after_the_keeper_was_killed(fleet: MakeFleet) -> None:
    """An adopted agent that freezes is found out, and one that is killed is known to have been killed."""
    rig = fleet(TWO)
    rig.tandem("up")
    kill_keeper(rig)
    before = pids(rig)
    last = max(said(rig, "A"), default=0)
    rig.until(lambda: max(said(rig, "A"), default=0) > last, "A to be heard again")
    os.kill(before["A"], signal.SIGSTOP)
    os.kill(before["B"], signal.SIGKILL)
    rig.until(lambda: (a := rig.agent("A"))["state"] == "healthy" and a["pid"] != before["A"], "another A")
    rig.until(lambda: (b := rig.agent("B"))["state"] == "healthy" and b["pid"] != before["B"], "another B")
    assert rig.agent("B")["exit"] in ("killed by SIGKILL", "exit status unknown")
    if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15):
        assert rig.agent("B")["exit"] == "killed by SIGKILL"


def test_a_frozen_node_is_replaced_by_hand_and_agents_serve_on(fleet: MakeFleet) -> None:
    """SIGSTOP of the node: agents do not notice; ``status`` names the node; killed, it is back with the same agents."""
    rig = fleet(TWO)
    rig.tandem("up")
    before, node = pids(rig), rig.keeper()["node"]
    os.kill(node, signal.SIGSTOP)
    assert f"pid {node}" in rig.tandem("status", code=None)
    os.kill(node, signal.SIGKILL)
    rig.until(lambda: rig.keeper().get("node") not in (None, node), "another node")
    assert pids(rig) == before


@pytest.mark.timeout(600)
def test_a_node_that_hangs_is_ended_and_agents_serve_on(fleet: MakeFleet) -> None:
    """SIGSTOP of the node, and nobody helps: agents serve on, the keeper makes another node, which takes over the same
    processes and says why; one that is aborted writes down where it was."""
    rig = fleet(TWO)
    rig.tandem("up")
    before, node = pids(rig), rig.keeper()["node"]
    last = rig.until(lambda: max(said(rig, "A"), default=0), "A to be heard")
    os.kill(node, signal.SIGSTOP)
    rig.until(lambda: rig.keeper().get("node") not in (None, node), "another node", within_s=240)
    rig.until(lambda: "no sign of life for" in rig.tandem("status", code=None), "the new node to say why")
    assert pids(rig) == before
    numbers = said(rig, "A")
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > last
    word = f"the node (pid {node}) is ended: no sign of life for"
    rig.until(lambda: word in rig.tandem("logs", "keeper", "--lines", "0"), "the keeper's word")
    rig.tandem("restart", "A")
    hung, kept = rig.keeper()["node"], pids(rig)
    os.kill(hung, signal.SIGABRT)
    rig.until(lambda: rig.keeper().get("node") not in (None, hung), "a third node")
    rig.until(lambda: "most recent call first" in rig.tandem("logs", "node"), "the stack of the aborted one")
    assert pids(rig) == kept
    rig.tandem("down")
    assert rig.remains() == []


def test_a_frozen_zygote_holds_up_nobody_who_runs(fleet: MakeFleet) -> None:
    """SIGSTOP of the zygote: agents serve on, an executed one can even restart; killed while somebody waits to be born,
    that one is born of the next, and its record is clean."""
    rig = fleet(TWO)
    rig.tandem("up")
    zygote = rig.keeper()["zygote"]
    os.kill(zygote, signal.SIGSTOP)
    rig.tandem("restart", "B")
    restart = rig.start("restart", "A")
    # After twenty seconds the node would do the same by itself.
    rig.until(lambda: rig.agent("A")["state"] == "starting" or rig.keeper().get("zygote") != zygote, "A to wait for its birth")
    with suppress(ProcessLookupError):
        os.kill(zygote, signal.SIGKILL)
    out, err = restart.communicate(timeout=PATIENCE_S)
    assert restart.returncode == 0, out + err
    assert [(row["state"], row["restarts"], row["breaker"]) for row in rig.status()["agents"]] == [("healthy", 0, "closed")] * 2


def test_node_upgrade_touches_no_agent(fleet: MakeFleet) -> None:
    """Another node and another zygote, the same agents; and both work."""
    rig = fleet(TWO)
    rig.tandem("up")
    before, parts = pids(rig), rig.keeper()
    rig.tandem("node", "upgrade")
    rig.until(lambda: rig.keeper().get("zygote") not in (None, parts["zygote"]), "another zygote")
    after = rig.keeper()
    assert after["node"] != parts["node"] and after["keeper"] == parts["keeper"] and pids(rig) == before
    rig.tandem("restart", "A")
    rig.tandem("down")
    assert rig.remains() == []


def test_a_corrupt_journal_and_memory_lose_no_process(fleet: MakeFleet) -> None:
    """Keeper and node killed, and the journal torn in the middle: ``down`` still leaves nothing behind."""
    rig = fleet(TWO)
    rig.tandem("up")
    parts = rig.keeper()
    for part in ("node", "keeper"):
        os.kill(parts[part], signal.SIGSTOP)
    for part in ("node", "keeper"):
        os.kill(parts[part], signal.SIGKILL)
    journal = Path(rig.env["TANDEM_HOME"]) / "machines/m1/state/keeper.journal"
    data = journal.read_bytes()
    journal.write_bytes(data[: len(data) - 7] + b"\xff" * 40)
    rig.tandem("up")
    assert {row["state"] for row in rig.status()["agents"]} == {"healthy"}
    rig.tandem("down")
    assert rig.remains() == []


def test_a_port_stolen_between_restarts_stays_ours(fleet: MakeFleet) -> None:
    """A declared port is the keeper's: while its agent is dead nobody else can have it, and callers wait."""
    rig = fleet("P: {class: chaos_agents:Good, port: 7215, restart: {first_delay_s: 3}}")
    rig.tandem("up")
    thief = (
        "import socket,sys\ns=socket.socket()\ns.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)\n"
        f"try:\n s.bind(('127.0.0.1',{7215 + rig.offset})); s.listen()\nexcept OSError: sys.exit(7)"
    )
    for _ in range(3):
        pid = rig.pid("P")
        os.kill(pid, signal.SIGKILL)
        assert subprocess.run([sys.executable, "-c", thief], check=False).returncode == 7
        rig.until(lambda pid=pid: (p := rig.agent("P"))["state"] == "healthy" and p["pid"] != pid, "P to be back")


def test_operators_who_race_each_other(fleet: MakeFleet) -> None:
    """Ten contradictory orders at once from ten terminals: none hangs, and the last word said afterwards holds."""
    rig = fleet(TWO)
    rig.tandem("up")
    orders = [rig.start(verb, "A") for verb in ("stop", "restart", "start", "stop", "restart") * 2]
    for order in orders:
        order.communicate(timeout=PATIENCE_S)
    rig.tandem("stop", "A")
    assert rig.agent("A")["state"] == "stopped"
    rig.tandem("start", "A")
    assert rig.agent("A")["state"] == "healthy" and rig.agent("B")["restarts"] == 0
    units = [unit for path in rig.run.glob("*/keeper.sock") for unit in ask_listing(path).units]
    assert [unit.name for unit in units if unit.exit is None].count("A") == 1


def test_an_order_that_was_overruled_returns_and_says_so(fleet: MakeFleet) -> None:
    """Somebody waits for an agent to end that takes its time; somebody else wants it up: the first is told, and it is up."""
    rig = fleet("L: {class: chaos_agents:Lingerer, stop_grace_s: 100}")
    rig.tandem("up")
    waiting = rig.start("stop", "L")
    rig.until_state("L", "draining")
    starting = rig.start("start", "L")
    out, err = waiting.communicate(timeout=PATIENCE_S)
    assert "L: another order came in between" in out + err
    (Path(rig.env["TANDEM_HOME"]) / "machines/m1/state/L/may-end").touch()
    starting.communicate(timeout=PATIENCE_S)
    assert rig.agent("L")["state"] == "healthy"


def delete_home(rig: FleetRig) -> None:
    """All of it, although somebody still writes there."""
    home = Path(rig.env["TANDEM_HOME"])
    gone = home.with_name("gone")
    home.rename(gone)
    rig.until(lambda: shutil.rmtree(gone, ignore_errors=True) or not gone.exists(), "the end of the home")


def test_a_deleted_home_is_not_the_end_of_order(fleet: MakeFleet) -> None:
    """The home vanishes under a running fleet: ``down`` still finds what runs and ends all of it."""
    rig = fleet(TWO)
    rig.tandem("up")
    running = [*pids(rig).values(), *(rig.keeper()[part] for part in ("keeper", "node", "zygote"))]
    delete_home(rig)
    rig.tandem("down")
    assert [pid for pid in running if proc.lives(pid)] == [] and rig.processes() == []


def test_a_fleet_without_a_home_ends_by_itself(fleet: MakeFleet) -> None:
    """Nobody can keep anything any more, and nobody says ``down``: the keeper ends everything."""
    rig = fleet(TWO)
    rig.tandem("up")
    keeper = os.pidfd_open(rig.keeper()["keeper"])
    delete_home(rig)
    assert select.select([keeper], [], [], PATIENCE_S)[0], rig.tandem("status", code=None)
    os.close(keeper)
    rig.until(lambda: not rig.processes(), "everything to end")
