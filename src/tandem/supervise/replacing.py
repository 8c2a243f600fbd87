"""One agent from one release to another: prepared beside what serves, then committed; taken back when it is no good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tandem.agent.spec import Begin
from tandem.fleet.model import AgentConfig
from tandem.supervise import error_rate
from tandem.supervise.gate import Bar, bar_of, become, is_serving, stay_well
from tandem.supervise.lifecycle import UP, Goal, Restart, Start, Stop
from tandem.supervise.release import Release
from tandem.supervise.rollout import Step
from tandem.supervise.runner import Runner
from tandem.supervise.supervisor import Supervisor
from tandem.supervise.usage import Scales

Made = tuple[AgentConfig, Release]
"""What an agent is made of."""


class Change:
    """``new`` or ``old`` is None where the agent does not exist. ``hold_s``: how long the new instance has to be well."""

    def __init__(
        self,
        supervisor: Supervisor,
        step: Step,
        old: Made | None,
        new: Made | None,
        hold_s: float,
        scales: Scales,
    ):
        self.step = step
        self._scales = scales
        self._supervisor = supervisor
        self._old = old
        self._new = new
        self._hold_s = hold_s
        self._second: Runner | None = None
        runner = supervisor.runners.get(step.agent)
        self._bar = Bar() if runner is None or not hold_s else bar_of(runner, scales)
        self._is_wanted = runner is None or runner.state.goal is Goal.RUN
        self._was_up = runner is not None and runner.state.phase in UP

    @property
    def how(self) -> str:
        """The step's way, except for an agent that nobody serves for now: there is nothing to keep."""
        if self.step.how in ("surge", "handover", "stop-first") and not self._is_wanted:
            return "adopt"
        return "stop-first" if self.step.how in ("surge", "handover") and not self._was_up else self.step.how

    @property
    def may_fail(self) -> bool:
        """Whether it was in trouble before: then being so afterwards is nothing new."""
        return self._old is not None and not self._was_up

    # ---- there ----

    async def prepare(self, *, serve_for_s: float | None = None) -> None:
        """Bring the new instance as far as it can come beside the old one, without taking anything from that.

        With ``serve_for_s`` it serves beside it for so long. Raises ``NotWell``; :meth:`undo` has to follow then.
        """
        if self.how not in ("surge", "handover") or self._new is None:
            return
        if self.how == "handover":
            second = self._begin("handover")
            await become(second, lambda: second.stands_by == second.state.instance != "", self._watch)
            return
        second = self._begin("standby" if serve_for_s is None else "serve")
        await become(second, is_serving(second), self._watch)
        if serve_for_s is None:
            await stay_well(second, self._hold_s, self._bar, self._scales)
        else:
            await stay_well(second, serve_for_s, self._bar, self._scales, self._comparison(second))

    async def commit(self) -> None:
        """Put it in service. Raises ``NotWell``; :meth:`undo` has to follow then."""
        supervisor, name = self._supervisor, self.step.agent
        if self.how == "stop":
            await self._leave()
            return
        assert self._new is not None
        if self._second is not None:
            await self._flip(self._second)
            return
        runner = self._adopt(self._new)
        if self.how == "adopt":
            return
        runner.feed(Start() if self.how == "start" else Restart())
        instance = runner.state.instance
        await become(runner, lambda: _is_fresh(supervisor.runners[name], instance), self._watch)
        await stay_well(runner, self._hold_s, self._bar, self._scales)

    async def _flip(self, second: Runner) -> None:
        first = self._supervisor.runners[self.step.agent]
        if first.state.goal is Goal.STOP:
            # The operator stopped it meanwhile, and the operator always wins.
            await self._end(second)
            assert self._new is not None
            self._adopt(self._new)
            return
        first = self._supervisor.promote(second)
        await self._end(first)
        if self.how == "handover":
            await become(second, is_serving(second), self._watch)
            await stay_well(second, self._hold_s, self._bar, self._scales)

    # ---- and back ----

    async def undo(self) -> None:
        """Whatever was begun, make it as it was. Raises ``NotWell`` when the old release does not come up either."""
        name = self.step.agent
        second, self._second = self._second, None
        if second is not None and second in self._supervisor.beside:
            await self._end(second)
        runner = self._supervisor.runners.get(name)
        if self._old is None:
            if runner is not None:
                await self._leave()
            return
        if (
            runner is not None
            and runner.subject.config == self._old[0]
            and runner.subject.release == self._old[1]
        ):
            return
        runner = self._adopt(self._old)
        if self._is_wanted and self.how != "adopt":
            instance = runner.state.instance
            runner.feed(Restart())
            await become(runner, lambda: _is_fresh(runner, instance), self._watch)

    # ---- parts ----

    def _comparison(self, second: Runner) -> Callable[[], str]:
        """Whether the second instance answers worse than the first one does from now on."""
        first = self._supervisor.runners[self.step.agent]
        then = first.tally
        return lambda: error_rate.verdict(second.tally, error_rate.baseline(then, first.tally))

    def _begin(self, begin: Begin) -> Runner:
        assert self._new is not None
        config, release = self._new
        self._second = self._supervisor.second(config, release, begin)
        self._second.feed(Start())
        return self._second

    def _adopt(self, made: Made) -> Runner:
        config, release = made
        self._supervisor.releases[config.name] = release
        self._supervisor.adopt_config(config)
        return self._supervisor.runners[config.name]

    async def _end(self, runner: Runner) -> None:
        runner.feed(Stop())
        while runner in self._supervisor.beside:
            await self._watch().wait()

    async def _leave(self) -> None:
        if self.step.agent in self._supervisor.runners:
            self._supervisor.retire(self.step.agent)
        while self.step.agent in self._supervisor.runners:
            await self._watch().wait()

    def _watch(self) -> asyncio.Event:
        """Set at the next change of anything."""
        moved = asyncio.Event()

        def note(_runner: Runner, _before: object) -> None:
            unwatch()
            moved.set()

        unwatch = self._supervisor.watch(note)
        return moved


def _is_fresh(runner: Runner, instance: str) -> bool:
    return runner.state.instance != instance and is_serving(runner)()
