"""A rollout as data: what is to be done, how far it is, and what comes next. Pure; :mod:`.rollouts` carries it out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from tandem.fleet.model import AgentConfig, Fleet
from tandem.supervise.release import Release, Target

How = Literal["start", "stop", "adopt", "surge", "handover", "stop-first"]
"""``adopt``: its new entry counts from now on, and the process stays. The others say how processes come and go."""

Kind = Literal["rolling", "blue-green", "canary"]

KEPT_TARGETS = 5
"""So many earlier targets a machine remembers to return to."""

_UNDONE_BY: dict[How, How] = {"start": "stop", "stop": "start"}


class Step(Struct, frozen=True):
    """What happens to one agent (bare name) of the machine, and why in this way."""

    agent: str
    how: How
    why: str = ""


class Strategy(Struct, frozen=True, kw_only=True):
    """How a rollout proceeds; times in seconds.

    A new instance has to be well for ``min_healthy_s``. More than ``max_failures`` agents that are not, and everything
    returns. ``rolling``: batch by batch. ``blue-green``: the new instances of a batch stand by until all of them are
    well, then all take over at once. ``canary``: those of the first batch serve beside the old ones for ``canary_s``;
    with ``confirm`` the rollout then pauses.
    """

    kind: Kind = "rolling"
    min_healthy_s: Annotated[float, Meta(ge=0, le=86_400)] = 5.0
    max_failures: Annotated[int, Meta(ge=0)] = 0
    canary_s: Annotated[float, Meta(ge=0, le=86_400)] = 60.0
    confirm: bool = False


class RolloutPlan(Struct, frozen=True, kw_only=True):
    """From one target to another, one batch after the other. ``began``: Unix seconds."""

    id: str
    old: Target
    new: Target
    batches: list[list[Step]]
    strategy: Strategy = Strategy()
    began: float = 0.0

    @property
    def steps(self) -> Iterator[Step]:
        return (step for batch in self.batches for step in batch)


class Stage(StrEnum):
    """Where one agent is in a rollout."""

    PENDING = "pending"
    TRYING = "trying"
    DONE = "done"
    FAILED = "failed"
    """It could not be brought to the new release and is (or is being put) as it was before."""
    RETURNED = "returned"


class Course(StrEnum):
    """Where a rollout is."""

    RUNNING = "running"
    PAUSED = "paused"
    RETURNING = "returning"
    DONE = "done"
    RETURNED = "returned"
    STUCK = "stuck"
    """Not everything could be returned; a person has to look."""


ACTIVE = frozenset({Course.RUNNING, Course.PAUSED, Course.RETURNING})


class RolloutState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a rollout is. An agent that is not in ``stages`` is pending; ``failures`` says why, by agent."""

    course: Course = Course.RUNNING
    stages: dict[str, Stage] = {}
    failures: dict[str, str] = {}
    remarks: dict[str, str] = {}
    """What a person should know of an agent, though it is no failure of the new release."""
    unreturned: tuple[str, ...] = ()
    """Agents that could not be put back as they were."""
    note: str = ""
    passed: int = 0
    """Batches after which it has paused already."""
    ended: float | None = None

    def stage(self, agent: str) -> Stage:
        return self.stages.get(agent, Stage.PENDING)

    @property
    def is_active(self) -> bool:
        return self.course in ACTIVE


def set_stage(state: RolloutState, agent: str, stage: Stage) -> RolloutState:
    return replace(state, stages=state.stages | {agent: stage})


def next_batch(plan: RolloutPlan, state: RolloutState) -> list[Step]:
    """What is to be done now: the open steps of the first batch that has any; nothing when all is done."""
    open_stages = (Stage.PENDING, Stage.TRYING)
    for batch in plan.batches:
        if left := [step for step in batch if state.stage(step.agent) in open_stages]:
            return left
    return []


