"""What is done about an agent that takes more CPU than it may where no control group holds it.

Nothing in user space can bound CPU time without stopping the process, and a stopped agent answers nobody. So it is
let go on at the lowest priority, which takes from it what others want and nothing else, and it is told: whoever looks
sees it as degraded, with the figures.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

LOWEST = 19
"""nice(1) of somebody who gets only what nobody else wants."""

PATIENCE_S = 10.0
"""How long it has to be above its limit, or below again, before anything changes: a burst is no fault."""


class Pace(StrEnum):
    """At which priority an agent runs."""

    NORMAL = "normal"
    LOWEST = "lowest"


class Course(Struct, frozen=True):
    """One agent's ``pace``; ``turned_at``: since when its use asks for the other one (monotonic seconds)."""

    pace: Pace = Pace.NORMAL
    turned_at: float | None = None


def judge_pace(course: Course, used_percent: float, limit_percent: int, now: float) -> Course:
    """The course after a look. ``used_percent``: of one core, over the last seconds."""
    wanted = Pace.LOWEST if used_percent > limit_percent else Pace.NORMAL
    if wanted is course.pace:
        return replace(course, turned_at=None)
    if course.turned_at is None:
        return replace(course, turned_at=now)
    return Course(wanted) if now - course.turned_at >= PATIENCE_S else course


def set_pace(session: int, pids: list[int], pace: Pace, nice: int) -> None:
    """Give all threads of ``session`` the priority ``pace`` means; ``nice``: what is normal for it.

    Where the kernel groups tasks by session (autogroup, sched(7)) the group's value counts, and may be raised again.
    Elsewhere each thread has its own, which only root may raise again: then it stays low until the agent restarts.
    """
    value = LOWEST if pace is Pace.LOWEST else nice
    with suppress(OSError):
        Path(f"/proc/{session}/autogroup").write_text(str(value))
    for thread in (thread for pid in pids for thread in _threads(pid)):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, value)


def _threads(pid: int) -> list[int]:
    try:
        return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def describe_excess(used_percent: float, limit_percent: int) -> str:
    """What a person is told."""
    return f"takes {used_percent:.0f} % of a core, {limit_percent} allowed; it runs at the lowest priority until it takes less"
