"""What the keeper makes: children forked off the zygote, and programs it executes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from keeper_rig import ENV, KeeperRig, until

from tandem.supervise.wire import Exec, Preload, UnitEnded, UnitFailed, UnitSaid

pytestmark = pytest.mark.integration


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


async def test_many_forks_at_once(rig: KeeperRig) -> None:
    """A hundred orders in one breath make a hundred children, each with its own pid."""
    instances = [rig.fork(f"A{n}", "children:ready") for n in range(100)]
    pids = {await rig.pid(instance) for instance in instances}
    for instance in instances:
        await rig.heard(UnitSaid, instance)
    assert len(pids) == 100


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
    await until(
        lambda: any("no_such_module" in line["msg"] and line["level"] == "ERROR" for line in rig.log("zygote")), "its line"
    )
    await rig.stop()
