from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tandem.agent.testing import virtual_time
from tandem.core import clock
from tandem.fleet.model import AgentConfig, Fleet
from tandem.supervise.gate import GROWTH_BYTES, Bar, NotWell, memory_verdict, stay_well
from tandem.supervise.lifecycle import Action, AgentState, Phase, Policy
from tandem.supervise.release import Release, Target
from tandem.supervise.rollout import (
    Course,
    RolloutPlan,
    RolloutState,
    Stage,
    Step,
    Strategy,
    conclude,
    current_of,
    fail,
    must_confirm,
    next_batch,
    next_return,
    set_stage,
    turn,
    undo,
)
from tandem.supervise.runner import Runner, Subject
from tandem.supervise.usage import Scales

A, B, C, GONE = Step("A", "surge"), Step("B", "handover"), Step("C", "start"), Step("Gone", "stop")


def target(name: str, *agents: str) -> Target:
    configs = [AgentConfig(name=a, machine="m", group="g", settings={"of": name}) for a in agents]
    return Target(release=Release(name=name), fleet=Fleet(name="f", agents={str(c.id): c for c in configs}))


PLAN = RolloutPlan(
    id="1", old=target("old", "A", "B", "Gone", "Still"), new=target("new", "A", "B", "C", "Still"),
    batches=[[A], [B, C], [GONE]],
)  # fmt: skip


def done(*agents: str, state: RolloutState | None = None) -> RolloutState:
    state = state or RolloutState()
    for agent in agents:
        state = set_stage(state, agent, Stage.DONE)
    return state


def test_batches_come_one_after_the_other() -> None:
    """A batch is over when nobody in it is pending or being tried; what failed within the budget is over too."""
    assert next_batch(PLAN, RolloutState()) == [A]
    assert next_batch(PLAN, done("A")) == [B, C]
    assert next_batch(PLAN, set_stage(done("A", "B"), "C", Stage.TRYING)) == [C]
    assert next_batch(PLAN, set_stage(done("A", "B"), "C", Stage.FAILED)) == [GONE]
    assert next_batch(PLAN, done("A", "B", "C", "Gone")) == []


def test_the_failure_budget() -> None:
    """Within the budget it goes on; one more turns it round, with the reason."""
    lenient = replace(PLAN, strategy=Strategy(max_failures=1))
    once = fail(lenient, done("A"), "B", "died")
    assert once.course is Course.RUNNING and once.stage("B") is Stage.FAILED
    twice = fail(lenient, once, "A", "died later")
    assert twice.course is Course.RETURNING and "died later" in twice.note
    assert twice.stage("A") is Stage.DONE, "it is returned with the others"


def test_the_way_back() -> None:
    """Last batch first; what was started is stopped, what was stopped is started; what failed is left alone."""
    state = turn(set_stage(done("A", "C", "Gone"), "B", Stage.FAILED), "no good")
    assert [(s.agent, s.how) for s in next_return(PLAN, state)] == [("Gone", "start")]
    state = set_stage(state, "Gone", Stage.RETURNED)
    assert [(s.agent, s.how) for s in next_return(PLAN, state)] == [("C", "stop")]
    state = set_stage(state, "C", Stage.RETURNED)
    assert [s.agent for s in next_return(PLAN, state)] == ["A"]
    assert undo(A).how == "surge"


def test_canaries_are_confirmed_once() -> None:
    """Only a canary rollout that asks for it waits, only when its first batch is through, and only once."""
    canary = replace(PLAN, strategy=Strategy(kind="canary", confirm=True))
    assert not must_confirm(canary, RolloutState()) and must_confirm(canary, done("A"))
    assert not must_confirm(canary, replace(done("A"), passed=1)) and not must_confirm(PLAN, done("A"))


def test_the_end() -> None:
    """Running ends done, returning ends returned, and stuck when something could not be put back."""
    assert conclude(RolloutState(), 1.0).course is Course.DONE
    assert conclude(turn(RolloutState(), ""), 1.0).course is Course.RETURNED
    assert conclude(replace(turn(RolloutState(), ""), unreturned=("A",)), 1.0).course is Course.STUCK


