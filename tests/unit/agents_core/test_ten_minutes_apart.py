"""The two computers without each other for ten minutes, with a household that lives on: in virtual time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from tandem.agent.testing import Fleet, virtual_time
from tandem_agents.core_services.contracts import AlarmRang, FrontDoor
from tandem_agents.core_services.request_coordinator import RequestCoordinator
from tandem_agents.infrastructure.contracts import Scheduling
from tandem_agents.memory_services.contracts import MemoryStore, NewMemory
from tandem_agents.memory_system.contracts import MemoryGateway
from tandem_agents.memory_system.memory_client import MemoryClient

CUT_S = 600
NOTE_EVERY_S = 10
PC2 = ("TaskScheduler", "AsyncProcessor", "MemoryOrchestratorService")
SOON_S = 120
"""Far more than it takes to hand everything over, and far less than the cut."""


async def issues(fleet: Fleet) -> dict[str, list[str]]:
    """What those that need pc2 have to say about it."""
    agents = {"memory": fleet.agent(MemoryClient), "front": fleet.agent(RequestCoordinator)}
    return {name: [issue.message for issue in await agent.check()] for name, agent in agents.items()}


@virtual_time
async def test_a_household_lives_through_ten_minutes_without_pc2(home: SimpleNamespace) -> None:
    """Every note is acknowledged and held here, timers set before and during the cut ring once and in time, health says
    what is away all the while; afterwards pc2 has every note once and in order, both books agree and nothing is wrong."""
    async with home.household() as fleet:
        door, gateway = fleet.peer(FrontDoor), fleet.peer(MemoryStore, "MemoryClient")
        await door.ask("set a rice timer for 5 minutes")
        await asyncio.sleep(5)
        assert await issues(fleet) == {"memory": [], "front": []}
        for agent in PC2:
            await fleet.stop(agent)
        told = []
        for number in range(CUT_S // NOTE_EVERY_S):
            if number == 2:
                await door.ask("set a tea timer for 4 minutes")
            stored = await gateway.add_memory(NewMemory(content=f"note {number}", kind="note", tags=("cut",)))
            assert stored.held_by == "mainpc"
            told.append(stored.content)
            await asyncio.sleep(NOTE_EVERY_S)
            if number >= SOON_S // NOTE_EVERY_S:
                assert all((await issues(fleet)).values())
        assert sorted(event.text for event in fleet.published(AlarmRang)) == [
            "Your rice timer is up.",
            "Your tea timer is up.",
        ]
        assert (await fleet.peer(MemoryGateway).status()).waiting >= len(told)

        for agent in reversed(PC2):
            await fleet.start(agent)
        await asyncio.sleep(SOON_S)
        arrived = await fleet.peer(MemoryStore).list_memories(kind="note", tag="cut", limit=1000)
        assert [memory.content for memory in sorted(arrived, key=lambda memory: memory.created)] == told
        status = await fleet.peer(MemoryGateway).status()
        assert (status.waiting, status.refused) == (0, 0)
        book = await fleet.peer(Scheduling).merge_alarms([])
        assert {(alarm.label, alarm.state) for alarm in book} == {("rice", "rung"), ("tea", "rung")}
        assert len(fleet.published(AlarmRang)) == 2
        assert await issues(fleet) == {"memory": [], "front": []}
