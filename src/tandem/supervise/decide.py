"""The rules of supervision, pure: no clock, no process, no I/O.

``decide(state, event, now, jitter)`` looks the pair (phase, event) up in ``TABLE`` and returns the next state
and what to do. ``docs/lifecycle.md`` is generated from the same table (``python -m tandem.supervise.lifecycle_doc``).

Three ideas carry it. Each phase has at most one deadline and it is part of the state, so a timer can never
fire for a phase that is over, and an operator's stop always wins over a pending retry. Every launch goes through
``waiting``, so a restart respects what the agent needs exactly as the first start does. And an instance is over
only when its process group is empty: there are never two instances of an agent.
"""

from __future__ import annotations

from msgspec.structs import replace

from tandem.core.health import Status
from tandem.supervise.aftermath import Moment, after_the_end, forgiven, wait_for_needs
from tandem.supervise.lifecycle import (
    Abort,
    AgentState,
    Breaker,
    CloseSockets,
    DeadlinePassed,
    Decision,
    Emptied,
    Ending,
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
    ProcessEvent,
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
)  # fmt: skip
from tandem.supervise.retiring import lose_need, lose_need_early, regain_need, regroup, regroup_early, renew
from tandem.supervise.rules import Rule, rule

LAST_WORDS_S = 0.3
"""How long a process that hangs has to write down where, before KILL."""

KILL_AGAIN_S = 5.0
"""A process may sit in uninterruptible sleep; KILL is repeated this often until its group is empty."""


def decide(state: AgentState, event: Event, now: float, jitter: float = 0.5) -> Decision:
    """The next state and the actions. A pair the table does not name, or news of an older process, changes nothing.

    ``now``: monotonic seconds. ``jitter``: random in [0, 1); 0.5 means none.
    """
    found = TABLE[state.phase].get(type(event))
    if found is None or _is_stale(state, event):
        return Decision(state)
    return found.apply(state, event, Moment(now, jitter))


def _is_stale(state: AgentState, event: Event) -> bool:
    if isinstance(event, NeedsMet) or not isinstance(event, ProcessEvent):
        return False
    return event.instance != state.instance


# ---- wanting and starting ----


@rule(Phase.WAITING)
def want(state: AgentState, event: Event, at: Moment) -> Decision:
    """Forget earlier deaths and wait for what it needs."""
    return wait_for_needs(forgiven(replace(state, goal=Goal.RUN)))


@rule(Phase.WAITING, Phase.STARTING)
def forgive(state: AgentState, event: Event, at: Moment) -> Decision:
    """It is on its way already; forget earlier deaths."""
    return Decision(forgiven(state))


@rule(Phase.WAITING)
def try_again(state: AgentState, event: Event, at: Moment) -> Decision:
    """Rested: wait for what it needs, then start; an open breaker is half-open from now on."""
    breaker = Breaker.CLOSED if state.breaker is Breaker.CLOSED else Breaker.HALF_OPEN
    return wait_for_needs(replace(state, breaker=breaker))


@rule(Phase.STARTING)
def launch(state: AgentState, event: NeedsMet, at: Moment) -> Decision:
    """Make the process; it has until the start deadline to say READY."""
    starting = replace(
        state,
        phase=Phase.STARTING,
        instance=event.instance,
        deadline=at.now + state.policy.start_timeout_s,
        launched_at=at.now,
        ready_at=None,
        said=Status.HEALTHY,
    )
    return Decision(starting, (Spawn(event.instance),))


@rule(Phase.STARTING)
def extend(state: AgentState, event: Extended, at: Moment) -> Decision:
    """Move the start deadline, never to an earlier time."""
    later = max(state.deadline or 0.0, at.now + event.seconds)
    return Decision(replace(state, deadline=later))


_RATED = {
    Status.HEALTHY: Phase.HEALTHY,
    Status.DEGRADED: Phase.DEGRADED,
    Status.UNHEALTHY: Phase.UNHEALTHY,
}


@rule(Phase.HEALTHY, Phase.DEGRADED, Phase.UNHEALTHY)
def serve(state: AgentState, event: Ready, at: Moment) -> Decision:
    """It is usable, as far as it has said so about itself while it started."""
    phase = _RATED.get(state.said, Phase.HEALTHY)
    return Decision(replace(state, phase=phase, deadline=None, ready_at=at.now, note=""))


