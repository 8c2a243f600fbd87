"""Agents that want agents of another machine."""

from __future__ import annotations

import asyncio

import pytest

from tandem.agent.testing import virtual_time
from tandem.supervise.lifecycle import Action, AgentState, Phase, Policy, Start
from tandem.supervise.runner import Runner, Subject
from tandem.supervise.start_order import WANTS_WAIT_S, StartOrder


class World:
    """What is known of the other machine."""

    def __init__(self, *, up: bool = False, expected: bool = True):
        self.up = up
        self.expected = expected

    def is_up(self, agent: str) -> bool:
        return self.up

    def is_expected(self, agent: str) -> bool:
        return self.expected


class Quiet:
    """A supervisor that does nothing."""

    def perform(self, runner: Runner, action: Action) -> None: ...
    def moved(self, runner: Runner, before: AgentState) -> None: ...


def waiting(world: World) -> tuple[StartOrder, Runner]:
    """One agent that wants an agent elsewhere and has just been told to start."""
    policy = Policy(start_timeout_s=60.0, stop_grace_s=10.0)
    runner = Runner(Subject(name="A", kind="agent", policy=policy, wants=("B@pc2",)), Quiet())
    order = StartOrder({"A": runner})
    order.elsewhere = world
    runner.feed(Start())
    order.ask(runner)
    return order, runner


@virtual_time
async def test_a_start_waits_for_what_it_wants_elsewhere() -> None:
    """It starts as soon as the other machine's agent is up."""
    world = World()
    order, runner = waiting(world)
    await asyncio.sleep(WANTS_WAIT_S / 2)
    assert runner.state.phase is Phase.WAITING
    world.up = True
    order.look()
    await asyncio.sleep(0.001)
    assert runner.state.phase is Phase.STARTING
    assert order.absent_wants(runner) == []
    order.close()


@virtual_time
async def test_a_start_does_not_wait_for_ever() -> None:
    """After three seconds it starts without, and the want stays visible as absent."""
    order, runner = waiting(World())
    await asyncio.sleep(WANTS_WAIT_S + 0.5)
    assert runner.state.phase is Phase.STARTING
    assert order.absent_wants(runner) == ["B@pc2"]
    order.close()


@pytest.mark.parametrize("world", [World(expected=False), World(up=True)])
@virtual_time
async def test_nobody_waits_in_vain(world: World) -> None:
    """Across a cut link, or when it is up already, the start is not held back."""
    order, runner = waiting(world)
    await asyncio.sleep(0.001)
    assert runner.state.phase is Phase.STARTING
    order.close()
