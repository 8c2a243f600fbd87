"""Who takes more CPU than it may, where no control group holds it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tandem.supervise.pacing import LOWEST, PATIENCE_S, Course, Pace, judge_pace, set_pace
from tandem.supervise.usage import members_of


def after(*uses: float, every_s: float = 2.0) -> list[Pace]:
    """The pace at each look, for uses in percent with 50 allowed."""
    course, paces = Course(), []
    for number, used in enumerate(uses):
        course = judge_pace(course, used, 50, number * every_s)
        paces.append(course.pace)
    return paces


def test_a_burst_is_no_fault() -> None:
    """Above the limit for less than ten seconds, again and again, changes nothing."""
    assert set(after(*([90.0] * 5 + [10.0]) * 10)) == {Pace.NORMAL}


def test_a_steady_excess_lowers_the_priority_until_it_is_over() -> None:
    """After ten seconds above its limit it runs at the lowest priority, after ten below it as before."""
    paces = after(*[90.0] * 10, *[40.0] * 10)
    looks = int(PATIENCE_S / 2)
    assert paces == [Pace.NORMAL] * looks + [Pace.LOWEST] * 10 + [Pace.NORMAL] * (10 - looks)


def test_exactly_the_limit_is_allowed() -> None:
    """Only what is above the limit counts."""
    assert set(after(*[50.0] * 20)) == {Pace.NORMAL}


@pytest.fixture
def session() -> Iterator[int]:
    """A process with a thread and a child, in a session of its own."""
    code = (
        "import os, threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "os.fork()\nprint('up', flush=True)\ntime.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    yield process.pid
    os.killpg(process.pid, 9)
    process.wait()
    process.stdout.close()


def test_every_thread_and_child_is_slowed_down(session: int) -> None:
    """The kernel counts priority by thread: none of them is left out, nor is the session's group where there is one."""
    pids = members_of(session)
    set_pace(session, pids, Pace.LOWEST, 0)
    threads = [int(entry) for pid in pids for entry in os.listdir(f"/proc/{pid}/task")]
    assert len(pids) == 2 and len(threads) == 3
    assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {LOWEST}
    if os.path.exists(f"/proc/{session}/autogroup"):
        with open(f"/proc/{session}/autogroup") as group:
            assert group.read().split()[-1] == str(LOWEST)


def test_those_who_are_gone_do_no_harm(session: int) -> None:
    """Who has ended meanwhile is passed over, and the others are slowed down all the same."""
    gone = 2**22 + 1  # more than there can be (proc_pid_max(5))
    set_pace(gone, [gone, session], Pace.LOWEST, 0)
    assert os.getpriority(os.PRIO_PROCESS, session) == LOWEST
