"""Who may start now: needs first, wants for a moment, and only so many at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Container, Mapping
from typing import Protocol

from tandem.core import clock
from tandem.core.ids import new_id
from tandem.supervise.lifecycle import SERVING, UP, Goal, NeedsMet, Phase
from tandem.supervise.runner import Runner

WANTS_WAIT_S = 3.0
"""How long a start is held back for what the agent merely wants (DESIGN 2)."""

SLOT_HOLD_S = 1.0
"""A slow start gives its slot up after this time: loading a model must not hold others back."""


def start_slots() -> int:
    """How many agents may be between their birth and READY at once.

    Measured on 2 cores with 77 minimal agents: 8 a core is as fast as no bound, and keeps a thousand agents from
    thrashing.
    """
    return 8 * (os.cpu_count() or 2)


class Other(Protocol):
    """The other machines' agents, as this one knows them, by ``Name@machine``."""

    def is_up(self, agent: str) -> bool:
        """Whether it serves and can be reached."""
        ...

    def is_expected(self, agent: str) -> bool:
        """Whether it may come up within seconds."""
        ...


class StartOrder:
    """Gives ``NeedsMet`` to waiting runners, event by event; there are no levels to wait for."""

    def __init__(self, runners: Mapping[str, Runner], slots: int | None = None):
        self.elsewhere: Other | None = None
        """Who knows the agents of other machines; without it nobody waits for them."""
        self.held: set[str] = set()
        """Agents that wait for the rest of their group to end, whatever else they need."""
        self._runners = runners
        self._slots = slots or start_slots()
        self._waiting: dict[Runner, None] = {}
        self._scheduled = False
        self._later: asyncio.TimerHandle | None = None

    def ask(self, runner: Runner) -> None:
        """The runner wants to start."""
        self._waiting[runner] = None
        self.look()

    def look(self) -> None:
        """Something moved: see, once this round of the loop is through, who may start."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def missing(self, runner: Runner) -> list[str]:
        """Needs that do not serve, by name.

        One that is ready and says that it cannot do its job holds nobody back: that would spread its trouble.
        """
        return [need for need in runner.subject.needs if not self._is_in(need, SERVING)]

    def absent_wants(self, runner: Runner) -> list[str]:
        """Wants that are not up: bare names of this machine's, ``Name@machine`` of others."""
        return [want for want in runner.subject.wants if not self._has(want)]

    def _has(self, want: str) -> bool:
        if "@" in want:
            return self.elsewhere is None or self.elsewhere.is_up(want)
        return self._is_in(want, UP)

    def _pump(self) -> None:
        self._scheduled = False
        now = clock.monotonic()
        free = self._slots - self._in_flight(now)
        held: list[Runner] = []
        for runner in list(self._waiting):
            if runner.state.phase is not Phase.WAITING:
                del self._waiting[runner]
            elif runner.name in self.held:
                continue
            elif runner.subject.kind != "agent":
                if not self.missing(runner):
                    self._let_go(runner)
            elif free > 0 and not self.missing(runner):
                if self._waits_for_elsewhere(runner, now):
                    continue
                if self._is_held_by_wants(runner, now):
                    held.append(runner)
                else:
                    self._let_go(runner)
                    free -= 1
        if held and not self._in_flight(now):
            # Nothing else can make these wants come true: they want each other, or something that is in trouble.
            for runner in held[:free]:
                self._let_go(runner)
        if self._waiting:
            self._look_later(self._look)

    def _let_go(self, runner: Runner) -> None:
        self._waiting.pop(runner, None)
        runner.feed(NeedsMet(new_id()))

    def _in_flight(self, now: float) -> int:
        return sum(
            runner.state.phase is Phase.STARTING
            and runner.subject.kind == "agent"
            and now - (runner.state.launched_at or now) < SLOT_HOLD_S
            for runner in self._runners.values()
        )

    def _is_held_by_wants(self, runner: Runner, now: float) -> bool:
        if not self._may_be_held(runner, now):
            return False
        return any(
            other.state.goal is Goal.RUN and other.state.phase in (Phase.WAITING, Phase.STARTING)
            for want in runner.subject.wants
            if (other := self._runners.get(want)) is not None
        )

    def _waits_for_elsewhere(self, runner: Runner, now: float) -> bool:
        if self.elsewhere is None or not self._may_be_held(runner, now):
            return False
        there = [want for want in runner.subject.wants if "@" in want]
        return any(self.elsewhere.is_expected(want) for want in there if not self.elsewhere.is_up(want))

    @staticmethod
    def _may_be_held(runner: Runner, now: float) -> bool:
        return now - runner.waiting_since < WANTS_WAIT_S and not runner.state.restarts

    def _is_in(self, name: str, phases: Container[Phase]) -> bool:
        other = self._runners.get(name)
        return other is not None and other.state.phase in phases

    def _look_later(self, callback: Callable[[], None]) -> None:
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(SLOT_HOLD_S / 4, callback)

    def _look(self) -> None:
        self._later = None
        self.look()

    def close(self) -> None:
        if self._later is not None:
            self._later.cancel()
