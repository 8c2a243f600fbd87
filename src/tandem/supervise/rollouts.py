"""Carries rollouts out on one machine, and goes on where an earlier node ended.

What has to outlive the node is given to the keeper: the plan once, the state at every change, the target at the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.fleet.model import Fleet
from tandem.supervise.gate import LOOK_S, NotWell
from tandem.supervise.lifecycle import SERVING, AgentState, Phase
from tandem.supervise.release import Target
from tandem.supervise.replacing import Change, Made
from tandem.supervise.restore import reread
from tandem.supervise.rollout import (
    Course,
    RolloutPlan,
    RolloutState,
    Stage,
    Standing,
    Step,
    after,
    conclude,
    current_of,
    fail,
    joined,
    made_in,
    must_confirm,
    next_batch,
    next_return,
    set_stage,
    turn,
)
from tandem.supervise.rollout_api import RolloutView, Steering, view_of
from tandem.supervise.runner import Runner
from tandem.supervise.supervisor import Supervisor
from tandem.supervise.usage import Scales
from tandem.supervise.waiting import until
from tandem.supervise.wire import Exec

log = logging.getLogger("tandem.node")

PLAN, STATE, STANDING = "@plan", "@rollout", "@release"
"""Under which names the keeper remembers; no agent can be called so."""


ZYGOTE_PATIENCE_S = 30.0
"""A zygote that takes longer does not come; its agents will say so."""


class Busy(TandemError):
    """A rollout is under way."""


class _Turned(Exception):
    """The rollout goes back; what is under way is broken off."""


class Rollouts:
    """At most one at a time. ``use(fleet)`` makes a fleet the one new processes and servers are told of."""

    def __init__(
        self,
        supervisor: Supervisor,
        machine: str,
        current: Target,
        *,
        remember: Callable[[str, bytes], None],
        use: Callable[[Fleet], Awaitable[None]],
        zygote: Callable[[Target], Exec],
    ):
        self.standing = Standing(current=current)
        self.plan: RolloutPlan | None = None
        self.state = RolloutState(course=Course.DONE)
        self._supervisor = supervisor
        self._machine = machine
        self._remember = remember
        self._use = use
        self._zygote = zygote
        self._scales = Scales(LOOK_S)
        self._task: asyncio.Task[None] | None = None
        self._turned = asyncio.Event()
        self._moved = asyncio.Event()
        supervisor.watch(self._note_death)

    # ---- what an earlier node has left ----

    def recall(self, memory: Mapping[str, bytes]) -> None:
        """Take up what the keeper was asked to remember, before there are any runners.

        What cannot be read is left out: the machine then counts as running what it was started with.
        """
        self.standing = reread(memory, STANDING, Standing) or self.standing
        plan, state = reread(memory, PLAN, RolloutPlan), reread(memory, STATE, RolloutState)
        if plan is not None and state is not None:
            self.plan, self.state = plan, state
            if self.state.course is Course.DONE and self.standing.rollout != self.plan.id:
                self._settle(self.plan)
        for target in self._targets():
            self._supervisor.know_zygote(target.release.code, self._zygote(target))
        self._supervisor.releases = {name: release for name, (_config, release) in self.made().items()}

    def go_on(self) -> None:
        """Go on with what was under way."""
        if self.plan is not None and self.state.is_active:
            log.info("going on with rollout %s", self.plan.id)
            self._start()

    def made(self) -> dict[str, Made]:
        """What each agent is made of, by bare name."""
        if self.plan is not None and self.state.course not in (Course.DONE, Course.RETURNED):
            return current_of(self.plan, self.state, self._machine)
        current = self.standing.current
        return {agent.name: (agent, current.release) for agent in current.fleet.on(self._machine)}

    def fleet(self) -> Fleet:
        """The fleet as it is right now, with agents of both sides while a rollout is under way."""
        if self.plan is None or not self.state.is_active:
            return self.standing.current.fleet
        return joined(self.plan, (config for config, _release in self.made().values()))

    # ---- what people ask for ----

    def begin(self, plan: RolloutPlan) -> None:
        """Start carrying ``plan`` out. Raises :class:`Busy` while another is under way."""
        if self.state.is_active:
            raise Busy("a rollout is under way", hint="tandem rollout status")
        self._adopt_copy(plan.old)
        self.plan, self.state = plan, RolloutState()
        self._remember(PLAN, msgspec.msgpack.encode(plan))
        self._save()
        for target in self._targets():
            self._supervisor.know_zygote(target.release.code, self._zygote(target))
        self._start()

    def _adopt_copy(self, old: Target) -> None:
        """From its first rollout on a machine runs releases: what came up is made of the copy of it, if there is one."""
        current = self.standing.current
        if current.release.code.id or not old.release.code.id:
            return
        self._stand(replace(self.standing, current=replace(current, release=old.release)))
        for runner in self._supervisor.agents():
            if runner.subject.release == current.release and runner.subject.config is not None:
                self._supervisor.releases[runner.name] = old.release
                self._supervisor.adopt_config(runner.subject.config)

    def _stand(self, standing: Standing) -> None:
        self.standing = standing
        self._remember(STANDING, msgspec.msgpack.encode(standing))

    def steer(self, verb: Steering) -> None:
        """Pause, resume or abort. Raises :class:`~tandem.core.errors.TandemError` when that makes no sense now."""
        course = self.state.course
        if not self.state.is_active:
            raise TandemError("no rollout is under way", hint="tandem rollout status")
        if course is Course.RETURNING:
            raise TandemError("the rollout is already returning to the release before")
        match verb:
            case "pause":
                self._set(replace(self.state, course=Course.PAUSED, note="paused by the operator"))
            case "resume":
                self._set(replace(self.state, course=Course.RUNNING, note=""))
            case "abort":
                self._turn("aborted by the operator")

    async def follow(self, tell: Callable[[RolloutView], None]) -> None:
        """Tell every change until the rollout is over or paused."""
        while self.plan is not None:
            tell(view_of(self.plan, self.state, self._machine))
            if not self.state.is_active or self.state.course is Course.PAUSED:
                return
            await self._moved.wait()

    def view(self) -> RolloutView | None:
        """The last or present rollout."""
        return None if self.plan is None else view_of(self.plan, self.state, self._machine)

    def halt(self) -> None:
        """The machine is taken down, or this node ends: go no further."""
        if self._task is not None:
            self._task.cancel()

    # ---- carrying out ----

    def _start(self) -> None:
        self._turned.clear()
        if self.state.course is Course.RETURNING:
            self._turned.set()
        self._task = asyncio.create_task(self._run(), name="rollout")

    async def _run(self) -> None:
        plan = self.plan
        assert plan is not None
        try:
            await self._use(joined(plan, plan.old.fleet.on(self._machine)))
            for target in (plan.old, plan.new):
                self._supervisor.keep_zygote(target.release.code)
            # Whoever has to stop first must not wait for what the next one is forked from.
            zygote = self._supervisor.runners[plan.new.release.code.zygote]
            await until(self._supervisor, lambda: zygote.state.phase in SERVING, ZYGOTE_PATIENCE_S)
            while await self._advance(plan):
                continue
            self._settle(plan)
            await self._use(self.standing.current.fleet)
        except Exception as error:
            log.exception("the rollout cannot go on")
            note = f"{type(error).__name__}: {error}"
            self._set(replace(self.state, course=Course.STUCK, note=note, ended=clock.wall()))

    async def _advance(self, plan: RolloutPlan) -> bool:
        """Do what comes next; False when nothing is left."""
        match self.state.course:
            case Course.PAUSED:
                await self._moved.wait()
                return True
            case Course.RETURNING:
                steps = next_return(plan, self.state)
                await asyncio.gather(*(self._give_back(plan, step) for step in steps))
                return bool(steps)
        if must_confirm(plan, self.state):
            note = "the canaries are well; tandem rollout resume goes on, tandem rollout abort goes back"
            self._set(replace(self.state, course=Course.PAUSED, passed=1, note=note))
            return True
        batch = next_batch(plan, self.state)
        if not batch:
            return await self._is_turned_within(plan.strategy.min_healthy_s)
        await self._replace(plan, batch)
        return True

    async def _replace(self, plan: RolloutPlan, batch: list[Step]) -> None:
        changes = [self._change(plan, step) for step in batch]
        stages = {step.agent: Stage.TRYING for step in batch}
        self._set(replace(self.state, stages=self.state.stages | stages))
        if plan.strategy.kind != "blue-green":
            is_canary = plan.strategy.kind == "canary" and batch[0] in plan.batches[0]
            serve_for_s = plan.strategy.canary_s if is_canary else None
            await asyncio.gather(*(self._carry_out(change, _both(change, serve_for_s)) for change in changes))
            return
        ready = await asyncio.gather(
            *(self._carry_out(change, change.prepare(), Stage.TRYING) for change in changes)
        )
        well = [change for change, is_well in zip(changes, ready, strict=True) if is_well]
        await asyncio.gather(*(self._carry_out(change, change.commit()) for change in well))

    async def _carry_out(
        self, change: Change, work: Coroutine[Any, Any, None], then: Stage = Stage.DONE
    ) -> bool:
        """Whether ``work`` was done and the agent is where it should be."""
        agent = change.step.agent
        try:
            await self._unless_turned(work, change)
        except _Turned:
            await self._take_back(change)
            self._set(set_stage(self.state, agent, Stage.PENDING))
            return False
        except NotWell as error:
            if change.may_fail:
                remark = f"was in trouble before, and still is: it {error.message}"
                self._set(replace(self.state, remarks=self.state.remarks | {agent: remark}))
                self._set(set_stage(self.state, agent, Stage.DONE))
                return False
            await self._take_back(change)
            self._fail(agent, error.message)
            return False
        self._set(set_stage(self.state, agent, then))
        return True

    async def _give_back(self, plan: RolloutPlan, step: Step) -> None:
        """Return one agent to the old target; what cannot be is told and left as it is."""
        was, is_now = self._sides(plan, step)
        change = Change(self._supervisor, step, is_now, was, 0.0, self._scales)
        try:
            await _both(change, None)
        except NotWell as error:
            self._leave(step.agent, error)
        else:
            self._set(set_stage(self.state, step.agent, Stage.RETURNED))

    async def _take_back(self, change: Change) -> None:
        try:
            await change.undo()
        except NotWell as error:
            self._leave(change.step.agent, error)

    def _leave(self, agent: str, error: NotWell) -> None:
        failures = self.state.failures | {agent: f"could not be returned: it {error.message}"}
        state = replace(self.state, failures=failures, unreturned=(*self.state.unreturned, agent))
        self._set(set_stage(state, agent, Stage.FAILED))

    async def _unless_turned(self, work: Coroutine[Any, Any, None], change: Change) -> None:
        """Do ``work``, unless the rollout turns meanwhile: then raise :class:`_Turned`. A stop is never broken off."""
        if self._turned.is_set() and change.how != "stop":
            work.close()
            raise _Turned
        doing = asyncio.create_task(work)
        turned = asyncio.create_task(self._turned.wait())
        try:
            await asyncio.wait(
                {doing} if change.how == "stop" else {doing, turned}, return_when=asyncio.FIRST_COMPLETED
            )
            if not doing.done():
                raise _Turned
            doing.result()
        finally:
            for task in (doing, turned):
                task.cancel()
            await asyncio.gather(doing, turned, return_exceptions=True)

    async def _is_turned_within(self, seconds: float) -> bool:
        """Whether something goes wrong in a last look at the whole."""
        try:
            async with asyncio.timeout(seconds):
                await self._turned.wait()
        except TimeoutError:
            return self.state.course is not Course.RUNNING
        return True

    def _change(self, plan: RolloutPlan, step: Step) -> Change:
        old, new = self._sides(plan, step)
        return Change(self._supervisor, step, old, new, plan.strategy.min_healthy_s, self._scales)

    def _sides(self, plan: RolloutPlan, step: Step) -> tuple[Made | None, Made | None]:
        return made_in(plan.old, self._machine, step.agent), made_in(plan.new, self._machine, step.agent)

    # ---- what happens meanwhile ----

    def _note_death(self, runner: Runner, before: AgentState) -> None:
        """An agent that was through and dies speaks against the new release."""
        if self.plan is None or self.state.course not in (Course.RUNNING, Course.PAUSED):
            return
        name, state = runner.name, runner.state
        died = state.restarts > before.restarts or (
            state.phase is Phase.FAILED and before.phase is not Phase.FAILED
        )
        is_ours = self._supervisor.runners.get(name) is runner and self.state.stage(name) is Stage.DONE
        if died and is_ours and name not in self.state.remarks:
            how = state.exit.describe() if state.exit is not None else state.note
            self._fail(name, f"died after it had taken over: {how}")

    def _fail(self, agent: str, why: str) -> None:
        assert self.plan is not None
        log.error("rollout %s: %s %s", self.plan.id, agent, why)
        self._set(fail(self.plan, self.state, agent, why))
        if self.state.course is Course.RETURNING:
            self._turned.set()

    def _turn(self, why: str) -> None:
        self._set(turn(self.state, why))
        self._turned.set()

    def _set(self, state: RolloutState) -> None:
        self.state = state
        self._save()

    def _save(self) -> None:
        self._remember(STATE, msgspec.msgpack.encode(self.state))
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _settle(self, plan: RolloutPlan) -> None:
        """Everything is where it should be: what new processes are made of from now on."""
        if self.state.is_active:
            self._set(conclude(self.state, clock.wall()))
        if self.state.course is Course.DONE and self.standing.rollout != plan.id:
            self._stand(after(self.standing, plan))
        for name, (config, release) in self.made().items():
            if name in self._supervisor.runners and name not in self.state.unreturned:
                self._supervisor.releases[name] = release
                self._supervisor.adopt_config(config)
        before = self.standing.proven[:1] or [self.standing.current]
        # The way back is quick while what it forks from is there; it goes with the next rollout.
        self._supervisor.drop_unused_zygotes(before[0].release.code.zygote)
        log.info("rollout %s: %s %s", plan.id, self.state.course, self.state.note)

    def take_over(self, fleet: Fleet) -> None:
        """``tandem up`` has changed what should run: agents it added or found stopped."""
        self._stand(replace(self.standing, current=replace(self.standing.current, fleet=fleet)))

    def _targets(self) -> Iterable[Target]:
        planned = (self.plan.old, self.plan.new) if self.plan is not None and self.state.is_active else ()
        return (self.standing.current, *self.standing.proven[:1], *planned)


async def _both(change: Change, serve_for_s: float | None) -> None:
    await change.prepare(serve_for_s=serve_for_s)
    await change.commit()
