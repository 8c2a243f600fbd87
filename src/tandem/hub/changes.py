"""Tells any number of listeners what changed, newest value per thing, so that a slow listener costs bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

from msgspec import Struct

Kind = Literal["agent", "machine", "incident", "turn"]

GATHER_S = 0.25
"""Changes of this long are told together: fast enough for an eye, slow enough for a page of 1,000 agents."""


class Change(Struct, frozen=True, kw_only=True):
    """``data`` is the new value of the thing ``id``: an AgentPicture (``Name@machine``), a MachinePicture without its
    agents, an IncidentView, a TurnSummary."""

    kind: Kind
    id: str
    data: Any


class Changes:
    """One hub's announcements."""

    def __init__(self) -> None:
        self._boxes: set[_Box] = set()

    @property
    def listeners(self) -> int:
        return len(self._boxes)

    def tell(self, kind: Kind, name: str, data: Any) -> None:
        """Hand a new value to every listener; never waits."""
        for box in self._boxes:
            box.put(Change(kind=kind, id=name, data=data))

    async def listen(self) -> AsyncIterator[list[Change]]:
        """Changes from now on, gathered; ends with the iteration. An empty list every 15 s says that all is well."""
        box = _Box()
        self._boxes.add(box)
        try:
            while True:
                yield await box.take()
        finally:
            self._boxes.discard(box)


class _Box:
    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Change] = {}
        self._filled = asyncio.Event()

    def put(self, change: Change) -> None:
        self._held[change.kind, change.id] = change
        self._filled.set()

    async def take(self) -> list[Change]:
        try:
            async with asyncio.timeout(15):
                await self._filled.wait()
        except TimeoutError:
            return []
        await asyncio.sleep(GATHER_S)
        taken, self._held = list(self._held.values()), {}
        self._filled.clear()
        return taken
