"""How the keeper learns and tells of the end of what it made, and ends it."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from keeper_rig import KeeperRig, alive, until

from tandem.supervise import proc
from tandem.supervise.wire import Doors, Remember, SignalUnit, UnitEmptied, UnitEnded, UnitSaid, UnitSpawned

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("status", [0, 3, 78])
async def test_exit_status_is_reported(rig: KeeperRig, status: int) -> None:
    """The exit code of a forked child reaches the client, with nothing of its group left."""
    ended = await rig.heard(UnitEnded, rig.fork("A", "children:fail", str(status).encode()))
    assert (ended.exit.code, ended.exit.signal, ended.empty) == (status, None, True)


async def test_death_by_signal_and_last_lines_are_reported(rig: KeeperRig) -> None:
    """A child that raises leaves its traceback as the tail; one that is killed leaves the signal."""
    ended = await rig.heard(UnitEnded, rig.fork("A", "children:crash"))
    assert ended.exit.code == 1 and ended.tail[-1] == "RuntimeError: boom at the start"
    instance = rig.fork("B", "children:wait")
    os.kill(await rig.pid(instance), signal.SIGSEGV)
    assert (await rig.heard(UnitEnded, instance)).exit.signal == signal.SIGSEGV


async def test_killed_means_not_a_process_is_left(rig: KeeperRig) -> None:
    """KILL reaches children that ignore TERM and one that left the session; only then is the unit empty."""
    assert rig.link is not None
    instance = rig.fork("A", "children:stubborn_family")
    leader = await rig.pid(instance)
    await rig.heard(UnitSaid, instance)
    mark = f"TANDEM_INSTANCE={instance}".encode()

    def family() -> list[int]:
        pids = [p for p in proc.all_pids() if p != leader and proc.lives(p)]
        return [p for p in pids if _in_group(p, leader) or proc.has_mark(p, mark)]

    await until(lambda: len(family()) >= 2 and any(os.getsid(p) != leader for p in family()), "the family")
    members = family()
    rig.link.send(SignalUnit(instance=instance, signal=signal.SIGTERM))
    rig.link.send(SignalUnit(instance=instance, signal=signal.SIGKILL))
    ended = await rig.heard(UnitEnded, instance)
    if not ended.empty:
        await rig.heard(UnitEmptied, instance)
    assert not [p for p in members if alive(p)] and not family()


async def test_leader_gone_while_a_child_stays(rig: KeeperRig) -> None:
    """A dead leader whose child lives is ended but not empty; it is empty when the child is gone."""
    assert rig.link is not None
    code = "import os, signal\nif os.fork() == 0: signal.pause()"
    instance = rig.run_python("A", code)
    ended = await rig.heard(UnitEnded, instance)
    assert not ended.empty
    rig.link.send(SignalUnit(instance=instance, signal=signal.SIGTERM))
    await rig.heard(UnitEmptied, instance)


async def test_a_signal_sent_before_the_process_exists_is_not_lost(rig: KeeperRig) -> None:
    """TERM right behind the spawn ends the process, although it had no pid yet."""
    assert rig.link is not None
    instance = rig.fork("A", "children:wait")
    rig.link.send(SignalUnit(instance=instance, signal=signal.SIGTERM))
    assert (await rig.heard(UnitEnded, instance)).exit.signal == signal.SIGTERM


async def test_the_dead_are_told_to_a_client_that_comes_later(rig: KeeperRig) -> None:
    """A node that was away learns how instances ended, and what its predecessor wanted remembered."""
    assert rig.link is not None
    instance = rig.fork("A", "children:crash")
    await rig.heard(UnitEnded, instance)
    rig.link.send(Remember(name="A", data=b"thoughts"))
    await rig.link.list()
    rig.link.close()
    listing = await rig.attach()
    info = next(u for u in listing.units if u.instance == instance)
    assert info.exit is not None and info.exit.code == 1 and info.empty
    assert info.tail[-1] == "RuntimeError: boom at the start"
    assert listing.memory == {"A": b"thoughts"}


async def test_the_node_is_started_again_when_it_dies(rig: KeeperRig) -> None:
    """A killed node is replaced, forked from the zygote; other processes do not notice."""
    assert rig.link is not None
    other = await rig.pid(rig.fork("A", "children:wait"))

    def nodes() -> list[UnitSpawned]:
        return [event for event in rig.events if isinstance(event, UnitSpawned) and event.name == "node"]

    listed = next((u.pid for u in (await rig.link.list()).units if u.kind == "node"), None)
    first = listed or (await until(nodes, "the first node"))[0].pid
    os.kill(first, signal.SIGKILL)
    second = await until(lambda: next((n.pid for n in nodes() if n.pid != first), None), "another node")
    assert second is not None and alive(second) and alive(other)


async def test_shutdown_leaves_nothing(tmp_path: Path) -> None:
    """After a shutdown no process, socket or path is left, however stubborn its children were; nor what a dead server left."""
    rig = await KeeperRig(tmp_path).start()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(rig.run / "server.sock"))
    instance = rig.fork("A", "children:stubborn_family", doors=Doors(unix=str(rig.run / "a" / "A.sock")))
    await rig.heard(UnitSaid, instance)
    assert rig.link is not None
    pids = [u.pid for u in (await rig.link.list()).units if u.pid]
    await rig.stop()
    mark = f"TANDEM_INSTANCE={instance}".encode()
    assert not [p for p in pids if alive(p)]
    assert not [p for p in proc.all_pids() if proc.has_mark(p, mark)]
    assert sorted(p.name for p in rig.run.rglob("*") if p.is_socket()) == []


def _in_group(pid: int, leader: int) -> bool:
    try:
        return os.getpgid(pid) == leader
    except ProcessLookupError:
        return False
