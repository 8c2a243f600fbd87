from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tandem.core.health import Status
from tandem.supervise import lifecycle_doc
from tandem.supervise.decide import KILL_AGAIN_S, LAST_WORDS_S, TABLE, decide
from tandem.supervise.lifecycle import (
    EVENTS,
    SERVING,
    Abort,
    Action,
    AgentState,
    Breaker,
    CheckNeeds,
    CloseSockets,
    DeadlinePassed,
    Emptied,
    Ending,
    Escalate,
    Event,
    Exit,
    Exited,
    Extended,
    Goal,
    Kill,
    Leaving,
    NeedBack,
    NeedLost,
    NeedsMet,
    Outgrew,
    Overran,
    Phase,
    Policy,
    Ready,
    Regroup,
    Reported,
    Restart,
    Spawn,
    SpawnFailed,
    Start,
    Stop,
    Terminate,
    Unborn,
    Unresponsive,
    Withdraw,
)

I = "i1"  # noqa: E741 - the instance


class Story:
    """One agent's life told event by event."""

    def __init__(self, state: AgentState | None = None, now: float = 1000.0):
        self.state = state or AgentState()
        self.now = now
        self.actions: tuple[Action, ...] = ()

    def on(self, event: Event, after: float = 0.0, jitter: float = 0.5) -> Story:
        self.now += after
        decision = decide(self.state, event, self.now, jitter)
        self.state, self.actions = decision.state, decision.actions
        return self

    def started(self, instance: str = I) -> Story:
        return self.on(Start()).on(NeedsMet(instance))

    def healthy(self, instance: str = I) -> Story:
        return self.started(instance).on(Ready(instance))

    def dies(
        self, code: int | None = 1, after: float = 0.0, empty: bool = True, signal: int | None = None
    ) -> Story:
        self.now += after
        return self.on(Exited(self.state.instance, Exit(at=self.now, code=code, signal=signal), empty))

    def reborn(self, instance: str) -> Story:
        return self.on(NeedsMet(instance)).on(Ready(instance))


def test_start_goes_through_waiting_to_healthy() -> None:
    """A start asks for the needs, spawns once they are met, and READY makes it healthy."""
    story = Story().on(Start())
    assert story.state.phase is Phase.WAITING and story.actions == (CheckNeeds(),)
    story.on(NeedsMet(I))
    assert story.state.phase is Phase.STARTING and story.actions == (Spawn(I),)
    story.on(Ready(I), after=0.25)
    assert story.state.phase is Phase.HEALTHY and story.actions == ()
    assert story.state.ready_after_s == 0.25 and story.state.deadline is None


def test_death_after_stable_service_restarts_at_once() -> None:
    """A death after ten seconds in service leads straight back to waiting, with no delay and no quick death counted."""
    story = Story().healthy().dies(after=10.0)
    assert story.state.phase is Phase.WAITING and story.state.quick_deaths == 0
    assert story.actions == (Withdraw(I), CheckNeeds()) and story.state.restarts == 1


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


@pytest.mark.parametrize("ready", [True, False])
def test_stop_is_term_then_grace_then_kill_until_the_group_is_empty(ready: bool) -> None:
    """TERM, KILL when the grace is over and again every five seconds, and stopped only when nothing is left."""
    story = (Story().healthy() if ready else Story().started()).on(Stop())
    assert story.actions == (Terminate(I),)
    assert story.state.phase is (Phase.DRAINING if ready else Phase.STOPPING)
    assert story.state.deadline == story.now + 10.0
    story.on(DeadlinePassed(), after=10.0)
    assert story.actions == (Kill(I),) and story.state.phase is Phase.STOPPING
    story.on(DeadlinePassed(), after=KILL_AGAIN_S)
    assert story.actions == (Kill(I),)
    story.dies(code=None, signal=9, empty=False)
    assert story.state.phase is Phase.STOPPING
    story.on(Emptied(I))
    assert story.state.phase is Phase.STOPPED and story.actions == (Withdraw(I), CloseSockets())


def test_children_have_the_rest_of_the_grace_after_the_leader_left() -> None:
    """When the leader ends on TERM and a child stays, the child gets KILL at the end of the grace, not earlier."""
    story = Story().healthy().on(Stop()).dies(code=0, after=1.0, empty=False)
    assert story.state.phase is Phase.STOPPING and story.actions == ()
    assert story.on(DeadlinePassed(), after=9.0).actions == (Kill(I),)


