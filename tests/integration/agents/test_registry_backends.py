"""Registrations kept in a real Valkey."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tandem.agent.testing import Member, fleet_of
from tandem_agents.core_services.contracts import Directory, Registration
from tandem_agents.core_services.service_registry import ServiceRegistry

pytestmark = pytest.mark.integration


async def test_valkey_keeps_registrations_and_ends_leases(
    valkey: Any, eventually: Callable[..., Awaitable[None]]
) -> None:
    """They outlive the agent, a lease ends by itself, and what was withdrawn is gone."""
    access = valkey.access()

    def client() -> Redis:
        return Redis(unix_socket_path=access.socket, username=access.username, password=access.password)

    async with fleet_of(Member(ServiceRegistry, backend="valkey"), cache=client) as fleet:
        directory = fleet.peer(Directory)
        await directory.register_agent(Registration(name="Lamp", machine="attic", endpoint="x"))
        await directory.register_agent(Registration(name="Bell", machine="attic", endpoint="y", ttl_s=0.2))
        await fleet.kill("ServiceRegistry")
        await fleet.start("ServiceRegistry")
        directory = fleet.peer(Directory)
        assert (await directory.renew_registration("Lamp")).endpoint == "x"

        async def only_the_lamp() -> bool:
            return [view.name for view in await directory.list_agents("attic")] == ["Lamp"]

        await eventually(only_the_lamp)
        assert await directory.unregister_agent("Lamp") == 1
        assert await directory.unregister_agent("Lamp") == 0
        assert await directory.list_agents("attic") == []
