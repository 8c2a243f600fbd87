"""Which language models are resident: loaded once, counted while used, put away when idle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tandem.core import clock
from tandem.core.errors import Overloaded
from tandem_agents.core_services.model_contracts import LoadedModel
from tandem_agents.engines.kinds import LanguageModel

Open = Callable[[str], Awaitable[LanguageModel]]
BUSY_WAIT_S = 30.0


@dataclass(slots=True)
class _Resident:
    model: LanguageModel
    loaded_at: float
    last_used: float
    users: int = 0
    requests: int = 0


class ModelShelf:
    """``open_model(id)`` loads one, and raises ``Unavailable`` when it is missing."""

    def __init__(self, open_model: Open, log: logging.Logger):
        self._open, self._log = open_model, log
        self._resident: dict[str, _Resident] = {}
        self._loading: dict[str, asyncio.Lock] = {}

    @asynccontextmanager
    async def use(self, model_id: str) -> AsyncIterator[LanguageModel]:
        """The model, loaded if need be, which stays while the block lasts."""
        resident = await self._get(model_id)
        resident.users += 1
        resident.requests += 1
        try:
            yield resident.model
        finally:
            resident.users -= 1
            resident.last_used = clock.monotonic()

    async def load(self, model_id: str) -> None:
        await self._get(model_id)

    async def unload(self, model_id: str) -> int:
        """Put a model away when nobody uses it any more; returns how many were.

        Raises :class:`Overloaded` when it stays in use for half a minute.
        """
        async with self._lock(model_id):
            resident = self._resident.get(model_id)
            if resident is None:
                return 0
            deadline = clock.monotonic() + BUSY_WAIT_S
            while resident.users:
                if clock.monotonic() >= deadline:
                    raise Overloaded(f"the model {model_id} is still answering", hint="try again in a moment")
                await asyncio.sleep(0.1)
            del self._resident[model_id]
            await resident.model.close()
            self._log.info("model %s unloaded", model_id)
            return 1

    async def unload_idle(self, idle_s: float, keep: str) -> None:
        """Put away what nobody used for ``idle_s`` seconds, except ``keep``."""
        now = clock.monotonic()
        for model_id, resident in list(self._resident.items()):
            if model_id != keep and not resident.users and now - resident.last_used >= idle_s:
                await self.unload(model_id)

    def loaded(self) -> list[LoadedModel]:
        """What is resident; how large each is on disk is not known here."""
        now, wall = clock.monotonic(), clock.wall()
        return [
            LoadedModel(
                id=model_id, kind="llm", loaded_at=wall - (now - resident.loaded_at), requests=resident.requests,
                idle_s=0.0 if resident.users else now - resident.last_used,
            )
            for model_id, resident in self._resident.items()
        ]  # fmt: skip

    def is_loaded(self, model_id: str) -> bool:
        return model_id in self._resident

    def in_use(self) -> int:
        """How many requests run now."""
        return sum(resident.users for resident in self._resident.values())

    async def close(self) -> None:
        for resident in self._resident.values():
            await resident.model.close()
        self._resident.clear()

    async def _get(self, model_id: str) -> _Resident:
        async with self._lock(model_id):
            resident = self._resident.get(model_id)
            if resident is None:
                started = clock.monotonic()
                model = await self._open(model_id)
                now = clock.monotonic()
                self._log.info("model %s loaded in %.1f s", model_id, now - started)
                resident = self._resident[model_id] = _Resident(model, now, now)
            return resident

    def _lock(self, model_id: str) -> asyncio.Lock:
        return self._loading.setdefault(model_id, asyncio.Lock())
