"""Runners as people see them."""

from __future__ import annotations

from typing import Literal

from tandem.core import clock
from tandem.fleet.model import InvalidAgent
from tandem.supervise.api import AgentView, ServiceView, Times
from tandem.supervise.escalation import Level
from tandem.supervise.lifecycle import SERVING, UP, AgentState, Breaker, Goal, Phase
from tandem.supervise.regrouping import describe
from tandem.supervise.runner import Runner
from tandem.supervise.supervisor import Supervisor
from tandem.supervise.wire import NodeLoss

Verdict = Literal["up", "pending", "trouble", "off"]

TROUBLE_AFTER = 3
"""Quick deaths in a row after which nobody should wait for an agent any longer."""

LOSS_SHOWN_S = 3600.0
"""How long people are told that the node before this one was lost."""


def verdict(supervisor: Supervisor, runner: Runner) -> Verdict:
    """Whether to wait for ``runner``."""
    state = runner.state
    if state.phase in UP:
        return "up"
    if state.phase in (Phase.FAILED, Phase.INVALID, Phase.UNHEALTHY):
        return "trouble"
    if state.goal is Goal.STOP:
        return "off" if state.phase is Phase.STOPPED else "pending"
    if state.quick_deaths >= TROUBLE_AFTER:
        return "trouble"
    if state.phase is Phase.WAITING and any(
        _hopeless(supervisor, need, set()) for need in runner.subject.needs
    ):
        return "trouble"
    return "pending"


def _hopeless(supervisor: Supervisor, name: str, seen: set[str]) -> bool:
    """Whether waiting for ``name`` is in vain for now."""
    runner = supervisor.runners.get(name)
    if runner is None:
        return True
    if name in seen or runner.state.phase in SERVING:
        return False
    seen.add(name)
    state = runner.state
    if state.phase in (Phase.FAILED, Phase.INVALID, Phase.STOPPED):
        return True
    if state.quick_deaths >= TROUBLE_AFTER:
        return True
    return any(_hopeless(supervisor, need, seen) for need in runner.subject.needs)


def note(supervisor: Supervisor, runner: Runner) -> str:
    """Why it is where it is, and what comes next."""
    state = runner.state
    match state.phase:
        case Phase.WAITING:
            missing = [_describe_need(supervisor, need) for need in supervisor.order.missing(runner)]
            if runner.name in supervisor.order.held:
                return "waits for the rest of its group to end, since that is restarted as a whole"
            return f"waits for {', '.join(missing)}" if missing else "about to start"
        case Phase.STARTING:
            left = max(0.0, (state.deadline or 0.0) - clock.monotonic())
            return f"{runner.status or 'starting'}; has {left:.0f} s left to be ready"
        case Phase.BACKOFF:
            left = max(0.0, (state.deadline or 0.0) - clock.monotonic())
            why = state.note.partition("; tried again")[0]
            tripped = "; its breaker is open" if state.breaker is Breaker.OPEN else ""
            return f"{why}; tried again in {left:.1f} s{tripped}"
        case Phase.DRAINING | Phase.STOPPING:
            left = max(0.0, (state.deadline or 0.0) - clock.monotonic())
            return state.note or f"ending; KILL in {left:.0f} s at the latest"
        case Phase.HEALTHY | Phase.DEGRADED | Phase.UNHEALTHY:
            return runner.status
    return state.note


def _describe_need(supervisor: Supervisor, name: str) -> str:
    runner = supervisor.runners.get(name)
    return f"{name} ({runner.state.phase})" if runner is not None else f"{name} (which cannot run)"


def agent_view(supervisor: Supervisor, runner: Runner) -> AgentView:
    """One agent. A wanted agent that is missing makes it degraded, since it cannot know by itself."""
    config = supervisor.configs[runner.name]
    state = runner.state
    issues = list(state.issues)
    alarm = supervisor.regrouping.alarm_of(runner)
    if alarm is not None:
        issues.append(describe(alarm, runner.name, clock.monotonic()))
    shown = state.phase
    if state.phase in UP:
        absent = supervisor.order.absent_wants(runner)
        lost = supervisor.lost_needs(runner)
        issues += [f"{name}, which it needs, is not up" for name in lost]
        issues += [f"{name}, which it wants, is not up" for name in absent]
        issues += [runner.excess] if runner.excess else []
        shown = Phase.DEGRADED if absent or lost or runner.excess else state.phase
    listening = config.port is not None and runner.pid is not None
    return AgentView(
        name=config.name,
        machine=config.machine,
        group=config.group,
        state=shown,
        pid=runner.pid,
        port=config.port if listening else None,
        ready_after_s=_rounded(state.ready_after_s) if state.phase in SERVING else None,
        restarts=state.restarts,
        issues=issues,
        note=note(supervisor, runner),
        exit=state.exit.describe() if state.exit is not None else "",
        tail=runner.tail,
        required=config.required,
        breaker=state.breaker_at(clock.monotonic()).value,
        escalated="" if alarm is None else "group" if alarm.level is Level.GROUP else "operator",
        usage=runner.usage,
        times=times(state),
        verdict=verdict(supervisor, runner),
    )


def times(state: AgentState) -> Times:
    """The moments of its last start as a clock on the wall shows them."""
    ahead = clock.wall() - clock.monotonic()
    return Times(*(None if at is None else ahead + at for at in (state.launched_at, state.ready_at)))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def invalid_view(invalid: InvalidAgent) -> AgentView:
    """An agent that exists in the file only."""
    issues = [f"{d.file}:{d.line}:{d.column}: {d.message}" for d in invalid.diagnostics]
    return AgentView(
        name=invalid.name,
        machine=invalid.machine,
        group=invalid.group,
        state=Phase.INVALID,
        issues=issues,
        note="its entry in the fleet file is wrong; see tandem config validate",
        verdict="trouble",
    )


def service_view(supervisor: Supervisor, machine: str, name: str) -> ServiceView:
    """One server."""
    runner = supervisor.runners[name]
    state = runner.state
    return ServiceView(
        name=name,
        machine=machine,
        state=state.phase,
        pid=runner.pid,
        port=supervisor.servers[name].port if runner.pid is not None else None,
        ready_after_s=_rounded(state.ready_after_s) if state.phase in SERVING else None,
        restarts=state.restarts,
        issues=list(state.issues),
        note=note(supervisor, runner),
        exit=state.exit.describe() if state.exit is not None else "",
        tail=runner.tail,
        usage=runner.usage,
        times=times(state),
    )


def loss_note(loss: NodeLoss | None, now: float) -> str:
    """What people are told of the node before this one. ``now``: Unix seconds."""
    if loss is None or not 0 <= now - loss.at < LOSS_SHOWN_S:
        return ""
    return f"another node took over {now - loss.at:.0f} s ago, agents were not touched; the one before: {loss.why}"
