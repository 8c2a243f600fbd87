"""Rules for an instance that is to make room for a fresh one, and may finish what it has first."""

from __future__ import annotations

from msgspec.structs import replace

from tandem.supervise.aftermath import Moment
from tandem.supervise.lifecycle import (
    AgentState,
    Decision,
    Ending,
    NeedBack,
    NeedLost,
    Outgrew,
    Phase,
    Regroup,
    Terminate,
)
from tandem.supervise.rules import rule


@rule(Phase.DRAINING)
def renew(state: AgentState, event: Outgrew, at: Moment) -> Decision:
    """It has grown too large: TERM, it finishes what it has and a fresh one follows; counts as a death."""
    return _retire(state, at, Ending.OUTGROWN, event.why)


@rule(Phase.HEALTHY, Phase.DEGRADED, Phase.UNHEALTHY, Phase.DRAINING)
def lose_need(state: AgentState, event: NeedLost, at: Moment) -> Decision:
    """Serve on, unless its policy is to wait: then TERM, and start again when what it needs is back. No death."""
    if state.policy.on_dependency != "wait":
        return Decision(state)
    return _retire(state, at, Ending.DEPENDENCY, f"{event.name}, which it needs, is gone")


@rule(Phase.STOPPING, Phase.STARTING)
def lose_need_early(state: AgentState, event: NeedLost, at: Moment) -> Decision:
    """Go on starting, unless its policy is to wait: then TERM, and start again when what it needs is back. No death."""
    if state.policy.on_dependency != "wait":
        return Decision(state)
    leaving = _retire(state, at, Ending.DEPENDENCY, f"{event.name}, which it needs, is gone")
    return Decision(replace(leaving.state, phase=Phase.STOPPING), leaving.actions)


@rule(Phase.HEALTHY, Phase.DEGRADED, Phase.UNHEALTHY, Phase.DRAINING)
def regain_need(state: AgentState, event: NeedBack, at: Moment) -> Decision:
    """Serve on, unless its policy is to restart with what it needs: then TERM and start again. No death."""
    if state.policy.on_dependency != "restart":
        return Decision(state)
    return _retire(state, at, Ending.DEPENDENCY, f"{event.name}, which it needs, was started again")


@rule(Phase.DRAINING)
def regroup(state: AgentState, event: Regroup, at: Moment) -> Decision:
    """TERM, and start again together with its group. No death."""
    return _retire(state, at, Ending.GROUP, event.why)


@rule(Phase.STOPPING)
def regroup_early(state: AgentState, event: Regroup, at: Moment) -> Decision:
    """TERM before it came to READY, and start again together with its group. No death."""
    leaving = _retire(state, at, Ending.GROUP, event.why)
    return Decision(replace(leaving.state, phase=Phase.STOPPING), leaving.actions)


def _retire(state: AgentState, at: Moment, ending: Ending, why: str) -> Decision:
    leaving = replace(
        state,
        phase=Phase.DRAINING,
        ending=ending,
        deadline=at.now + state.policy.stop_grace_s,
        reason=why,
        note=why,
    )
    return Decision(leaving, (Terminate(state.instance),))
