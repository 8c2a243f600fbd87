"""A running fleet whose processes are killed, hang or keep dying."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from fleet_rig import PATIENCE_S, THREE, MakeFleet

from tandem.core.paths import Home
from tandem.core.tasks import end
from tandem.hub.nodes import moves
from tandem.supervise import proc

pytestmark = pytest.mark.integration


def test_a_killed_agent_is_healthy_again(fleet: MakeFleet) -> None:
    """kill -9 of one agent: a new instance is healthy, one restart is counted, nobody else is touched."""
    rig = fleet(THREE)
    rig.tandem("up")
    before = {a["name"]: a["pid"] for a in rig.status()["agents"]}
    os.kill(before["A"], signal.SIGKILL)
    rig.until(lambda: (a := rig.agent("A"))["restarts"] == 1 and a["state"] == "healthy", "A to be back")
    after = {a["name"]: a["pid"] for a in rig.status()["agents"]}
    assert after["A"] != before["A"]
    assert (after["B"], after["C"]) == (before["B"], before["C"])


def test_a_killed_node_is_replaced_and_nobody_notices(fleet: MakeFleet) -> None:
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


def test_a_death_while_the_node_is_away_is_learnt_by_the_next(fleet: MakeFleet) -> None:
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


def test_a_killed_keeper_is_replaced_and_agents_serve_on(fleet: MakeFleet) -> None:
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


def test_keeper_and_node_killed_together_then_up(fleet: MakeFleet) -> None:
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


def test_down_after_keeper_and_node_died_leaves_nothing(fleet: MakeFleet) -> None:
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
def test_a_killed_server_comes_back(fleet: MakeFleet, service: str) -> None:
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


def test_a_killed_zygote_comes_back(fleet: MakeFleet) -> None:
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


def test_an_agent_that_keeps_dying_backs_off_and_stops_when_told(fleet: MakeFleet) -> None:
    """A crash loop shows its delay; the operator's stop wins over the timer."""
    rig = fleet('Loop: {class: "fleet_agents:DiesLater"}')
    rig.tandem("up", code=None)
    rig.until_state("Loop", "backoff")
    rig.tandem("stop", "Loop")
    assert rig.agent("Loop")["state"] == "stopped"
    assert rig.agent("Loop")["pid"] is None


def parent_of(pid: int) -> int | None:
    """None for one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


@pytest.mark.parametrize("kind", ["IgnoresTerm", "StubbornFamily"])
def test_stopped_means_that_nothing_is_left(fleet: MakeFleet, kind: str) -> None:
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
    # Some seconds after a start the node has a child, which copies the code.
    others |= {pid for pid in rig.processes() if parent_of(pid) != keeper["node"]} - known
    rig.tandem("stop", "X")
    assert [pid for pid in others if proc.lives(pid)] == []
    assert rig.agent("X")["state"] == "stopped"


def test_an_unresponsive_agent_is_killed_and_replaced(fleet: MakeFleet) -> None:
    """SIGSTOP: no sign of life for ten seconds, then KILL and a new instance."""
    rig = fleet(THREE)
    rig.tandem("up")
    pid = rig.pid("A")
    os.kill(pid, signal.SIGSTOP)
    rig.until(
        lambda: (a := rig.agent("A"))["pid"] not in (None, pid) and a["state"] == "healthy",
        "A to be replaced",
    )


async def test_who_asks_for_moves_hears_of_a_death_and_of_nothing_else(
    fleet: MakeFleet, monkeypatch: pytest.MonkeyPatch
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
        while not heard:  # it listens once it has heard of a move
            await asyncio.to_thread(rig.tandem, "restart", "B")
        before = heard
        await asyncio.sleep(5)
        quiet = heard
        os.kill(await asyncio.to_thread(rig.pid, "A"), signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            while heard == quiet:  # noqa: ASYNC110 - the node tells when it does
                await asyncio.sleep(0.05)
        assert quiet - before <= 1, "signs of life were told"
    finally:
        await end(listening)
