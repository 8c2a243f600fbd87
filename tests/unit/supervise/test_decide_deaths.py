"""What follows a death: at once, after a delay, or never again; and who is told."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from story import FIRST, Story

from tandem.supervise.decide import LAST_WORDS_S
from tandem.supervise.lifecycle import (
    Abort,
    AgentState,
    Breaker,
    CheckNeeds,
    CloseSockets,
    DeadlinePassed,
    Emptied,
    Escalate,
    Exit,
    Exited,
    Kill,
    Leaving,
    NeedsMet,
    Outgrew,
    Overran,
    Phase,
    Policy,
    SpawnFailed,
    Start,
    Terminate,
    Unresponsive,
    Withdraw,
)


def test_death_after_stable_service_restarts_at_once() -> None:
    """A death after ten seconds in service leads straight back to waiting, with no delay and no quick death counted."""
    story = Story().healthy().dies(after=10.0)
    assert story.state.phase is Phase.WAITING and story.state.quick_deaths == 0
    assert story.actions == (Withdraw(FIRST), CheckNeeds()) and story.state.restarts == 1


def test_first_quick_death_restarts_at_once_and_the_next_ones_back_off() -> None:
    """Quick deaths in a row wait 0, 0.5, 1, 2, 4, 8, 16, 30, 30 seconds."""
    story = Story(AgentState(policy=Policy(intensity=1000))).healthy()
    delays = []
    for n in range(9):
        story.dies(after=0.1)
        delays.append(
            0.0 if story.state.phase is Phase.WAITING else round(story.state.deadline - story.now, 6)
        )
        if story.state.phase is Phase.BACKOFF:
            story.on(DeadlinePassed(), after=delays[-1])
            assert story.state.phase is Phase.WAITING
        story.reborn(f"n{n}")
    assert delays == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize(("jitter", "delay"), [(0.0, 0.4), (0.5, 0.5), (1.0, 0.6)])
def test_jitter_varies_the_delay_by_a_fifth(jitter: float, delay: float) -> None:
    """The random number moves the delay by at most 20 % in either direction."""
    story = Story().healthy().dies().reborn("b")
    story.on(Exited("b", Exit(at=story.now, code=1), True), jitter=jitter)
    assert story.state.deadline - story.now == pytest.approx(delay)


def test_it_never_gives_up_by_default() -> None:
    """After two hundred deaths in a row it still waits for the next try, at the ceiling."""
    story = Story().started()
    for n in range(200):
        story.dies()
        if story.state.phase is Phase.BACKOFF:
            story.on(DeadlinePassed(), after=60.0)
        story.on(NeedsMet(f"n{n}"))
    assert story.state.phase is Phase.STARTING
    story.dies()
    assert story.state.phase is Phase.BACKOFF and story.state.deadline - story.now == 30.0


def test_give_up_after_is_obeyed_when_the_fleet_file_sets_it() -> None:
    """With give_up_after 2 the second quick death leaves it failed, and says so."""
    story = Story(AgentState(policy=Policy(give_up_after=2))).healthy().dies().reborn("b").dies()
    assert story.state.phase is Phase.FAILED and "given up" in story.state.note
    assert story.actions == (Withdraw("b"), CloseSockets())


def test_ten_deaths_in_a_minute_escalate() -> None:
    """The tenth death within 60 s, good service between some of them or not, opens the breaker and closes the sockets."""
    story = Story().healthy()
    for n in range(10):
        story.state = replace(story.state, quick_deaths=0)
        story.dies(after=1.0)
        escalates = Escalate(10, Breaker.CLOSED) in story.actions
        assert escalates == (n == 9) == (CloseSockets() in story.actions)
        story.reborn(f"n{n}")
    assert story.state.breaker is Breaker.OPEN


def test_ten_quick_deaths_in_a_row_escalate_however_long_they_take() -> None:
    """The delays keep a hopeless agent below ten deaths a minute for ever; the tenth in a row is too many all the same."""
    story = Story().started()
    alarms = []
    for n in range(14):
        story.on(DeadlinePassed(), after=60.0).dies(code=None, signal=9)
        alarms += [(n, action) for action in story.actions if isinstance(action, Escalate)]
        if story.state.phase is Phase.BACKOFF:
            story.on(DeadlinePassed(), after=40.0)
        story.on(NeedsMet(f"n{n}"))
    assert alarms[0] == (9, Escalate(10, Breaker.CLOSED))
    assert [(n, action.was) for n, action in alarms[1:]] == [(n, Breaker.HALF_OPEN) for n in range(10, 14)]


def test_deaths_spread_over_more_than_a_minute_do_not_escalate() -> None:
    """Thirty deaths, one every seven seconds, are never ten in a minute."""
    story = Story().healthy()
    for n in range(30):
        story.state = replace(story.state, quick_deaths=0)
        story.dies(after=7.0)
        assert not any(isinstance(a, Escalate) for a in story.actions)
        story.reborn(f"n{n}")


def test_exit_78_is_not_retried() -> None:
    """A configuration error leaves the agent failed until somebody starts it."""
    story = Story().started().dies(code=78)
    assert story.state.phase is Phase.FAILED and "configuration" in story.state.note
    assert story.on(Start()).state.phase is Phase.WAITING


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        ("always", 0, Phase.WAITING), ("always", 1, Phase.WAITING),
        ("on-failure", 0, Phase.STOPPED), ("on-failure", 1, Phase.WAITING),
        ("never", 0, Phase.STOPPED), ("never", 1, Phase.FAILED),
    ],
)  # fmt: skip
def test_restart_policy(policy: str, code: int, phase: Phase) -> None:
    """always restarts, on-failure only after a failure, never does not; a clean end counts as stopped."""
    story = Story(AgentState(policy=Policy(restart=policy))).healthy().dies(code=code, after=20)
    assert story.state.phase is phase


def test_a_crash_kills_what_is_left_of_the_group_before_the_restart() -> None:
    """No new instance starts while a child of the dead one lives; the crash still counts as a death."""
    story = Story().healthy().dies(empty=False)
    assert story.state.phase is Phase.STOPPING and story.actions == (Kill(FIRST),)
    story.on(Emptied(FIRST))
    assert story.state.phase is Phase.WAITING and story.state.quick_deaths == 1


def test_unresponsive_writes_its_last_words_and_is_killed() -> None:
    """A process that gives no sign of life is killed without grace, and its death counts."""
    story = Story().healthy().on(Unresponsive(FIRST, "silent for 11 s"))
    assert story.actions == (Abort(FIRST),) and story.state.phase is Phase.STOPPING
    assert story.state.note == "silent for 11 s"
    assert story.on(DeadlinePassed(), after=LAST_WORDS_S).actions == (Kill(FIRST),)
    story.dies(code=None, signal=9)
    assert story.state.phase is Phase.WAITING and story.state.quick_deaths == 1


def test_the_reason_of_a_forced_end_stays_visible_while_it_rests() -> None:
    """Why it was killed is in the note of the back-off, with the exit and the delay."""
    story = Story().healthy().dies().reborn("b").on(Overran("b", "612 MiB of 512 MiB"))
    story.dies(code=None, signal=9)
    assert story.state.phase is Phase.BACKOFF
    assert story.state.note.startswith("over its limit (612 MiB of 512 MiB), killed by SIGKILL; tried again in")


def test_an_overrun_is_killed_at_once_and_an_outgrown_agent_may_finish() -> None:
    """A hard limit means KILL; the size for a restart means TERM with the grace. Both are deaths."""
    over = Story().healthy().on(Overran(FIRST, "too many"))
    assert over.actions == (Kill(FIRST),) and over.dies(code=None, signal=9).state.quick_deaths == 1
    large = Story().healthy().on(Outgrew(FIRST, "600 MiB"))
    assert large.actions == (Terminate(FIRST),) and large.state.phase is Phase.DRAINING
    assert large.dies(code=0, after=1.0).state.quick_deaths == 1


def test_the_breaker_opens_half_opens_and_closes() -> None:
    """Too many deaths open it; one try after the longest delay; a quick death opens it again, stable service closes it."""
    story = Story(AgentState(policy=Policy(intensity=2, intensity_window_s=5.0))).healthy().dies().reborn("b").dies()
    assert story.state.breaker is Breaker.OPEN and CloseSockets() in story.actions
    assert story.state.phase is Phase.BACKOFF and story.state.deadline == story.now + 30.0
    story.on(DeadlinePassed(), after=30.0).reborn("c")
    assert story.state.breaker_at(story.now) is Breaker.HALF_OPEN
    story.dies(after=9.0)
    assert story.state.breaker is Breaker.OPEN and story.state.deadline == story.now + 30.0
    story.on(DeadlinePassed(), after=30.0).reborn("d")
    assert story.state.breaker_at(story.now + 10.0) is Breaker.CLOSED
    story.dies(after=11.0)
    assert story.state.breaker is Breaker.CLOSED and story.state.phase is Phase.WAITING


def test_an_agent_that_leaves_by_itself_is_restarted() -> None:
    """STOPPING=1 without an operator's stop drains, and the end counts as a death."""
    story = Story().healthy().on(Leaving(FIRST))
    assert story.state.phase is Phase.DRAINING and story.actions == ()
    assert story.dies(code=0).state.phase is Phase.WAITING


def test_spawn_failure_backs_off_like_a_death() -> None:
    """An agent that cannot be made waits longer each time and shows why."""
    story = (
        Story()
        .started()
        .on(SpawnFailed(FIRST, "no such file"))
        .on(NeedsMet("b"))
        .on(SpawnFailed("b", "no such file"))
    )
    assert story.state.phase is Phase.BACKOFF
    assert "no such file" in story.state.note and story.state.exit == Exit(at=story.now, error="no such file")
