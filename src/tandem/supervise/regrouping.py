"""Restarts a group as a whole: its agents end, dependants first; when the last has ended they start, needs first.

What is under way follows from the agents' states and a short record of whom it is about, so that the next node can go
on with it. It never waits for ever: when its time is over the group starts again without whoever does not end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from tandem.core import clock
from tandem.supervise.escalation import Alarm, Book, Level, Trouble, escalate
from tandem.supervise.lifecycle import ALIVE, SERVING, Breaker, Escalate, Goal, Phase, Regroup
from tandem.supervise.restore import reread
from tandem.supervise.runner import Runner
from tandem.supervise.start_order import StartOrder

log = logging.getLogger("tandem.node")

MEMORY = "@escalation"
"""Under which name the keeper remembers; no agent can be called so."""

SPARE_S = 15.0
"""Added to the graces of a group's agents: time for KILL to be obeyed."""

_WANTED = SERVING | {Phase.STARTING, Phase.DRAINING, Phase.STOPPING, Phase.WAITING, Phase.BACKOFF}


class Round(Struct, frozen=True, kw_only=True):
    """One restart of a group. ``instances``: which instance of each agent has to end; ``until``: monotonic seconds."""

    why: str
    instances: dict[str, str]
    until: float


class _Memory(Struct, frozen=True):
    book: Book = Book()
    rounds: dict[str, Round] = {}


class Regrouping:
    """Keeps the book of alarms and the rounds that are under way, by group."""

    def __init__(
        self, runners: Mapping[str, Runner], order: StartOrder, remember: Callable[[str, bytes], None]
    ):
        self.book = Book()
        self.rounds: dict[str, Round] = {}
        self.is_rolling: Callable[[], bool] = lambda: False
        """Whether a rollout is under way: that judges its agents by itself, and a restart would disturb it."""
        self._runners = runners
        self._order = order
        self._remember = remember
        self._timer: asyncio.TimerHandle | None = None
        self._scheduled = False

    def recall(self, memory: Mapping[str, bytes]) -> None:
        """Go on with what an earlier node had begun; to be called once there are runners."""
        known = reread(memory, MEMORY, _Memory)
        if known is None:
            return  # an alarm that is repeated does little harm
        self.book, self.rounds = known.book, known.rounds
        for round_ in self.rounds.values():
            self._order.held.update(round_.instances)
        self._look_soon()

    def alarm(self, runner: Runner, action: Escalate) -> None:
        """``runner`` is over its restart intensity."""
        trouble = Trouble(
            agent=runner.name,
            instance=runner.state.instance,
            group=runner.subject.group,
            deaths=action.deaths,
            was=action.was,
            bar=self._bar(runner),
        )
        self.book, alarm = escalate(self.book, trouble, clock.monotonic())
        if alarm is None:
            return
        log.error(
            "%s died %d times; escalated to %s%s",
            runner.name, alarm.deaths, alarm.level, f": {alarm.why}" if alarm.why else "",
        )  # fmt: skip
        if alarm.level is Level.GROUP:
            self._begin(runner)
        self._keep()

    def look(self) -> None:
        """Something moved."""
        if self.rounds:
            self._look_soon()

    def alarm_of(self, runner: Runner) -> Alarm | None:
        """What was done about ``runner``, as long as it has not proven itself again."""
        tripped = runner.state.breaker_at(clock.monotonic()) is not Breaker.CLOSED
        return self.book.alarms.get(runner.name) if tripped else None

    def close(self) -> None:
        """Let go; whatever is under way is the next node's."""
        if self._timer is not None:
            self._timer.cancel()

    # ---- one round ----

    def _bar(self, runner: Runner) -> str:
        if runner.subject.kind != "agent" or not runner.subject.group:
            return "it belongs to no group"
        if runner.subject.escalate_to == "operator":
            return "its policy is to tell the operator at once"
        if self.is_rolling():
            return "a rollout is under way"
        return "" if len(self._members(runner.subject.group)) > 1 else "it is alone in its group"

    def _members(self, group: str) -> list[Runner]:
        return [
            runner
            for runner in self._runners.values()
            if runner.subject.kind == "agent"
            and runner.subject.group == group
            and runner.state.goal is Goal.RUN
            and runner.state.phase in _WANTED
        ]

    def _begin(self, cause: Runner) -> None:
        group = cause.subject.group
        members = self._members(group)
        alive = [runner for runner in members if runner is not cause and runner.state.phase in ALIVE]
        grace = sum(runner.state.policy.stop_grace_s for runner in alive)
        self.rounds[group] = Round(
            why=f"its group {group} is restarted, since {cause.name} died too often",
            instances={
                runner.name: runner.state.instance if runner in alive else "" for runner in members
            },
            until=clock.monotonic() + grace + SPARE_S,
        )
        self._order.held.update(runner.name for runner in members)
        self._look_soon()

    def _look_soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._scheduled = False
        now = clock.monotonic()
        for group, round_ in list(self.rounds.items()):
            left = self._left(round_)
            if not left or now >= round_.until:
                self._finish(group, round_)
                continue
            needed = self._needs_of(left)
            for runner in left:
                if runner.name not in needed:
                    runner.feed(Regroup(round_.why))
        self._arm(now)

    def _left(self, round_: Round) -> list[Runner]:
        """Those whose instance of then has not ended."""
        found = (self._runners.get(name) for name, instance in round_.instances.items() if instance)
        return [
            runner
            for runner in found
            if runner is not None
            and runner.state.phase in ALIVE
            and runner.state.instance == round_.instances[runner.name]
        ]

    def _needs_of(self, runners: list[Runner]) -> set[str]:
        """Whatever they need, also by way of others, of whom some may not run at the moment."""
        found: set[str] = set()
        unseen = [need for runner in runners for need in runner.subject.needs]
        while unseen:
            name = unseen.pop()
            if name not in found:
                found.add(name)
                unseen += self._runners[name].subject.needs if name in self._runners else ()
        return found

    def _finish(self, group: str, round_: Round) -> None:
        del self.rounds[group]
        self._order.held.difference_update(round_.instances)
        for name in round_.instances:
            runner = self._runners.get(name)
            if runner is not None and runner.state.phase is Phase.BACKOFF:
                runner.feed(Regroup(round_.why))
        log.warning("group %s has ended and starts again: %s", group, round_.why)
        self._order.look()
        self._keep()

    def _arm(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.rounds:
            until = min(round_.until for round_ in self.rounds.values())
            self._timer = asyncio.get_running_loop().call_later(max(0.0, until - now), self._look_soon)

    def _keep(self) -> None:
        self._remember(MEMORY, msgspec.msgpack.encode(_Memory(self.book, self.rounds)))


def describe(alarm: Alarm, agent: str, now: float) -> str:
    """What a person is told beside the agent. ``now``: monotonic seconds."""
    what = f"it died too often ({alarm.deaths} times)"
    if alarm.level is Level.GROUP:
        return f"{what}; its group {alarm.group} was restarted for it {now - alarm.at:.0f} s ago"
    return f"{what} and needs you: {alarm.why}; mend it, then: tandem restart {agent}"
