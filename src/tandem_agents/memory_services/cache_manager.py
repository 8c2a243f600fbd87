"""A shared short-lived cache in front of memory and other slow answers."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from redis.exceptions import RedisError

from tandem.agent import Agent, Issue, action
from tandem.core.errors import InvalidArguments, TooLarge, Unreachable
from tandem_agents.memory_services.contracts import CacheStats, Memory, MemoryStore

MEMORY_PREFIX = "memory:"
MEMORY_TTL_S = 300.0
MAX_VALUE_BYTES = 4 << 20
MAX_TTL_S = 7 * 86_400.0


class CacheManager(Agent):
    """Keeps answers for a while in the machine's cache server. Losing an entry costs time, never information."""

    async def start(self) -> None:
        self._cache = self.cache()
        self._prefix = f"cache:{self.name}:"  # the only keys this agent may write there
        self._hits = self._misses = 0

    async def check(self) -> Iterable[Issue]:
        try:
            await self._cache.ping()
        except (RedisError, OSError) as error:
            return [
                Issue(
                    f"the cache server does not answer: {error}", fix="tandem status shows why", blocking=True
                )
            ]
        return ()

    @action(idempotent=True)
    async def get(self, key: str) -> bytes | None:
        """Read an entry."""
        try:
            value = await self._cache.get(self._prefix + key)
        except (RedisError, OSError) as error:
            raise _away(error) from error
        if value is None:
            self._misses += 1
        else:
            self._hits += 1
        return value.encode() if isinstance(value, str) else value

    @action(idempotent=True)
    async def put(self, key: str, value: bytes, ttl_s: float = 300.0) -> None:
        """Store an entry for ``ttl_s`` seconds (0.001 to a week)."""
        if len(value) > MAX_VALUE_BYTES:
            raise TooLarge(f"{len(value)} bytes are too much for the cache; the limit is {MAX_VALUE_BYTES}")
        if not 0.001 <= ttl_s <= MAX_TTL_S:
            raise InvalidArguments(f"ttl_s must be 0.001 to {MAX_TTL_S:.0f}, not {ttl_s}")
        try:
            await self._cache.set(self._prefix + key, value, px=int(ttl_s * 1000))
        except (RedisError, OSError) as error:
            raise _away(error) from error

    @action(idempotent=True)
    async def invalidate(self, key: str) -> int:
        """Drop one entry; returns how many there were."""
        try:
            return int(await self._cache.delete(self._prefix + key))
        except (RedisError, OSError) as error:
            raise _away(error) from error

    @action(idempotent=True)
    async def flush(self, prefix: str = "") -> int:
        """Drop every entry whose key begins with ``prefix``. Other users of the cache server keep theirs."""
        dropped = 0
        try:
            async for key in self._cache.scan_iter(match=_literal(self._prefix + prefix) + "*", count=500):
                dropped += int(await self._cache.delete(key))
        except (RedisError, OSError) as error:
            raise _away(error) from error
        return dropped

    @action(idempotent=True)
    async def get_cached_memory(self, memory_id: str) -> Memory:
        """A memory from the cache, else from the store (and cached then)."""
        data = await self.get(MEMORY_PREFIX + memory_id)
        if data is not None:
            return msgspec.msgpack.decode(data, type=Memory)
        memory = await self.peer(MemoryStore).get_memory(memory_id)
        await self.cache_memory(memory)
        return memory

    @action(idempotent=True)
    async def cache_memory(self, memory: Memory, ttl_s: float = MEMORY_TTL_S) -> None:
        """Store a memory entry."""
        await self.put(MEMORY_PREFIX + memory.id, msgspec.msgpack.encode(memory), ttl_s)

    @action(idempotent=True)
    async def invalidate_memory_cache(self, memory_id: str) -> int:
        """Drop a memory entry."""
        return await self.invalidate(MEMORY_PREFIX + memory_id)

    @action(idempotent=True)
    async def stats(self) -> CacheStats:
        """Hits and misses since the start, and entries now."""
        try:
            entries = 0
            async for _ in self._cache.scan_iter(match=self._prefix + "*", count=500):
                entries += 1
        except (RedisError, OSError) as error:
            raise _away(error) from error
        return CacheStats(hits=self._hits, misses=self._misses, entries=entries)


def _away(error: Exception) -> Unreachable:
    return Unreachable(f"the cache server does not answer: {error}", hint="tandem status shows why")


def _literal(text: str) -> str:
    """``text`` without a special meaning in a Valkey glob."""
    return "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in text)