def test_what_each_agent_is_made_of() -> None:
    """Agents that are through have the new entry and release, all others the old one; at the end all have the new."""
    halfway = {name: made[1].name for name, made in current_of(PLAN, done("A", "Gone"), "m").items()}
    assert halfway == {"A": "new", "B": "old", "Still": "old"}
    over = current_of(PLAN, replace(RolloutState(), course=Course.DONE), "m")
    assert {name: made[1].name for name, made in over.items()} == dict.fromkeys("ABC", "new") | {"Still": "new"}
    assert over["A"][0].settings == {"of": "new"}


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.booleans()), max_size=12), st.integers(0, 2))
def test_every_rollout_ends(outcomes: list[tuple[str, bool]], budget: int) -> None:
    """Whatever succeeds or fails: all is on one side or the other at the end, and nobody is left being tried."""
    plan = replace(PLAN, strategy=Strategy(max_failures=budget))
    fates = dict(outcomes)
    state = RolloutState()
    while state.course is Course.RUNNING and (batch := next_batch(plan, state)):
        for step in batch:
            good = fates.get(step.agent, True)
            state = set_stage(state, step.agent, Stage.DONE) if good else fail(plan, state, step.agent, "no")
    while state.course is Course.RETURNING and (back := next_return(plan, state)):
        for step in back:
            state = set_stage(state, step.agent, Stage.RETURNED)
    state = conclude(state, 1.0)
    failures = sum(not good for good in fates.values())
    assert state.course is (Course.RETURNED if failures > budget else Course.DONE)
    assert Stage.TRYING not in state.stages.values()
    if state.course is Course.RETURNED:
        assert Stage.DONE not in state.stages.values()


@pytest.mark.parametrize(
    ("used", "bar", "limit", "word"),
    [
        (100, 0, None, ""),
        (300 << 20, 0, 200, "limit is 200"),
        (100 << 20, 0, 200, ""),
        (2 * (50 << 20) + GROWTH_BYTES, 50 << 20, None, ""),
        (2 * (50 << 20) + GROWTH_BYTES + 1, 50 << 20, None, "the one before took 50 MiB"),
    ],
)
def test_the_memory_gate(used: int, bar: int, limit: int | None, word: str) -> None:
    """A declared limit counts exactly; without one, twice the old instance's memory and 256 MiB more."""
    found = memory_verdict(used, Bar(memory=bar), limit)
    assert (word in found) if word else not found


def test_the_health_gate() -> None:
    """Degraded is admitted, unhealthy only where the old instance was; who does not serve never is."""
    assert Bar().admits(Phase.DEGRADED) and not Bar().admits(Phase.UNHEALTHY)
    assert Bar(phase=Phase.UNHEALTHY).admits(Phase.UNHEALTHY) and not Bar().admits(Phase.STARTING)


class NoShell:
    """Nothing is carried out and nobody is told."""

    def perform(self, runner: Runner, action: Action) -> None:
        pass

    def moved(self, runner: Runner, before: AgentState) -> None:
        pass


def on_trial() -> tuple[Runner, asyncio.Task[None]]:
    """An instance that was just heard of, and its trial of five seconds."""
    policy = Policy()
    state = AgentState(policy=policy, phase=Phase.HEALTHY, instance="new")
    runner = Runner(Subject(name="A", kind="agent", policy=policy), NoShell(), state)
    runner.heard_at = clock.monotonic()
    return runner, asyncio.create_task(stay_well(runner, 5.0, Bar(), Scales(1.0)))


@virtual_time
async def test_who_is_silent_at_the_end_of_the_trial_is_waited_for() -> None:
    """An instance nobody hears of any more has not passed; heard of again, it has."""
    runner, trial = on_trial()
    await asyncio.sleep(8)
    assert not trial.done()
    runner.heard_at = clock.monotonic()
    await asyncio.wait_for(trial, 1)


@virtual_time
async def test_who_hangs_on_trial_does_not_pass() -> None:
    """It fell silent, was killed for it, and that is said instead of how it was killed."""
    runner, trial = on_trial()
    await asyncio.sleep(10)
    runner.heard_at, runner.state = None, replace(runner.state, phase=Phase.BACKOFF, restarts=1)
    with pytest.raises(NotWell, match="hung: no sign of life for 10 s"):
        await asyncio.wait_for(trial, 1)