def test_a_crash_kills_what_is_left_of_the_group_before_the_restart() -> None:
    """No new instance starts while a child of the dead one lives; the crash still counts as a death."""
    story = Story().healthy().dies(empty=False)
    assert story.state.phase is Phase.STOPPING and story.actions == (Kill(I),)
    story.on(Emptied(I))
    assert story.state.phase is Phase.WAITING and story.state.quick_deaths == 1


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
    story = Story().started().on(Extended(I, 300.0))
    assert story.state.deadline == story.now + 300.0
    assert story.on(Extended(I, 1.0)).state.deadline == story.now + 300.0


def test_operator_stop_wins_over_the_retry_timer() -> None:
    """Stop during the delay leaves it stopped; the old deadline does nothing afterwards."""
    story = Story().started().dies().on(NeedsMet("b")).dies()
    assert story.state.phase is Phase.BACKOFF
    story.on(Stop())
    assert story.state.phase is Phase.STOPPED and story.state.deadline is None
    assert story.on(DeadlinePassed(), after=60.0).actions == () and story.state.phase is Phase.STOPPED


def test_stop_wins_while_a_crash_is_being_cleaned_up() -> None:
    """An operator's stop that arrives between a crash and its restart prevents the restart."""
    story = Story().healthy().dies(empty=False).on(Stop()).on(Emptied(I))
    assert story.state.phase is Phase.STOPPED


def test_needs_met_after_a_stop_starts_nothing() -> None:
    """A stop while waiting wins over needs that are met a moment later."""
    story = Story().on(Start()).on(Stop()).on(NeedsMet(I))
    assert story.state.phase is Phase.STOPPED and story.actions == ()


def test_restart_counts_as_no_death_and_respects_the_needs() -> None:
    """An operator's restart drains, then waits for needs again, and leaves the counters at zero."""
    story = Story().healthy().on(Restart()).dies(code=0)
    assert story.state.phase is Phase.WAITING and story.actions == (Withdraw(I), CheckNeeds())
    assert (story.state.restarts, story.state.quick_deaths, story.state.deaths) == (0, 0, ())


def test_start_during_a_stop_starts_anew_afterwards() -> None:
    """The operator's last word counts."""
    story = Story().healthy().on(Stop()).on(Start())
    assert story.state.goal is Goal.RUN
    assert story.dies(code=0).state.phase is Phase.WAITING


def test_unresponsive_writes_its_last_words_and_is_killed() -> None:
    """A process that gives no sign of life is killed without grace, and its death counts."""
    story = Story().healthy().on(Unresponsive(I, "silent for 11 s"))
    assert story.actions == (Abort(I),) and story.state.phase is Phase.STOPPING
    assert story.state.note == "silent for 11 s"
    assert story.on(DeadlinePassed(), after=LAST_WORDS_S).actions == (Kill(I),)
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
    over = Story().healthy().on(Overran(I, "too many"))
    assert over.actions == (Kill(I),) and over.dies(code=None, signal=9).state.quick_deaths == 1
    large = Story().healthy().on(Outgrew(I, "600 MiB"))
    assert large.actions == (Terminate(I),) and large.state.phase is Phase.DRAINING
    assert large.dies(code=0, after=1.0).state.quick_deaths == 1


@pytest.mark.parametrize(
    ("policy", "lost", "back"),
    [("degrade", False, False), ("wait", True, False), ("restart", False, True)],
)
def test_dependencies_that_come_and_go(policy: str, lost: bool, back: bool) -> None:
    """``wait`` ends it when a need goes, ``restart`` when it is back, ``degrade`` never; none of it is a death."""
    for event, ends in ((NeedLost("Db"), lost), (NeedBack("Db"), back)):
        story = Story(AgentState(policy=Policy(on_dependency=policy))).healthy().on(event)
        assert (story.actions == (Terminate(I),)) == ends
        if ends:
            story.dies(code=0)
            assert story.state.phase is Phase.WAITING and CheckNeeds() in story.actions
            assert (story.state.quick_deaths, story.state.restarts, story.state.deaths) == (0, 0, ())


def test_waiting_for_a_dependency_pre_empts_a_start() -> None:
    """``wait`` also ends a start that has not come to READY; an operator's stop during that still wins."""
    story = Story(AgentState(policy=Policy(on_dependency="wait"))).started().on(NeedLost("Db"))
    assert story.actions == (Terminate(I),) and story.state.phase is Phase.STOPPING
    assert story.on(Stop()).dies(code=0).state.phase is Phase.STOPPED


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


