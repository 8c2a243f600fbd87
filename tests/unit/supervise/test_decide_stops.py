"""The operator's stops, starts and restarts against whatever else happens to an agent."""

from __future__ import annotations

import pytest
from story import FIRST, Story

from tandem.supervise.decide import KILL_AGAIN_S
from tandem.supervise.lifecycle import (
    AgentState,
    Breaker,
    CheckNeeds,
    CloseSockets,
    DeadlinePassed,
    Emptied,
    Event,
    Goal,
    Kill,
    NeedsMet,
    Phase,
    Policy,
    Ready,
    Regroup,
    Restart,
    SpawnFailed,
    Start,
    Stop,
    Terminate,
    Unborn,
    Withdraw,
)


@pytest.mark.parametrize("phase", ["starting", "serving", "backoff", "waiting"])
def test_a_group_restart_is_no_death_and_the_operator_wins_over_it(phase: str) -> None:
    """Whoever runs ends with its grace and waits for its needs anew, counters as they were; a stop meanwhile holds."""
    story = Story().healthy().dies().reborn("b")
    match phase:
        case "starting":
            story = Story().healthy().dies().on(NeedsMet("b"))
        case "backoff":
            story.dies()
        case "waiting":
            story = Story().healthy().dies()
    counted = (story.state.quick_deaths, story.state.restarts, story.state.deaths)
    before = story.state
    story.on(Regroup("its group g is restarted, since X died too often"))
    if phase in ("starting", "serving"):
        assert story.actions == (Terminate("b"),) and "since X died too often" in story.state.note
        assert Story(story.state, story.now).on(Stop()).dies(code=0).state.phase is Phase.STOPPED
        story.dies(code=0)
    elif phase == "waiting":
        assert story.state == before
    assert story.state.phase is Phase.WAITING
    assert (story.state.quick_deaths, story.state.restarts, story.state.deaths) == counted


@pytest.mark.parametrize("phase", ["starting", "waiting", "serving"])
@pytest.mark.parametrize("event", [Start(), Restart()])
def test_the_operators_word_forgets_deaths_at_once(phase: str, event: Event) -> None:
    """Not only when the old process is gone: who waits for the outcome must not count what was before."""
    story = Story().started().dies().on(NeedsMet("b")).dies().on(DeadlinePassed(), after=1.0)
    if phase != "waiting":
        story.on(NeedsMet("c"))
    if phase == "serving":
        story.on(Ready("c"))
    story.on(event)
    forgets = phase != "serving" or event == Restart()
    assert (story.state.quick_deaths, story.state.restarts) == ((0, 0) if forgets else (2, 2))


@pytest.mark.parametrize("ready", [True, False])
def test_stop_is_term_then_grace_then_kill_until_the_group_is_empty(ready: bool) -> None:
    """TERM, KILL when the grace is over and again every five seconds, and stopped only when nothing is left."""
    story = (Story().healthy() if ready else Story().started()).on(Stop())
    assert story.actions == (Terminate(FIRST),)
    assert story.state.phase is (Phase.DRAINING if ready else Phase.STOPPING)
    assert story.state.deadline == story.now + 10.0
    story.on(DeadlinePassed(), after=10.0)
    assert story.actions == (Kill(FIRST),) and story.state.phase is Phase.STOPPING
    story.on(DeadlinePassed(), after=KILL_AGAIN_S)
    assert story.actions == (Kill(FIRST),)
    story.dies(code=None, signal=9, empty=False)
    assert story.state.phase is Phase.STOPPING
    story.on(Emptied(FIRST))
    assert story.state.phase is Phase.STOPPED and story.actions == (Withdraw(FIRST), CloseSockets())


def test_children_have_the_rest_of_the_grace_after_the_leader_left() -> None:
    """When the leader ends on TERM and a child stays, the child gets KILL at the end of the grace, not earlier."""
    story = Story().healthy().on(Stop()).dies(code=0, after=1.0, empty=False)
    assert story.state.phase is Phase.STOPPING and story.actions == ()
    assert story.on(DeadlinePassed(), after=9.0).actions == (Kill(FIRST),)


def test_operator_stop_wins_over_the_retry_timer() -> None:
    """Stop during the delay leaves it stopped; the old deadline does nothing afterwards."""
    story = Story().started().dies().on(NeedsMet("b")).dies()
    assert story.state.phase is Phase.BACKOFF
    story.on(Stop())
    assert story.state.phase is Phase.STOPPED and story.state.deadline is None
    assert story.on(DeadlinePassed(), after=60.0).actions == () and story.state.phase is Phase.STOPPED


def test_stop_wins_while_a_crash_is_being_cleaned_up() -> None:
    """An operator's stop that arrives between a crash and its restart prevents the restart."""
    story = Story().healthy().dies(empty=False).on(Stop()).on(Emptied(FIRST))
    assert story.state.phase is Phase.STOPPED


def test_needs_met_after_a_stop_starts_nothing() -> None:
    """A stop while waiting wins over needs that are met a moment later."""
    story = Story().on(Start()).on(Stop()).on(NeedsMet(FIRST))
    assert story.state.phase is Phase.STOPPED and story.actions == ()


def test_restart_counts_as_no_death_and_respects_the_needs() -> None:
    """An operator's restart drains, then waits for needs again, and leaves the counters at zero."""
    story = Story().healthy().on(Restart()).dies(code=0)
    assert story.state.phase is Phase.WAITING and story.actions == (Withdraw(FIRST), CheckNeeds())
    assert (story.state.restarts, story.state.quick_deaths, story.state.deaths) == (0, 0, ())


def test_start_during_a_stop_starts_anew_afterwards() -> None:
    """The operator's last word counts."""
    story = Story().healthy().on(Stop()).on(Start())
    assert story.state.goal is Goal.RUN
    assert story.dies(code=0).state.phase is Phase.WAITING


def test_the_operator_closes_the_breaker() -> None:
    """A start by hand forgets the deaths."""
    story = Story(AgentState(policy=Policy(intensity=1))).healthy().dies()
    assert story.state.breaker is Breaker.OPEN
    assert story.on(Start()).state.breaker is Breaker.CLOSED


def test_stop_before_the_spawn_was_answered() -> None:
    """A stop pre-empts a start whose process could not be made."""
    story = Story().started().on(Stop()).on(SpawnFailed(FIRST, "zygote gone"))
    assert story.state.phase is Phase.STOPPED


@pytest.mark.parametrize(("order", "phase"), [(Stop(), Phase.STOPPED), (Restart(), Phase.WAITING)])
def test_an_order_holds_for_the_unborn(order: Event, phase: Phase) -> None:
    """Stopped before it was born it stays stopped; restarted it is born later."""
    assert Story().started().on(order).on(Unborn(FIRST)).state.phase is phase
