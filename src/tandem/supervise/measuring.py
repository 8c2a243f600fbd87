"""Resource use of everything on this machine, and limits that the kernel does not hold for us."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable

from msgspec.structs import replace

from tandem.core import clock
from tandem.fleet.model import Limits
from tandem.supervise.api import Usage
from tandem.supervise.lifecycle import ALIVE, Event, Outgrew, Overran, Phase
from tandem.supervise.pacing import Course, Pace, describe_excess, judge_pace, set_pace
from tandem.supervise.release import ZYGOTE
from tandem.supervise.runner import Runner
from tandem.supervise.supervisor import Supervisor
from tandem.supervise.usage import Meter, exact_memory, members_of

log = logging.getLogger("tandem.node")

PERIOD_S = 2.0
STRICT_PERIOD_S = 0.25
"""While an agent has a limit on memory or processes: a fork bomb is fast."""

_MIB = 1024 * 1024


class Measuring:
    """Looks at every process group every two seconds; four times a second while somebody has a limit to keep."""

    def __init__(self, supervisor: Supervisor, parts: dict[str, int], holds: Iterable[str] = ()):
        """``parts``: pids of what holds the machine together, by name. ``holds``: limits the kernel keeps."""
        self.parts: dict[str, Usage] = {}
        self._supervisor = supervisor
        self._pids = parts
        self._meter = Meter()
        self._holds = frozenset(holds)
        self._limited: set[str] = set()
        self._courses: dict[str, Course] = {}
        """By instance, of agents that may take only so much CPU."""

    async def run(self) -> None:
        """Measure until cancelled."""
        full_at = 0.0
        while True:
            now = clock.monotonic()
            if now >= full_at:
                self._look(now)
                full_at = now + PERIOD_S
            else:
                self._look_at_limited()
            await asyncio.sleep(STRICT_PERIOD_S if self._limited else PERIOD_S)

    def _look(self, now: float) -> None:
        runners = list(self._supervisor.runners.values())
        sessions = [runner.pid for runner in runners if runner.pid is not None]
        used = self._meter.look([*sessions, *self._pids.values()], now)
        for runner in runners:
            runner.usage = used.get(runner.pid) if runner.pid is not None else None
        zygote = self._supervisor.runners[ZYGOTE].pid
        parts = self._pids | ({ZYGOTE: zygote} if zygote is not None else {})
        self.parts = {name: used[pid] for name, pid in parts.items() if pid in used}
        self._limited = {
            name for name, config in self._supervisor.configs.items() if self._must_watch(config.limits)
        }
        for runner in runners:
            if runner.usage is not None and runner.subject.kind == "agent":
                self._judge(runner, runner.usage)
        self._pace(now)

    def _pace(self, now: float) -> None:
        """Slow down who takes more CPU than it may, and let it run again when it takes less."""
        if "cpu" in self._holds:
            return
        courses = {}
        for runner in self._supervisor.agents():
            config, usage = self._supervisor.configs.get(runner.name), runner.usage
            limit = config.limits.cpu_percent if config is not None else None
            runner.excess = ""
            if config is None or limit is None or usage is None or runner.pid is None:
                continue
            instance, used = runner.state.instance, usage.cpu_fraction * 100
            before = self._courses.get(instance, Course())
            course = courses[instance] = judge_pace(before, used, limit, now)
            if course.pace is not before.pace:
                log.warning("%s takes %.0f %% of a core, %d allowed; priority %s", runner.name, used, limit, course.pace)
            if course.pace is Pace.LOWEST:
                runner.excess = describe_excess(used, limit)
            if Pace.LOWEST in (course.pace, before.pace):
                # Threads and children that came since are included.
                set_pace(runner.pid, members_of(runner.pid), course.pace, _own_nice(config.limits))
        self._courses = courses

    def _must_watch(self, limits: Limits) -> bool:
        """Whether it has a hard limit that only we keep."""
        ours = self._kept_here(limits)
        return ours.memory_mb is not None or ours.processes is not None

    def _kept_here(self, limits: Limits) -> Limits:
        """Without the hard limits that the kernel keeps: it counts a shared page once, and we perhaps in full."""
        return replace(
            limits,
            memory_mb=None if "memory" in self._holds else limits.memory_mb,
            processes=None if "pids" in self._holds else limits.processes,
        )

    def _look_at_limited(self) -> None:
        runners = [self._supervisor.runners[name] for name in self._limited if name in self._supervisor.runners]
        pids = {runner.pid: runner for runner in runners if runner.pid is not None}
        for pid, usage in self._meter.glance(pids).items():
            if pid is not None:
                self._judge(pids[pid], usage)

    def _judge(self, runner: Runner, usage: Usage) -> None:
        config = self._supervisor.configs.get(runner.name)
        if config is None or runner.pid is None or runner.state.phase not in ALIVE - {Phase.STOPPING}:
            return
        event = judge(runner.state.instance, self._kept_here(config.limits), usage, runner.pid)
        if event is not None:
            runner.feed(event)


def _own_nice(limits: Limits) -> int:
    """The priority an agent was born with: its own, else ours, since both come from whoever typed ``up``."""
    return os.getpriority(os.PRIO_PROCESS, 0) if limits.nice is None else limits.nice


def judge(instance: str, limits: Limits, usage: Usage, session: int) -> Event | None:
    """What its use means for an instance with these limits.

    Memory shared between its processes (or with the zygote it was forked from) counts by share when that can be read.
    """
    if limits.processes is not None and usage.processes > limits.processes:
        return Overran(instance, f"{usage.processes} processes, {limits.processes} allowed")
    bounds = [bound for bound in (limits.memory_mb, limits.restart_above_mb) if bound is not None]
    if not bounds or usage.rss_bytes <= min(bounds) * _MIB:
        return None
    used = exact_memory(session) or usage.rss_bytes
    if limits.memory_mb is not None and used > limits.memory_mb * _MIB:
        return Overran(instance, f"{used // _MIB} MiB of memory, {limits.memory_mb} allowed")
    if limits.restart_above_mb is not None and used > limits.restart_above_mb * _MIB:
        return Outgrew(instance, f"{used // _MIB} MiB of memory, restarted above {limits.restart_above_mb}")
    return None
