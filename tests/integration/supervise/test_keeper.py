from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from keeper_rig import ENV, KeeperRig, alive, until

from tandem.supervise import proc
from tandem.supervise.wire import (
    CloseDoors,
    Doors,
    Exec,
    LogLimits,
    Preload,
    Remember,
    SignalUnit,
    UnitEmptied,
    UnitEnded,
    UnitFailed,
    UnitSaid,
    UnitSpawned,
    encode_frame,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[KeeperRig]:
    rig = await KeeperRig(tmp_path).start()
    yield rig
    await rig.stop()


async def zygote_is_ready(rig: KeeperRig) -> None:
    await rig.heard(UnitSaid, rig.fork("warm-up", "children:ready"))


async def test_forked_child_is_the_keepers_own_session_with_only_its_descriptors(rig: KeeperRig) -> None:
    """A double fork makes the keeper its parent; it leads a session, has a title, a mark, and no stray descriptor."""
    instance = rig.fork("A", "children:facts")
    pid = await rig.pid(instance)
    line = (await until(lambda: rig.log("A"), "its line"))[0]["msg"]
    assert rig.process is not None
    keeper = rig.process.pid
    await until(lambda: psutil.Process(pid).ppid() == keeper, "the process in between to be gone")
    assert f"pid={pid} sid={pid} title=t:A" in line
    assert "fds=[0, 1, 2, 5" in line and f"mark={instance}" in line


async def test_the_keeper_may_hold_many_descriptors_and_programs_keep_their_limit(rig: KeeperRig) -> None:
    """It holds several per agent, so it takes all it may have; what it starts gets what it was itself born with."""
    assert rig.process is not None
    keeper = psutil.Process(rig.process.pid)
    soft, hard = keeper.rlimit(psutil.RLIMIT_NOFILE)
    assert soft == hard
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE), flush=True); input()"
    rig.run_python("P", code)
    line = (await until(lambda: rig.log("P"), "its line"))[0]["msg"]
    assert line == str(resource.getrlimit(resource.RLIMIT_NOFILE))


async def test_forked_children_do_not_share_randomness(rig: KeeperRig) -> None:
    """Two children of one zygote draw different numbers."""
    rig.fork("A", "children:facts")
    rig.fork("B", "children:facts")
    lines = [(await until(lambda name=name: rig.log(name)))[0]["msg"] for name in ("A", "B")]
    assert lines[0].split("random=")[1] != lines[1].split("random=")[1]


def of_a_fresh_interpreter(expression: str) -> str:
    argv = [sys.executable, "-c", f"import gc; print({expression})"]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


async def test_forked_children_collect_garbage_as_any_python_program_does(rig: KeeperRig) -> None:
    """However seldom the zygote looks for garbage while it imports, its children look as often as Python by default."""
    rig.fork("A", "children:thresholds")
    line = (await until(lambda: rig.log("A"), "its line"))[0]["msg"]
    assert line == of_a_fresh_interpreter("f'thresholds={gc.get_threshold()} enabled={gc.isenabled()}'")


async def test_readiness_status_and_beats_arrive(rig: KeeperRig) -> None:
    """READY and STATUS are passed on and remembered for whoever asks later; they count as signs of life."""
    assert rig.link is not None
    instance = rig.fork("A", "children:ready")
    said = await rig.heard(UnitSaid, instance)
    assert said.lines == ["READY=1", "STATUS=fine"]
    info = await rig.info(instance)
    assert info.ready_at is not None and info.status == "fine"
    assert instance in (await rig.link.beats()).at


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


async def test_exec_reports_what_cannot_be_run(rig: KeeperRig) -> None:
    """A program that does not exist is told as a failure to start, with the reason."""
    instance = rig.spawn("A", Exec(argv=["/no/such/program"], env=ENV))
    assert "No such file" in (await rig.heard(UnitFailed, instance)).error


async def test_exec_hands_over_payload_and_environment(rig: KeeperRig) -> None:
    """An executed program reads its payload from descriptor 6 and sees exactly the environment it was given."""
    code = "import os; print(os.read(6, 100).decode(), sorted(os.environ))"
    instance = rig.spawn("A", Exec(argv=[sys.executable, "-c", code], env={"X": "1"}, payload=b"secret"))
    await rig.heard(UnitEnded, instance)
    line = rig.log("A")[0]["msg"]
    assert line.startswith("secret ") and "'TANDEM_INSTANCE', 'X'" in line and "PATH" not in line


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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    doors = Doors(unix=str(rig.run / "a" / "A.sock"), port=port)
    instance = rig.fork("A", "children:wait", doors=doors)
    await rig.pid(instance)
    socket.create_connection(("127.0.0.1", port)).close()
    rig.link.send(SignalUnit(instance=instance, signal=signal.SIGKILL))
    await rig.heard(UnitEnded, instance)
    rig.link.send(CloseDoors(name="A"))
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


async def test_many_forks_at_once(rig: KeeperRig) -> None:
    """A hundred orders in one breath make a hundred children, each with its own pid."""
    instances = [rig.fork(f"A{n}", "children:ready") for n in range(100)]
    pids = {await rig.pid(instance) for instance in instances}
    for instance in instances:
        await rig.heard(UnitSaid, instance)
    assert len(pids) == 100


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