def test_the_operator_closes_the_breaker() -> None:
    """A start by hand forgets the deaths."""
    story = Story(AgentState(policy=Policy(intensity=1))).healthy().dies()
    assert story.state.breaker is Breaker.OPEN
    assert story.on(Start()).state.breaker is Breaker.CLOSED


@pytest.mark.parametrize("status", [Status.HEALTHY, Status.DEGRADED, Status.UNHEALTHY])
def test_reports_move_between_the_serving_phases(status: Status) -> None:
    """What the agent says about itself is its phase."""
    story = Story().healthy().on(Reported(I, status, ("no microphone",)))
    assert story.state.phase == status and story.state.issues == ("no microphone",)


def test_a_report_does_not_make_it_ready() -> None:
    """Health told while starting is shown, but only READY ends the start."""
    story = Story().started().on(Reported(I, Status.HEALTHY, ("loading",)))
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
    story = Story().started().on(Reported(I, status, issues)).on(Ready(I))
    assert (story.state.phase, story.state.issues) == (phase, issues)
    story.dies(after=20.0).reborn("i2")
    assert (story.state.phase, story.state.issues) == (Phase.HEALTHY, ())


def test_an_agent_that_leaves_by_itself_is_restarted() -> None:
    """STOPPING=1 without an operator's stop drains, and the end counts as a death."""
    story = Story().healthy().on(Leaving(I))
    assert story.state.phase is Phase.DRAINING and story.actions == ()
    assert story.dies(code=0).state.phase is Phase.WAITING


def test_spawn_failure_backs_off_like_a_death() -> None:
    """An agent that cannot be made waits longer each time and shows why."""
    story = (
        Story()
        .started()
        .on(SpawnFailed(I, "no such file"))
        .on(NeedsMet("b"))
        .on(SpawnFailed("b", "no such file"))
    )
    assert story.state.phase is Phase.BACKOFF
    assert "no such file" in story.state.note and story.state.exit == Exit(at=story.now, error="no such file")


def test_stop_before_the_spawn_was_answered() -> None:
    """A stop pre-empts a start whose process could not be made."""
    story = Story().started().on(Stop()).on(SpawnFailed(I, "zygote gone"))
    assert story.state.phase is Phase.STOPPED


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
    assert story.state.ending is Ending.LATE and story.actions == (Kill(I),)
    story.on(Unborn(I))
    assert story.state.phase is Phase.WAITING and story.state.restarts == story.state.quick_deaths == 0


@pytest.mark.parametrize(("order", "phase"), [(Stop(), Phase.STOPPED), (Restart(), Phase.WAITING)])
def test_an_order_holds_for_the_unborn(order: Event, phase: Phase) -> None:
    """Stopped before it was born it stays stopped; restarted it is born later."""
    assert Story().started().on(order).on(Unborn(I)).state.phase is phase


@pytest.mark.parametrize("event", [Ready, Leaving, Unresponsive, Emptied])
def test_news_of_an_older_instance_changes_nothing(event: type[Event]) -> None:
    """Events that carry another instance's identity are ignored in every phase."""
    for phase in Phase:
        state = AgentState(phase=phase, instance="new")
        assert decide(state, event("old"), 5.0).state == state


def test_the_table_names_only_known_phases_and_events() -> None:
    """Every phase has a row and every column is a declared event."""
    assert set(TABLE) == set(Phase)
    assert {event for row in TABLE.values() for event in row} <= set(EVENTS)
    assert all(TABLE[phase].keys() >= {Stop, Restart, Exited} for phase in SERVING)


def test_a_pair_outside_the_table_changes_nothing() -> None:
    """Invalid agents ignore everything, even a start."""
    state = AgentState(phase=Phase.INVALID, note="bad port")
    assert decide(state, Start(), 1.0).state == state


def test_exit_descriptions_are_in_words() -> None:
    """Exit causes name the code, the signal or the reason there was no process."""
    assert Exit(at=0, code=3).describe() == "exit code 3"
    assert Exit(at=0, signal=9).describe() == "killed by SIGKILL"
    assert Exit(at=0, signal=250).describe() == "killed by signal 250"
    assert Exit(at=0, code=78).describe() == "configuration error (exit code 78)"
    assert Exit(at=0, error="no such file").describe() == "could not be started: no such file"


def test_the_lifecycle_page_is_current() -> None:
    """docs/lifecycle.md is what the table renders to; run ``python -m tandem.supervise.lifecycle_doc docs/lifecycle.md``."""
    page = Path(__file__).parents[3] / "docs" / "lifecycle.md"
    assert page.read_text(encoding="utf-8") == lifecycle_doc.render()
