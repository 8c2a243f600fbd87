"""CacheManager on a real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tandem.agent.testing import Member, fleet_of
from tandem.core.errors import InvalidArguments, NotFound, TooLarge, Unreachable
from tandem_agents.memory_services.cache_manager import MAX_VALUE_BYTES, CacheManager
from tandem_agents.memory_services.contracts import Cache, MemoryStore, NewMemory
from tandem_agents.memory_services.memory_orchestrator_service import MemoryOrchestratorService

pytestmark = pytest.mark.integration


def client_of(valkey: Any) -> Callable[[], Redis]:
    access = valkey.access()
    return lambda: Redis(unix_socket_path=access.socket, username=access.username, password=access.password)


async def test_entries_live_as_long_as_they_should(
    valkey: Any, eventually: Callable[..., Awaitable[None]]
) -> None:
    """An entry is read back until its time is up, dropped when told, and bytes stay bytes."""
    async with fleet_of(CacheManager, cache=client_of(valkey)) as fleet:
        cache = fleet.peer(Cache)
        await cache.put("a", b"\x00\xff", ttl_s=60)
        await cache.put("short", b"x", ttl_s=0.05)
        assert await cache.get("a") == b"\x00\xff"

        async def gone() -> bool:
            return await cache.get("short") is None

        await eventually(gone)
        assert await cache.invalidate("a") == 1
        assert await cache.get("a") is None
        with pytest.raises(TooLarge):
            await cache.put("big", b"x" * (MAX_VALUE_BYTES + 1))
        with pytest.raises(InvalidArguments):
            await cache.put("never", b"x", ttl_s=0)


async def test_flushing_spares_other_users_of_the_server(valkey: Any) -> None:
    """Only entries of the cache go, by prefix or all; glob characters in a prefix mean themselves."""
    async with fleet_of(CacheManager, cache=client_of(valkey)) as fleet:
        other = client_of(valkey)()
        await other.set("somebody-else", "1")
        cache = fleet.peer(Cache)
        for key in ("web:1", "web:2", "mem:1", "we*:3"):
            await cache.put(key, b"x")
        assert (await cache.stats()).entries == 4
        assert await cache.flush("we*") == 1
        assert await cache.flush("web:") == 2
        assert await cache.flush() == 1
        assert await other.get("somebody-else") == b"1"
        await other.aclose()


async def test_memories_come_from_the_cache_the_second_time(valkey: Any) -> None:
    """A cached memory is answered without the store; dropping it asks the store again."""
    members = (Member(MemoryOrchestratorService, embeddings="none"), CacheManager)
    async with fleet_of(*members, cache=client_of(valkey)) as fleet:
        stored = await fleet.peer(MemoryStore).add_memory(NewMemory(content="tea"))
        cache = fleet.peer(Cache)
        assert await cache.get_cached_memory(stored.id) == stored
        await fleet.peer(MemoryStore).delete_memory(stored.id)
        assert await cache.get_cached_memory(stored.id) == stored
        stats = await cache.stats()
        assert (stats.hits, stats.misses) == (1, 1)
        await cache.invalidate_memory_cache(stored.id)
        with pytest.raises(NotFound):
            await cache.get_cached_memory(stored.id)


async def test_a_dead_server_is_said_and_forgiven(
    valkey: Any, eventually: Callable[..., Awaitable[None]]
) -> None:
    """While Valkey is down the agent is unhealthy and calls fail with a clear error; afterwards it works again."""
    async with fleet_of(CacheManager, cache=client_of(valkey)) as fleet:
        cache = fleet.peer(Cache)
        await cache.put("a", b"1")
        valkey.kill()
        with pytest.raises(Unreachable):
            await cache.get("a")
        assert [issue.blocking for issue in await fleet.agent(CacheManager).check()] == [True]
        await valkey.start()

        async def works() -> bool:
            try:
                await cache.put("b", b"2")
            except Unreachable:
                return False
            return await cache.get("b") == b"2"

        await eventually(works)
        assert not list(await fleet.agent(CacheManager).check())
        await asyncio.gather(*(cache.put(str(n), b"x") for n in range(50)))