async def test_without_a_zygote_forks_fail_and_the_node_is_executed(rig: KeeperRig) -> None:
    """When the zygote dies, open orders fail, blamed on the zygote, after its end was told; so do later ones."""
    await zygote_is_ready(rig)
    zygote = (await rig.info(rig.zygote)).pid
    assert zygote is not None
    os.kill(zygote, signal.SIGSTOP)
    waiting = [rig.fork(name, "children:wait") for name in ("A", "B")]
    await rig.info(waiting[1])
    os.kill(zygote, signal.SIGKILL)
    await rig.heard(UnitEnded, rig.zygote)
    for instance in (*waiting, rig.fork("C", "children:wait")):
        failed = await rig.heard(UnitFailed, instance)
        assert failed.blame == "zygote" and "zygote" in failed.error
        ended = next(n for n, e in enumerate(rig.events) if isinstance(e, UnitEnded) and e.instance == rig.zygote)
        assert rig.events.index(failed) > ended


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
    second = await asyncio.to_thread(subprocess.run, argv, input=frame, timeout=30)
    assert second.returncode == 75
    assert rig.link is not None and (await rig.link.list()).units


async def test_shutdown_leaves_nothing(tmp_path: Path) -> None:
    """After a shutdown no process, socket or path of the keeper's is left, however stubborn its children were."""
    rig = await KeeperRig(tmp_path).start()
    instance = rig.fork("A", "children:stubborn_family", doors=Doors(unix=str(rig.run / "a" / "A.sock")))
    await rig.heard(UnitSaid, instance)
    assert rig.link is not None
    pids = [u.pid for u in (await rig.link.list()).units if u.pid]
    await rig.stop()
    mark = f"TANDEM_INSTANCE={instance}".encode()
    assert not [p for p in pids if alive(p)]
    assert not [p for p in proc.all_pids() if proc.has_mark(p, mark)]
    assert sorted(p.name for p in rig.run.rglob("*") if p.is_socket()) == []


async def test_a_thread_in_the_zygote_forbids_forking(tmp_path: Path) -> None:
    """A preloaded module that starts a thread makes the zygote refuse, and the refusal says why."""
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n"
    )
    rig = await KeeperRig(tmp_path, preload=Preload(["threaded"], path=[str(tmp_path)])).start()
    failed = await rig.heard(UnitFailed, rig.fork("A", "children:wait"))
    assert "2 threads" in failed.error
    await rig.stop()


async def test_a_failing_preload_is_reported_not_swallowed(tmp_path: Path) -> None:
    """A module that cannot be imported is named in the zygote's log with the reason; forking still works."""
    rig = await KeeperRig(tmp_path, preload=Preload(["no_such_module", "children"])).start()
    await rig.heard(UnitSaid, rig.fork("A", "children:ready"))
    assert any("no_such_module" in line["msg"] and line["level"] == "ERROR" for line in rig.log("zygote"))
    await rig.stop()


async def test_a_flood_is_limited_counted_and_never_blocks(tmp_path: Path) -> None:
    """Lines beyond the rate are left out, and one line tells how many."""
    rig = await KeeperRig(tmp_path, LogLimits(rate_lines=100, rate_window_s=2.0)).start()
    await rig.heard(UnitEnded, rig.run_python("A", "for n in range(5000): print('line', n)"))
    await until(lambda: any("suppressed" in line for line in rig.log("A")), "the count")
    lines = rig.log("A")
    assert sum("suppressed" not in line for line in lines) == 100
    assert sum(line.get("suppressed", 0) for line in lines) == 4900
    await rig.stop()


async def test_logs_rotate_compress_and_stay_below_the_ceiling(tmp_path: Path) -> None:
    """Many megabytes of lines end as compressed files whose total, with the current one, is below the ceiling."""
    limits = LogLimits(file_bytes=200_000, total_bytes=600_000, rate_lines=10**9)
    rig = await KeeperRig(tmp_path, limits).start()
    code = (
        "import random, time\n"
        "for n in range(80): print(n, random.randbytes(15000).hex(), flush=True); time.sleep(.05)"
    )
    await rig.heard(UnitEnded, rig.run_python("A", code))
    await until(lambda: list(rig.logs.glob("A-*.log.gz")), "a compressed file")
    await until(lambda: sum(p.stat().st_size for p in rig.logs.iterdir()) < 600_000, "the ceiling")
    await rig.stop()


async def test_a_full_disk_loses_lines_but_nothing_else(tmp_path: Path) -> None:
    """When the log cannot grow, agents go on, the keeper counts, and says how many lines were lost once it can."""

    def small_files() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    rig = await KeeperRig(tmp_path, LogLimits(file_bytes=10**9)).start(preexec_fn=small_files)
    code = "for n in range(3000): print('line', n)"
    ended = await rig.heard(UnitEnded, rig.run_python("A", code))
    assert ended.exit.code == 0
    assert (rig.logs / "A.log").stat().st_size <= 20_000
    assert ended.tail[-1] == "line 2999"
    ready = rig.fork("B", "children:ready")
    await rig.heard(UnitSaid, ready)
    (rig.logs / "A.log").write_bytes(b"")
    await rig.heard(UnitEnded, rig.run_python("A", "print('again')"))
    assert any("lines lost" in line["msg"] for line in rig.log("A"))
    await rig.stop()


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
        subprocess.run, [sys.executable, "-c", code], capture_output=True, timeout=30
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
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert out.stdout.strip() == "[]"


def _in_group(pid: int, leader: int) -> bool:
    try:
        return os.getpgid(pid) == leader
    except ProcessLookupError:
        return False
