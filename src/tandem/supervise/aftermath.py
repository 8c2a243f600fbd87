"""What follows when nothing of an instance is left: pure, like :mod:`tandem.supervise.decide`, which asks it."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from tandem.supervise.lifecycle import (
    Action,
    AgentState,
    Breaker,
    CheckNeeds,
    CloseSockets,
    Decision,
    Ending,
    Escalate,
    Exit,
    Goal,
    Phase,
    Withdraw,
)


class Moment(Struct, frozen=True):
    """``now`` in monotonic seconds and a random number in [0, 1)."""

    now: float
    jitter: float


def wait_for_needs(state: AgentState, *actions: Action) -> Decision:
    """Wanted, without a process: start as soon as everything it needs is ready."""
    waiting = replace(
        state, phase=Phase.WAITING, deadline=None, ending=Ending.NONE, issues=(), note="", reason=""
    )
    return Decision(waiting, (*actions, CheckNeeds()))


def forgiven(state: AgentState) -> AgentState:
    """With its earlier deaths forgotten: the operator has taken the matter into their hands."""
    return replace(state, quick_deaths=0, deaths=(), restarts=0, breaker=Breaker.CLOSED)


def after_the_end(state: AgentState, at: Moment) -> Decision:
    """The group is empty: stopped, started again without a death, or treated as a death."""
    gone = Withdraw(state.instance)
    if state.goal is Goal.STOP:
        note = "stopped by the operator"
        stopped = replace(state, phase=Phase.STOPPED, deadline=None, issues=(), note=note, reason="")
        return Decision(stopped, (gone, CloseSockets()))
    if state.ending is Ending.OPERATOR:
        return wait_for_needs(forgiven(state), gone)
    if state.ending in (Ending.DEPENDENCY, Ending.GROUP):
        return wait_for_needs(state, gone)
    return _after_death(state, gone, at)


def _after_death(state: AgentState, gone: Withdraw, at: Moment) -> Decision:
    ended = state.exit or Exit(at=at.now)
    why = _why(state, ended)
    refusal = _not_retried(state, ended)
    if refusal:
        phase = Phase.STOPPED if ended.clean else Phase.FAILED
        note = f"{why}; {refusal}"
        over = replace(state, phase=phase, deadline=None, issues=(), note=note, reason="")
        return Decision(over, (gone, CloseSockets()))
    state, alarms = _count(state, ended, at)
    state = replace(state, restarts=state.restarts + 1)
    delay = _delay(state, at)
    if delay == 0.0:
        return wait_for_needs(state, gone, *alarms)
    resting = replace(
        state,
        phase=Phase.BACKOFF,
        deadline=at.now + delay,
        issues=(),
        note=f"{why}; tried again in {delay:.1f} s",
        reason="",
    )
    return Decision(resting, (gone, *alarms))


def _why(state: AgentState, ended: Exit) -> str:
    if state.ending is Ending.CRASH:
        return ended.describe()
    detail = f" ({state.reason})" if state.reason else ""
    return f"{state.ending}{detail}, {ended.describe()}"


def _not_retried(state: AgentState, ended: Exit) -> str:
    policy = state.policy
    if ended.configuration:
        return "not retried: mend the configuration, then start it"
    if policy.restart == "never":
        return "not restarted: its policy is never"
    if policy.restart == "on-failure" and ended.clean and state.ending is Ending.CRASH:
        return "finished: its policy is on-failure"
    if policy.give_up_after is not None and state.quick_deaths + 1 >= policy.give_up_after:
        return f"given up after {policy.give_up_after} quick deaths in a row"
    return ""


def _count(state: AgentState, ended: Exit, at: Moment) -> tuple[AgentState, tuple[Action, ...]]:
    """The death added to the books, and the alarm when there were too many: from then on the breaker is open.

    A quick death in the one try an open breaker allows is an alarm as well: what was done about the first one did not help.
    """
    policy = state.policy
    stable = state.is_stable(ended.at)
    quick = 0 if stable else state.quick_deaths + 1
    breaker = Breaker.CLOSED if stable else state.breaker
    recent = tuple(t for t in state.deaths if at.now - t < policy.intensity_window_s)
    deaths = (*recent, ended.at)
    count = max(len(deaths), quick)
    if breaker is Breaker.CLOSED and count < policy.intensity:
        return replace(state, quick_deaths=quick, deaths=deaths, breaker=breaker), ()
    tripped = replace(state, quick_deaths=quick, deaths=(), breaker=Breaker.OPEN)
    return tripped, (Escalate(count, breaker), CloseSockets())


def _delay(state: AgentState, at: Moment) -> float:
    """0 after a stable time in service and for the first quick death; then doubling, capped, with jitter."""
    policy = state.policy
    if state.breaker is Breaker.OPEN:
        return policy.max_delay_s * _varied(state, at)
    if state.quick_deaths < 2:
        return 0.0
    # The exponent is capped where every base has long reached the ceiling: floats overflow, agents may die for years.
    exponent = min(state.quick_deaths - 2, 64)
    delay = min(policy.first_delay_s * policy.delay_factor**exponent, policy.max_delay_s)
    return delay * _varied(state, at)


def _varied(state: AgentState, at: Moment) -> float:
    return 1 + state.policy.jitter * (2 * at.jitter - 1)
