"""PC2's memory store and who uses it, as fleets of tests have them."""

from __future__ import annotations

import asyncio

from tandem.agent.testing import Fleet, Member
from tandem_agents.memory_services.memory_orchestrator_service import MemoryOrchestratorService
from tandem_agents.memory_system.contracts import MemoryGateway

SERVICE = "MemoryOrchestratorService"
PC2 = Member(MemoryOrchestratorService, machine="pc2", embeddings="none")


async def settled(fleet: Fleet) -> None:
    """Wait until nothing waits on MainPC."""
    for _ in range(300):
        if not (await fleet.peer(MemoryGateway).status()).waiting:
            return
        await asyncio.sleep(1)
    raise AssertionError("something still waits after five minutes")
