"""What the command line and a node say to each other about releases."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tandem.supervise.release import Target
from tandem.supervise.rollout import Course, Kind, RolloutPlan, RolloutState, Stage

Steering = Literal["pause", "resume", "abort"]


class AskRelease(Struct, frozen=True, tag=True):
    """Answered by one :class:`ReleaseStatus`."""


class Roll(Struct, frozen=True, kw_only=True, tag=True):
    """Carry ``plan`` out. News follow until it is over or paused, then a :class:`ReleaseStatus`."""

    plan: RolloutPlan


class Follow(Struct, frozen=True, tag=True):
    """News of the rollout that is under way, until it is over or paused; then a :class:`ReleaseStatus`."""


class Steer(Struct, frozen=True, kw_only=True, tag=True):
    """``pause`` takes effect between two batches, ``abort`` at once: everything returns. Answered by :class:`ReleaseStatus`."""

    verb: Steering


class StepView(Struct, frozen=True, kw_only=True):
    """One agent in a rollout. ``remark``: why it failed, or what a person should know."""

    agent: str
    how: str
    why: str
    stage: Stage
    batch: int
    remark: str = ""


class RolloutView(Struct, frozen=True, kw_only=True, tag=True):
    """A rollout as people see it. ``began`` and ``ended`` are Unix seconds."""

    id: str
    machine: str
    old: str
    new: str
    kind: Kind
    course: Course
    note: str
    steps: list[StepView]
    began: float
    ended: float | None = None


class ReleaseStatus(Struct, frozen=True, kw_only=True, tag=True):
    """What one machine runs. ``proven`` are earlier targets that have served well, newest first.

    ``since`` is when its first process began, in Unix seconds: what the release ``dev`` was then.
    """

    machine: str
    current: Target
    proven: list[Target]
    since: float
    rollout: RolloutView | None = None


def view_of(plan: RolloutPlan, state: RolloutState, machine: str) -> RolloutView:
    """A rollout's plan and state in one."""
    steps = [
        StepView(
            agent=step.agent,
            how=step.how,
            why=step.why,
            stage=state.stage(step.agent),
            batch=number,
            remark=state.failures.get(step.agent) or state.remarks.get(step.agent, ""),
        )
        for number, batch in enumerate(plan.batches)
        for step in batch
    ]
    return RolloutView(
        id=plan.id,
        machine=machine,
        old=plan.old.release.name,
        new=plan.new.release.name,
        kind=plan.strategy.kind,
        course=state.course,
        note=state.note,
        steps=steps,
        began=plan.began,
        ended=state.ended,
    )
