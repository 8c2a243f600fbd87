"""A real keeper: its sockets, its clients, its successor, its size."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from keeper_rig import PATIENCE_S, KeeperRig, alive, until
from ports import free_port

from tandem.supervise.wire import (
    CloseDoors,
    Doors,
    Remember,
    SignalUnit,
    UnitEnded,
    UnitFailed,
    UnitSaid,
    encode_frame,
)

pytestmark = pytest.mark.integration


async def test_readiness_status_and_beats_arrive(rig: KeeperRig) -> None:
    """READY and STATUS are passed on and remembered for whoever asks later; they count as signs of life."""
    assert rig.link is not None
    instance = rig.fork("A", "children:ready")
    said = await rig.heard(UnitSaid, instance)
    assert said.lines == ["READY=1", "STATUS=fine"]
    info = await rig.info(instance)
    assert info.ready_at is not None and info.status == "fine"
    assert instance in (await rig.link.beats()).at


async def test_callers_may_connect_while_the_agent_restarts(rig: KeeperRig) -> None:
    """The socket stays while its server is dead; the call made meanwhile is answered by the next instance."""
    doors = Doors(unix=str(rig.run / "a" / "A.sock"))
    first = rig.fork("A", "children:serve", doors=doors)
    pid = await rig.pid(first)
    await rig.heard(UnitSaid, first)
    os.kill(pid, signal.SIGKILL)
    await rig.heard(UnitEnded, first)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(doors.unix)
        second = rig.fork("A", "children:serve", doors=doors)
        answer = await asyncio.to_thread(caller.recv, 100)
    assert int(answer) == await rig.pid(second) != pid


async def test_closed_doors_refuse_at_once(rig: KeeperRig) -> None:
    """After CloseDoors the path is gone and a TCP port is free again."""
    assert rig.link is not None
    port = free_port()
    doors = Doors(unix=str(rig.run / "a" / "A.sock"), port=port)
    instance = rig.fork("A", "children:wait", doors=doors)
    await rig.pid(instance)
    socket.create_connection(("127.0.0.1", port)).close()
    rig.link.send(SignalUnit(instance=instance, signal=signal.SIGKILL))
    await rig.heard(UnitEnded, instance)
    rig.link.send(CloseDoors(name="A"))
    await rig.link.list()
    await until(lambda: not Path(doors.unix).exists())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_a_taken_port_is_a_failure_that_names_it(rig: KeeperRig) -> None:
    """A port another program has is reported with its number, and no process is made."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        failed = await rig.heard(UnitFailed, rig.fork("A", "children:wait", doors=Doors(port=port)))
    assert f"port {port}" in failed.error and "in use" in failed.error


async def test_killed_keeper_agents_survive_and_are_adopted(tmp_path: Path) -> None:
    """kill -9 of the keeper leaves agents running; the next keeper knows their pids, can end them, and sees them end."""
    rig = await KeeperRig(tmp_path).start()
    instance = rig.fork("A", "children:serve", doors=Doors(unix=str(rig.run / "a" / "A.sock")))
    pid = await rig.pid(instance)
    await rig.heard(UnitSaid, instance)
    assert rig.link is not None
    rig.link.send(Remember(name="A", data=b"thoughts"))
    await rig.link.list()
    rig.link.close()
    rig.kill()
    assert alive(pid)
    rig.path.unlink()
    await rig.start()
    info = await rig.info(instance)
    assert rig.first is not None
    assert (info.pid, info.heard, rig.first.memory) == (pid, False, {"A": b"thoughts"})
    assert info.ready_at is not None
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(rig.run / "a" / "A.sock"))
        assert int(caller.recv(100)) == pid
    rig.link.send(SignalUnit(instance=instance, signal=signal.SIGTERM))
    ended = await rig.heard(UnitEnded, instance)
    # A kernel before 6.15 tells the end of a process only to its parent, which has died.
    assert (ended.exit.code, ended.exit.signal) in ((None, signal.SIGTERM), (None, None))
    await rig.stop()
    assert not alive(pid) and not (rig.run / "a" / "A.sock").exists()


async def test_one_keeper_per_machine(rig: KeeperRig) -> None:
    """A second keeper with the same run directory leaves at once and disturbs nothing."""
    argv = [sys.executable, "-m", "tandem.supervise.keeper"]
    frame = encode_frame(KeeperRig(rig.root).config)
    second = await asyncio.to_thread(subprocess.run, argv, input=frame, timeout=PATIENCE_S)
    assert second.returncode == 75
    assert rig.link is not None and (await rig.link.list()).units


async def test_only_the_same_user_may_talk_to_the_keeper(rig: KeeperRig) -> None:
    """A process of another user is disconnected before it can ask anything."""
    if os.getuid() != 0:
        pytest.skip("needs root to become another user")
    for directory in (rig.root, *rig.root.parents):
        if directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o011)
    rig.run.chmod(0o755)
    rig.path.chmod(0o666)
    code = f"import os, socket; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect({str(rig.path)!r}); print(s.recv(1))"
    out = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, timeout=PATIENCE_S
    )
    assert out.stdout.strip() == b"b''", out.stderr


async def test_garbage_on_the_control_socket_disturbs_nobody(rig: KeeperRig) -> None:
    """A client that speaks nonsense is cut off; the keeper serves on."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(rig.path))
        caller.sendall(b"\x00\x00\x00\x04\xc1\xc1\xc1\xc1")
        assert await asyncio.to_thread(caller.recv, 1) == b""
    assert rig.link is not None and (await rig.link.list()).pid


async def test_the_keeper_is_small_and_single_threaded(rig: KeeperRig) -> None:
    """One thread and less than 24 MiB of memory."""
    assert rig.process is not None
    keeper = psutil.Process(rig.process.pid)
    assert keeper.num_threads() == 1
    assert keeper.memory_info().rss < 24 << 20


def test_the_keeper_imports_nothing_large() -> None:
    """Neither asyncio nor rich nor yaml nor pathlib is loaded with it."""
    large = ("asyncio", "rich", "yaml", "pathlib")
    code = f"import sys, tandem.supervise.keeper; print([m for m in {large} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert out.stdout.strip() == "[]"