def must_confirm(plan: RolloutPlan, state: RolloutState) -> bool:
    """Whether the canaries are through and a person has to say that it may go on."""
    if plan.strategy.kind != "canary" or not plan.strategy.confirm or state.passed or len(plan.batches) < 2:
        return False
    return all(state.stage(step.agent) not in (Stage.PENDING, Stage.TRYING) for step in plan.batches[0])


def fail(plan: RolloutPlan, state: RolloutState, agent: str, why: str) -> RolloutState:
    """Count a failure of ``agent``; one more than the budget turns the rollout round.

    An agent that was through already counts too, and is returned with the others.
    """
    stage = Stage.DONE if state.stage(agent) is Stage.DONE else Stage.FAILED
    state = replace(set_stage(state, agent, stage), failures=state.failures | {agent: why})
    if state.course in (Course.RUNNING, Course.PAUSED) and len(state.failures) > plan.strategy.max_failures:
        return turn(state, f"{agent}: {why}")
    return state


def turn(state: RolloutState, why: str) -> RolloutState:
    """Go back to where it came from."""
    return replace(state, course=Course.RETURNING, note=why)


def next_return(plan: RolloutPlan, state: RolloutState) -> list[Step]:
    """What is to be taken back now, the last batch first; nothing when nothing is left."""
    for batch in reversed(plan.batches):
        left = [undo(step) for step in batch if state.stage(step.agent) in (Stage.DONE, Stage.TRYING)]
        if left:
            return left[::-1]
    return []


def undo(step: Step) -> Step:
    """The step that takes ``step`` back; it is carried out from the new target to the old one."""
    return Step(step.agent, _UNDONE_BY.get(step.how, step.how), "returns to the release before")


def conclude(state: RolloutState, now: float) -> RolloutState:
    """The end, when no step is left. ``now``: Unix seconds."""
    if state.course is Course.RUNNING:
        return replace(state, course=Course.DONE, note="", ended=now)
    course = Course.STUCK if state.unreturned else Course.RETURNED
    return replace(state, course=course, ended=now)


def current_of(
    plan: RolloutPlan, state: RolloutState, machine: str
) -> dict[str, tuple[AgentConfig, Release]]:
    """What each agent of the machine is made of, as far as the rollout is, by bare name."""
    old = {agent.name: agent for agent in plan.old.fleet.on(machine)}
    new = {agent.name: agent for agent in plan.new.fleet.on(machine)}
    found: dict[str, tuple[AgentConfig, Release]] = {}
    for name in {**old, **new}:
        is_new = state.course is Course.DONE or state.stage(name) is Stage.DONE
        config = (new if is_new else old).get(name)
        if config is not None:
            found[name] = (config, (plan.new if is_new else plan.old).release)
    return found


def made_in(target: Target, machine: str, agent: str) -> tuple[AgentConfig, Release] | None:
    """What an agent (bare name) of the machine is made of in ``target``; None when it is not in there."""
    config = target.fleet.agents.get(f"{agent}@{machine}")
    return None if config is None else (config, target.release)


def joined(plan: RolloutPlan, configs: Iterable[AgentConfig]) -> Fleet:
    """The new fleet, with ``configs`` in place of, or besides, its own."""
    return replace(
        plan.new.fleet, agents=plan.new.fleet.agents | {str(config.id): config for config in configs}
    )


class Standing(Struct, frozen=True, kw_only=True):
    """``proven``: targets that were current once, newest first. ``rollout``: the last that came to its end."""

    current: Target
    proven: list[Target] = []
    rollout: str = ""


def after(before: Standing, plan: RolloutPlan) -> Standing:
    """How things stand when ``plan`` is through. Who goes back leaves everything since behind."""
    names = [target.release.name for target in before.proven]
    if plan.new.release.name in names:
        proven = before.proven[names.index(plan.new.release.name) + 1 :]
    else:
        proven = [plan.old, *before.proven][:KEPT_TARGETS]
    return Standing(current=plan.new, proven=proven, rollout=plan.id)
