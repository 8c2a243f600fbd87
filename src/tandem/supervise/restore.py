"""A new node takes over where the last one ended: from what that one asked to be remembered and what the keeper sees."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from tandem.core import clock
from tandem.core.damage import UNREADABLE
from tandem.supervise.lifecycle import (
    ALIVE,
    AgentState,
    CheckNeeds,
    Emptied,
    Event,
    Exit,
    Exited,
    Goal,
    Phase,
    Policy,
    Ready,
    SpawnFailed,
    Unborn,
)  # fmt: skip
from tandem.supervise.runner import Runner, Shell
from tandem.supervise.wire import UnitExit, UnitFailed, UnitInfo

T = TypeVar("T")

log = logging.getLogger("tandem.node")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(AgentState).decode


def remembered(state: AgentState) -> bytes:
    """The state as the keeper holds it for the next node. Monotonic times hold for every process of this boot."""
    return _encode(state)


def recalled(data: bytes | None, policy: Policy, unit: UnitInfo | None) -> AgentState:
    """The state to go on with: the remembered one, else one that fits the process the keeper has."""
    if data:
        try:
            return replace(_decode(data), policy=policy)
        except UNREADABLE:
            pass  # damaged, or written by another version; the process itself tells enough
    if unit is None or unit.exit is not None:
        return AgentState(policy=policy)
    return AgentState(
        policy=policy,
        phase=Phase.STARTING if unit.ready_at is None else Phase.HEALTHY,
        goal=Goal.RUN,
        instance=unit.instance,
        launched_at=unit.born_at,
        ready_at=unit.ready_at,
        deadline=clock.monotonic() + policy.start_timeout_s if unit.ready_at is None else None,
    )


def reread(memory: Mapping[str, bytes], name: str, kind: type[T]) -> T | None:
    """What the keeper was asked to remember under ``name``; None for nothing, and for what cannot be read any more."""
    data = memory.get(name)
    try:
        return msgspec.msgpack.decode(data, type=kind) if data else None
    except UNREADABLE as error:
        log.warning("what was remembered as %s is damaged, or of another version: %s", name, error)
        return None


def resume(runner: Runner, shell: Shell, units: dict[str, UnitInfo]) -> None:
    """Tell ``runner`` everything that happened to it while nobody looked. ``units``: by instance."""
    unit = units.get(runner.state.instance)
    runner.pid = unit.pid if unit is not None and unit.exit is None else None
    if unit is not None:
        runner.tail, runner.status = unit.tail, unit.status
    runner.arm()
    if runner.state.phase is Phase.WAITING:
        runner.waiting_since = clock.monotonic()
        shell.perform(runner, CheckNeeds())
    elif runner.state.phase in ALIVE:
        for event in _missed(runner.state, unit):
            runner.feed(event)
        if unit is not None and unit.exit is None and unit.health:
            runner.hear(unit.instance, f"HEALTH={unit.health}")


def _missed(state: AgentState, unit: UnitInfo | None) -> list[Event]:
    if unit is None and state.phase is Phase.STARTING:
        # What has lived is known to the keeper; so this was never born, and the next try will tell why if there is a why.
        return [Unborn(state.instance)]
    if unit is None:
        return [Exited(state.instance, Exit(at=clock.monotonic()), True)]
    events: list[Event] = []
    if unit.ready_at is not None and state.phase is Phase.STARTING:
        events.append(Ready(unit.instance))
    if unit.exit is not None:
        events.append(Exited(unit.instance, exit_of(unit.exit), unit.empty))
        if unit.empty:
            events.append(Emptied(unit.instance))
    return events


def failure_of(failed: UnitFailed) -> SpawnFailed | Unborn:
    """The keeper's words for a process that will not be, as supervision thinks of it."""
    if failed.blame == "zygote":
        return Unborn(failed.instance)
    return SpawnFailed(failed.instance, failed.error)


def exit_of(ended: UnitExit) -> Exit:
    """The keeper's words for an end, as supervision thinks of it."""
    return Exit(at=ended.at, code=ended.code, signal=ended.signal, note=ended.note)
