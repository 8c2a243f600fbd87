"""Starts, reports and needs: what makes an agent READY, and a zygote that ends meanwhile."""

from __future__ import annotations

import pytest
from story import FIRST, Story

from tandem.core.health import Status
from tandem.supervise.lifecycle import (
    AgentState,
    Breaker,
    CheckNeeds,
    DeadlinePassed,
    Ending,
    Extended,
    Kill,
    NeedBack,
    NeedLost,
    NeedsMet,
    Phase,
    Policy,
    Ready,
    Reported,
    Spawn,
    Start,
    Stop,
    Terminate,
    Unborn,
    Withdraw,
)


def test_start_goes_through_waiting_to_healthy() -> None:
    """A start asks for the needs, spawns once they are met, and READY makes it healthy."""
    story = Story().on(Start())
    assert story.state.phase is Phase.WAITING and story.actions == (CheckNeeds(),)
    story.on(NeedsMet(FIRST))
    assert story.state.phase is Phase.STARTING and story.actions == (Spawn(FIRST),)
    story.on(Ready(FIRST), after=0.25)
    assert story.state.phase is Phase.HEALTHY and story.actions == ()
    assert story.state.ready_after_s == 0.25 and story.state.deadline is None


def test_start_deadline_kills_and_counts_as_a_death() -> None:
    """An agent that is never ready gets KILL at its start deadline and backs off the second time."""
    story = Story().started()
    for instance, phase in (("b", Phase.WAITING), ("c", Phase.BACKOFF)):
        story.on(DeadlinePassed(), after=60.0)
        assert story.actions == (Kill(story.state.instance),) and story.state.ending is Ending.LATE
        story.dies(code=None, signal=9)
        assert story.state.phase is phase
        story.on(NeedsMet(instance))
    assert "not ready in time" in story.state.note


def test_the_start_deadline_can_be_extended_but_not_shortened() -> None:
    """EXTEND_TIMEOUT_USEC moves the deadline to at least that far from now."""
    story = Story().started().on(Extended(FIRST, 300.0))
    assert story.state.deadline == story.now + 300.0
    assert story.on(Extended(FIRST, 1.0)).state.deadline == story.now + 300.0


@pytest.mark.parametrize(
    ("policy", "lost", "back"),
    [("degrade", False, False), ("wait", True, False), ("restart", False, True)],
)
def test_dependencies_that_come_and_go(policy: str, lost: bool, back: bool) -> None:
    """``wait`` ends it when a need goes, ``restart`` when it is back, ``degrade`` never; none of it is a death."""
    for event, ends in ((NeedLost("Db"), lost), (NeedBack("Db"), back)):
        story = Story(AgentState(policy=Policy(on_dependency=policy))).healthy().on(event)
        assert (story.actions == (Terminate(FIRST),)) == ends
        if ends:
            story.dies(code=0)
            assert story.state.phase is Phase.WAITING and CheckNeeds() in story.actions
            assert (story.state.quick_deaths, story.state.restarts, story.state.deaths) == (0, 0, ())


def test_waiting_for_a_dependency_pre_empts_a_start() -> None:
    """``wait`` also ends a start that has not come to READY; an operator's stop during that still wins."""
    story = Story(AgentState(policy=Policy(on_dependency="wait"))).started().on(NeedLost("Db"))
    assert story.actions == (Terminate(FIRST),) and story.state.phase is Phase.STOPPING
    assert story.on(Stop()).dies(code=0).state.phase is Phase.STOPPED


@pytest.mark.parametrize("status", [Status.HEALTHY, Status.DEGRADED, Status.UNHEALTHY])
def test_reports_move_between_the_serving_phases(status: Status) -> None:
    """What the agent says about itself is its phase."""
    story = Story().healthy().on(Reported(FIRST, status, ("no microphone",)))
    assert story.state.phase == status and story.state.issues == ("no microphone",)


def test_a_report_does_not_make_it_ready() -> None:
    """Health told while starting is shown, but only READY ends the start."""
    story = Story().started().on(Reported(FIRST, Status.HEALTHY, ("loading",)))
    assert story.state.phase is Phase.STARTING and story.state.issues == ("loading",)


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        (Status.UNHEALTHY, Phase.UNHEALTHY),
        (Status.DEGRADED, Phase.DEGRADED),
        (Status.HEALTHY, Phase.HEALTHY),
    ],
)
def test_ready_is_as_healthy_as_it_said(status: Status, phase: Phase) -> None:
    """What an agent said about itself before READY holds from READY on; a new instance begins without it."""
    issues = () if status is Status.HEALTHY else ("no model",)
    story = Story().started().on(Reported(FIRST, status, issues)).on(Ready(FIRST))
    assert (story.state.phase, story.state.issues) == (phase, issues)
    story.dies(after=20.0).reborn("i2")
    assert (story.state.phase, story.state.issues) == (Phase.HEALTHY, ())


def test_the_end_of_the_zygote_is_no_death_of_the_unborn() -> None:
    """Who waits to be forked when the zygote ends asks again at once, however often, with nothing on record."""
    story = Story().started("n0")
    for n in range(50):
        story.on(Unborn(f"n{n}"))
        assert story.state.phase is Phase.WAITING and story.actions == (Withdraw(f"n{n}"), CheckNeeds())
        story.on(NeedsMet(f"n{n + 1}"))
    story.on(Ready("n50"))
    state = story.state
    assert (state.restarts, state.quick_deaths, state.deaths, state.exit) == (0, 0, (), None)
    assert state.breaker is Breaker.CLOSED and state.phase is Phase.HEALTHY


def test_the_end_of_the_zygote_keeps_earlier_deaths_in_mind() -> None:
    """An agent that has died before keeps its record while it is born anew: neither more nor less."""
    story = Story().healthy().dies().on(NeedsMet("b")).on(Unborn("b"))
    assert (story.state.restarts, story.state.quick_deaths) == (1, 1)
    assert story.state.phase is Phase.WAITING and story.state.exit.code == 1


def test_a_zygote_that_made_its_child_late_is_not_the_childs_fault() -> None:
    """The start deadline passed since the zygote hung: when that is replaced, the agent is born without a mark."""
    story = Story().started().on(DeadlinePassed(), after=60.0)
    assert story.state.ending is Ending.LATE and story.actions == (Kill(FIRST),)
    story.on(Unborn(FIRST))
    assert story.state.phase is Phase.WAITING and story.state.restarts == story.state.quick_deaths == 0
