"""Where registrations of outside programs are kept: in memory with a file behind it, or in Valkey."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from tandem.core import clock
from tandem.core.damage import read_json
from tandem_agents.core_services.contracts import Registration
from tandem_agents.storage import write_file

if TYPE_CHECKING:
    from redis.asyncio import Redis

PREFIX = "cache:ServiceRegistry:held:"


class Held(Struct, frozen=True, kw_only=True):
    """A registration and when it was last renewed and ends (Unix seconds; 0: never)."""

    registration: Registration
    renewed_at: float
    ends_at: float = 0.0

    def is_over(self, now: float) -> bool:
        return bool(self.ends_at) and now >= self.ends_at

    @classmethod
    def of(cls, registration: Registration) -> Held:
        now = clock.wall()
        ends_at = now + registration.ttl_s if registration.ttl_s else 0.0
        return cls(registration=registration, renewed_at=now, ends_at=ends_at)


class Shelf(Protocol):
    """Keeps registrations by name; one that is over is not there any more."""

    async def put(self, held: Held) -> None: ...
    async def delete(self, name: str) -> bool: ...
    async def all(self) -> list[Held]: ...


class MemoryShelf:
    """In this process, and on disk when a change returns, so that it survives power loss."""

    def __init__(self, file: Path):
        self._file = file
        self._held = read_json(file, dict[str, Held]) or {}

    async def put(self, held: Held) -> None:
        self._save(self._held | {held.registration.name: held})

    async def delete(self, name: str) -> bool:
        gone = self._held.get(name)
        if gone is None:
            return False
        self._save({other: held for other, held in self._held.items() if other != name})
        return not gone.is_over(clock.wall())

    async def all(self) -> list[Held]:
        now = clock.wall()
        self._held = {name: held for name, held in self._held.items() if not held.is_over(now)}
        return list(self._held.values())

    def _save(self, held: dict[str, Held]) -> None:
        """What could not be written down is not known afterwards either."""
        write_file(self._file, msgspec.json.encode(held))
        self._held = held


class ValkeyShelf:
    """In the machine's cache server, which ends leases itself; a full one may drop what was not used for long."""

    def __init__(self, valkey: Redis):
        self._valkey = valkey

    async def put(self, held: Held) -> None:
        lasts_ms = int(held.registration.ttl_s * 1000) or None
        await self._valkey.set(PREFIX + held.registration.name, msgspec.json.encode(held), px=lasts_ms)

    async def delete(self, name: str) -> bool:
        return bool(await self._valkey.delete(PREFIX + name))

    async def all(self) -> list[Held]:
        keys = [key async for key in self._valkey.scan_iter(match=PREFIX + "*")]
        values = await self._valkey.mget(keys) if keys else []
        return [msgspec.json.decode(value, type=Held) for value in values if value is not None]