@rule(Phase.STARTING)
def remark(state: AgentState, event: Reported, at: Moment) -> Decision:
    """Keep what it says about itself; only READY makes it ready."""
    return Decision(replace(state, said=event.status, issues=event.issues))


@rule(Phase.HEALTHY, Phase.DEGRADED, Phase.UNHEALTHY)
def rate(state: AgentState, event: Reported, at: Moment) -> Decision:
    """Believe what it says about itself."""
    return Decision(replace(state, phase=_RATED.get(event.status, state.phase), issues=event.issues))


# ---- ending ----


def _end(state: AgentState, event: Event, at: Moment, phase: Phase) -> Decision:
    stops = isinstance(event, Stop)
    ending = replace(
        state if stops else forgiven(state),
        phase=phase,
        goal=Goal.STOP if stops else Goal.RUN,
        ending=Ending.OPERATOR,
        reason="",
        note="",
        deadline=at.now + state.policy.stop_grace_s,
    )
    return Decision(ending, (Terminate(state.instance),))


@rule(Phase.STOPPING)
def break_off(state: AgentState, event: Event, at: Moment) -> Decision:
    """Stop pre-empts start: TERM, and KILL after the grace."""
    return _end(state, event, at, Phase.STOPPING)


@rule(Phase.DRAINING)
def drain(state: AgentState, event: Event, at: Moment) -> Decision:
    """TERM: it finishes what it has, for at most the grace."""
    return _end(state, event, at, Phase.DRAINING)


@rule(Phase.DRAINING)
def let_leave(state: AgentState, event: Leaving, at: Moment) -> Decision:
    """It ends by itself; give it the grace to finish."""
    leaving = replace(
        state,
        phase=Phase.DRAINING,
        ending=Ending.CRASH,
        deadline=at.now + state.policy.stop_grace_s,
        note="it announced its own end",
    )
    return Decision(leaving)


@rule(Phase.DRAINING, Phase.STOPPING)
def give_up_on(state: AgentState, event: Stop, at: Moment) -> Decision:
    """When it is gone, leave it stopped."""
    if state.phase is Phase.DRAINING and state.ending is not Ending.OPERATOR:
        return _end(state, event, at, Phase.DRAINING)
    return Decision(replace(state, goal=Goal.STOP))


@rule(Phase.DRAINING, Phase.STOPPING)
def want_again(state: AgentState, event: Event, at: Moment) -> Decision:
    """When it is gone, start it anew."""
    return Decision(forgiven(replace(state, goal=Goal.RUN, ending=Ending.OPERATOR)))


def _kill(state: AgentState, at: Moment) -> Decision:
    killed = replace(state, phase=Phase.STOPPING, deadline=at.now + KILL_AGAIN_S)
    return Decision(killed, (Kill(state.instance),))


@rule(Phase.STOPPING)
def kill_late(state: AgentState, event: Event, at: Moment) -> Decision:
    """It was not ready in time: KILL, which counts as a death."""
    return _kill(replace(state, ending=Ending.LATE), at)


@rule(Phase.STOPPING)
def kill_unresponsive(state: AgentState, event: Unresponsive, at: Moment) -> Decision:
    """It cannot be asked to finish: it may write down where it hangs, then KILL; counts as a death."""
    hung = replace(state, ending=Ending.UNRESPONSIVE, phase=Phase.STOPPING, reason=event.why, note=event.why)
    return Decision(replace(hung, deadline=at.now + LAST_WORDS_S), (Abort(state.instance),))


@rule(Phase.STOPPING)
def kill_overrun(state: AgentState, event: Overran, at: Moment) -> Decision:
    """It takes what is not its own: KILL at once, which counts as a death."""
    return _kill(replace(state, ending=Ending.OVERRAN, reason=event.why, note=event.why), at)


@rule(Phase.STOPPING)
def kill_rest(state: AgentState, event: Event, at: Moment) -> Decision:
    """The grace is over: KILL, again and again until nothing is left."""
    return _kill(state, at)


