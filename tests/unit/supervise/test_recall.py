"""What a keeper remembers for the next node may be damaged or of another version: the node takes over all the same."""

from __future__ import annotations

import asyncio

import pytest
from simulated import MACHINE, SimulatedKeeper, agent

from tandem.agent.testing import virtual_time
from tandem.fleet.model import Fleet
from tandem.supervise.lifecycle import Phase, Start
from tandem.supervise.regrouping import MEMORY
from tandem.supervise.release import Release, Target
from tandem.supervise.rollout import Course
from tandem.supervise.rollouts import PLAN, STANDING, STATE, Rollouts
from tandem.supervise.wire import Exec


@pytest.mark.parametrize("damage", [b"\xc1", b"\x00" * 40, b"\x93\x01\x02", b"\xa5\xff\xfe\xfd\xfc\xfb"])
@virtual_time
async def test_a_damaged_memory_keeps_no_node_from_taking_over(damage: bytes) -> None:
    """Release, rollout, alarms and every agent's state unreadable: the processes are the same, and nothing is under way."""
    keeper = SimulatedKeeper()
    agents = [agent("A"), agent("B", "A@m1")]
    before = keeper.node(agents)
    for runner in before.agents():
        runner.feed(Start())
    await asyncio.sleep(2.0)
    living = {name: keeper.living(name)[0].instance for name in ("A", "B")}
    before.close()
    keeper.memory = dict.fromkeys([*keeper.memory, PLAN, STATE, STANDING, MEMORY], damage)
    supervisor = keeper.node(agents)
    fleet = Fleet(name="simulated", agents={str(config.id): config for config in agents})
    rollouts = Rollouts(
        supervisor,
        MACHINE,
        current := Target(release=Release(), fleet=fleet),
        remember=lambda _name, _data: None,
        use=lambda _fleet: asyncio.sleep(0),
        zygote=lambda _target: Exec(argv=["true"]),
    )
    rollouts.recall(keeper.memory)
    assert rollouts.standing.current == current and rollouts.plan is None and rollouts.state.course is Course.DONE
    await asyncio.sleep(5.0)
    assert {name: keeper.living(name)[0].instance for name in ("A", "B")} == living
    assert {runner.state.phase for runner in supervisor.agents()} == {Phase.HEALTHY}
    keeper.die("A")
    await asyncio.sleep(5.0)
    assert supervisor.runners["A"].state.phase is Phase.HEALTHY and supervisor.runners["A"].state.restarts == 1
    supervisor.close()
