"""What an operator's order waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from simulated import MACHINE, Manner, SimulatedKeeper, agent

from tandem.agent.testing import virtual_time
from tandem.core.errors import TandemError
from tandem.fleet.model import Fleet
from tandem.supervise.api import Verb
from tandem.supervise.lifecycle import Phase, Start, Stop
from tandem.supervise.operations import Operations
from tandem.supervise.views import TROUBLE_AFTER, agent_view
from tandem.supervise.wire import SpawnUnit


@pytest.mark.parametrize("verb", ["restart", "start"])
@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.BACKOFF])
@virtual_time
async def test_an_order_does_not_count_what_was_before_it(verb: Verb, phase: Phase) -> None:
    """After several deaths in a row the cause is mended: the order waits until the agent is up instead of giving up."""
    keeper = SimulatedKeeper()
    keeper.manners["A"] = Manner(ready_s=2.0, lives_s=1.0)
    supervisor = keeper.node([config := agent("A")])
    runner = supervisor.runners["A"]
    runner.feed(Start())
    while runner.state.quick_deaths < TROUBLE_AFTER or runner.state.phase is not phase:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    keeper.manners["A"] = Manner(ready_s=2.0)
    if phase is Phase.STARTING and verb == "start":
        for process in keeper.living("A"):
            process.timers[-1].cancel()
    fleet = Fleet(name="simulated", agents={str(config.id): config})
    done = await Operations(supervisor, fleet, MACHINE).order(verb, ["A"], lambda _: None)
    assert [(view.state, view.verdict) for view in done.views] == [("healthy", "up")]
    supervisor.close()


@virtual_time
async def test_an_order_tells_when_it_is_of_no_use() -> None:
    """When the agent keeps dying after the order as well, that is told after a few deaths, and the tries go on."""
    keeper = SimulatedKeeper()
    keeper.manners["A"] = Manner(ready_s=2.0, lives_s=1.0)
    supervisor = keeper.node([config := agent("A")])
    fleet = Fleet(name="simulated", agents={str(config.id): config})
    done = await Operations(supervisor, fleet, MACHINE).order("restart", ["A"], lambda _: None)
    assert [view.verdict for view in done.views] == ["trouble"]
    assert supervisor.runners["A"].state.quick_deaths == TROUBLE_AFTER
    supervisor.close()


@pytest.mark.parametrize("verb", ["restart", "start", "stop"])
@virtual_time
async def test_an_order_no_operator_gave_spares_the_stopped(verb: Verb) -> None:
    """Whoever was stopped stays so, and is not among those the answer is about; the others are dealt with."""
    keeper = SimulatedKeeper()
    supervisor = keeper.node(configs := [agent("A"), agent("B")])
    operations = Operations(supervisor, Fleet(name="simulated", agents={str(c.id): c for c in configs}), MACHINE)
    await operations.order("start", ["A", "B"], lambda _: None)
    await operations.order("stop", ["A"], lambda _: None)
    before = supervisor.runners["B"].state.instance
    done = await operations.order(verb, ["A", "B"], lambda _: None, spare_stopped=True)
    assert [view.name for view in done.views] == ["B"]
    assert supervisor.runners["A"].state.phase is Phase.STOPPED
    assert (supervisor.runners["B"].state.instance != before) == (verb == "restart")
    nobody = await operations.order(verb, ["A"], lambda _: None, spare_stopped=True)
    assert nobody.views == [] and supervisor.runners["A"].state.phase is Phase.STOPPED
    supervisor.close()


@pytest.mark.parametrize("error", [TandemError("no key"), OSError(28, "No space left on device"), ValueError("not text")])
@virtual_time
async def test_whatever_keeps_a_process_from_being_made_is_a_death_like_any_other(error: Exception) -> None:
    """The agent says why and is tried again; it neither waits for a process that is not there, nor ever stops stopping."""
    keeper = SimulatedKeeper()
    supervisor = keeper.node([agent("A"), agent("B")])
    make, refusals = keeper.agent, [error] * 3

    def refuse(subject: Any, instance: str, zygote: str) -> SpawnUnit:
        if subject.name == "A" and refusals:
            raise refusals.pop()
        return make(subject, instance, zygote)

    keeper.agent = refuse  # type: ignore[method-assign]
    for runner in supervisor.agents():
        runner.feed(Start())
    await asyncio.sleep(0.7)
    shown = agent_view(supervisor, supervisor.runners["A"])
    assert shown.state == "backoff" and str(error).partition("]")[2] in f"{shown.note} {shown.exit}"
    assert supervisor.runners["B"].state.phase is Phase.HEALTHY
    await asyncio.sleep(10.0)
    assert supervisor.runners["A"].state.phase is Phase.HEALTHY and refusals == []
    refusals.append(error)
    keeper.die("A")
    supervisor.runners["A"].feed(Stop())
    await asyncio.sleep(30.0)
    assert supervisor.runners["A"].state.phase is Phase.STOPPED and keeper.living("A") == []
    supervisor.close()