@rule(Phase.WAITING, Phase.BACKOFF, Phase.FAILED, Phase.STOPPED, Phase.STOPPING)
def bury(state: AgentState, event: Exited | SpawnFailed, at: Moment) -> Decision:
    """A death: KILL what is left of the group, then restart at once, after a delay, or not at all."""
    dead = replace(state, ending=Ending.CRASH)
    return _over(dead, event, at)


@rule(Phase.WAITING, Phase.BACKOFF, Phase.FAILED, Phase.STOPPED, Phase.STOPPING)
def conclude(state: AgentState, event: Exited | SpawnFailed, at: Moment) -> Decision:
    """The main process is gone; over when the rest of the group is gone too."""
    return _over(state, event, at)


@rule(Phase.WAITING, Phase.STOPPED)
def bear_again(state: AgentState, event: Unborn, at: Moment) -> Decision:
    """No death of its own, even if that made it late: wait for another zygote, unless it is to stop."""
    is_ordered = state.ending is Ending.OPERATOR
    return after_the_end(state if is_ordered else replace(state, ending=Ending.DEPENDENCY), at)


@rule(Phase.WAITING, Phase.BACKOFF, Phase.FAILED, Phase.STOPPED)
def finish(state: AgentState, event: Emptied, at: Moment) -> Decision:
    """Nothing of it is left."""
    return after_the_end(state, at)


def _over(state: AgentState, event: Exited | SpawnFailed, at: Moment) -> Decision:
    if isinstance(event, SpawnFailed):
        return after_the_end(replace(state, exit=Exit(at=at.now, error=event.error)), at)
    state = replace(state, exit=event.exit)
    if event.empty:
        return after_the_end(state, at)
    has_grace = state.ending in (Ending.OPERATOR, Ending.DEPENDENCY, Ending.GROUP)
    if has_grace and state.deadline is not None and at.now < state.deadline:
        # This grace is for the whole group: a child may still be writing.
        return Decision(replace(state, phase=Phase.STOPPING))
    return _kill(state, at)


@rule(Phase.STOPPED)
def rest(state: AgentState, event: Stop, at: Moment) -> Decision:
    """There is no process: stopped at once; no timer survives."""
    stopped = replace(
        state, phase=Phase.STOPPED, goal=Goal.STOP, deadline=None, issues=(), note="stopped by the operator"
    )
    return Decision(stopped, (CloseSockets(),))


_SERVING: dict[type[Event], Rule] = {
    Stop: drain,
    Restart: drain,
    Reported: rate,
    Leaving: let_leave,
    Unresponsive: kill_unresponsive,
    Overran: kill_overrun,
    Outgrew: renew,
    NeedLost: lose_need,
    NeedBack: regain_need,
    Regroup: regroup,
    Exited: bury,
}

TABLE: dict[Phase, dict[type[Event], Rule]] = {
    Phase.INVALID: {},
    Phase.STOPPED: {Start: want, Restart: want},
    Phase.WAITING: {NeedsMet: launch, Start: forgive, Restart: forgive, Stop: rest},
    Phase.STARTING: {
        Ready: serve,
        Extended: extend,
        Reported: remark,
        Stop: break_off,
        Restart: break_off,
        Overran: kill_overrun,
        NeedLost: lose_need_early,
        Regroup: regroup_early,
        Start: forgive,
        SpawnFailed: bury,
        Unborn: bear_again,
        Exited: bury,
        DeadlinePassed: kill_late,
    },
    Phase.HEALTHY: _SERVING,
    Phase.DEGRADED: _SERVING,
    Phase.UNHEALTHY: _SERVING,
    Phase.DRAINING: {
        Stop: give_up_on,
        Start: want_again,
        Restart: want_again,
        Exited: conclude,
        DeadlinePassed: kill_rest,
    },
    Phase.STOPPING: {
        Stop: give_up_on,
        Start: want_again,
        Restart: want_again,
        Exited: conclude,
        SpawnFailed: conclude,
        Unborn: bear_again,
        Emptied: finish,
        DeadlinePassed: kill_rest,
    },
    Phase.BACKOFF: {DeadlinePassed: try_again, Regroup: try_again, Start: want, Restart: want, Stop: rest},
    Phase.FAILED: {Start: want, Restart: want, Stop: rest},
}
"""The whole behaviour. A pair that is not here is ignored on purpose."""
