"""Whether a new instance may stay: it has to become ready, and to be well for a while."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.fleet.model import Limits
from tandem.supervise.lifecycle import SERVING, Phase
from tandem.supervise.runner import Runner
from tandem.supervise.usage import Scales

LOOK_S = 0.25
"""Seconds between two looks at an instance that is on probation."""

PATIENCE_S = 30.0
"""Beyond the start deadline: for what it needs, and for a health that comes and goes."""

SILENT_S = 3.0
"""Agents give a sign of life every second, and we look every second: one that was not heard of for so long may hang."""

GROWTH = 2.0
GROWTH_BYTES = 256 * 2**20
"""A new instance may take this many times the memory of the old one and so much more; beyond, it leaks or is not fit."""

_RANK = {Phase.HEALTHY: 0, Phase.DEGRADED: 1, Phase.UNHEALTHY: 2}
_LAST_LINES = 2
_MOST_CHARS = 200
_MESSAGE = re.compile(r'"msg":"((?:[^"\\]|\\.)*)')


class NotWell(TandemError):
    """A new instance did not pass; the message says why."""


class Bar(Struct, frozen=True, kw_only=True):
    """What a new instance is held to: the old one's phase, and its memory (bytes; 0: unknown)."""

    phase: Phase = Phase.HEALTHY
    memory: int = 0

    def admits(self, phase: Phase) -> bool:
        """No worse than degraded, or than what it replaces."""
        return phase in _RANK and _RANK[phase] <= max(1, _RANK.get(self.phase, 0))


def bar_of(runner: Runner, scales: Scales) -> Bar:
    """What the instance in service sets."""
    return Bar(phase=runner.state.phase, memory=resident(runner.pid, scales))


def memory_verdict(used: int, bar: Bar, limit_mb: int | None) -> str:
    """Why ``used`` bytes are too many; empty when they are not."""
    if limit_mb is not None and used > limit_mb * 2**20:
        return f"takes {used >> 20} MiB of memory, its limit is {limit_mb} MiB"
    if bar.memory and used > bar.memory * GROWTH + GROWTH_BYTES:
        return f"takes {used >> 20} MiB of memory, the one before took {bar.memory >> 20} MiB"
    return ""


def resident(pid: int | None, scales: Scales) -> int:
    """Bytes of memory an instance takes, its children included; 0 when nobody can tell."""
    if pid is None:
        return 0
    if exact := scales.weigh(pid, clock.monotonic()):
        return exact
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def become(runner: Runner, reached: Callable[[], bool], watch: Callable[[], asyncio.Event]) -> None:
    """Return when ``reached``; raises :class:`NotWell` when the instance ends or takes too long."""
    until = clock.monotonic() + runner.state.policy.start_timeout_s + PATIENCE_S
    deaths = runner.state.restarts
    while not reached():
        deaths = min(
            deaths, runner.state.restarts
        )  # the operator's commands, ours among them, begin to count anew
        if why := _ended(runner, deaths):
            raise NotWell(why)
        left = until - clock.monotonic()
        if left <= 0:
            raise NotWell(
                f"was not ready in time: {runner.status or runner.state.note or runner.state.phase}"
            )
        moved = watch()
        try:
            async with asyncio.timeout(min(left, 1.0)):
                await moved.wait()
        except TimeoutError:
            continue


async def stay_well(
    runner: Runner, seconds: float, bar: Bar, scales: Scales, judge: Callable[[], str] = str
) -> None:
    """Return when the instance has been well for ``seconds`` on end; raises :class:`NotWell` when it will not be.

    ``judge`` says what else speaks against it, empty for nothing. Who is silent at the end is waited for: it is heard of again, or found to hang.
    With 0 seconds it only has to live and be well now: its memory and its silence tell nothing yet.
    """
    deaths, instance = runner.state.restarts, runner.state.instance
    limits = runner.subject.config.limits if runner.subject.config is not None else Limits()
    limit = limits.restart_above_mb or limits.memory_mb
    well_since = clock.monotonic()
    until = well_since + 3 * seconds + PATIENCE_S
    silent_s = 0.0
    while True:
        now = clock.monotonic()
        why = _ended(runner, deaths)
        if runner.state.instance == instance and runner.heard_at is not None:
            silent_s = now - runner.heard_at
        is_silent = seconds > 0 and silent_s > SILENT_S
        if why and is_silent:
            why = f"hung: no sign of life for {silent_s:.0f} s"
        if not why and seconds > 0:
            why = memory_verdict(resident(runner.pid, scales), bar, limit) or judge()
        if why or runner.state.instance != instance:
            raise NotWell(why or "was replaced by somebody else")
        if not bar.admits(runner.state.phase):
            well_since = now
        if now - well_since >= seconds and not is_silent:
            return
        if now > until:
            raise NotWell(f"is {runner.state.phase}: {'; '.join(runner.state.issues) or runner.state.note}")
        await asyncio.sleep(min(LOOK_S, max(0.01, seconds - (now - well_since))))


def is_serving(runner: Runner) -> Callable[[], bool]:
    return lambda: runner.state.phase in SERVING


def _ended(runner: Runner, deaths: int) -> str:
    """How the instance came to its end; empty while it lives or may yet come."""
    state = runner.state
    if state.phase not in (Phase.FAILED, Phase.STOPPED, Phase.BACKOFF) and state.restarts <= deaths:
        return ""
    how = state.exit.describe() if state.exit is not None else state.note or "ended"
    said = " | ".join(_words(line) for line in runner.tail[-_LAST_LINES:])
    return f"died: {how}{'; it last said: ' + said if said else ''}"


def _words(line: str) -> str:
    """The message of a log line; the line itself where it is none of ours. Long lines may have been cut."""
    found = _MESSAGE.search(line) if line.startswith("{") else None
    return (found[1] if found else line.strip())[:_MOST_CHARS]
