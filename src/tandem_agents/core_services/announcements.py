"""What the assistant says unasked, to everybody who listens now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from tandem_agents.core_services.contracts import Announcement

MAX_BEHIND = 100
"""A listener that is this far behind misses the oldest; it must not hold memory without bound."""


class Announcements:
    """Any number of listeners; each hears what is announced while it listens."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[Announcement]] = set()

    def announce(self, announcement: Announcement) -> int:
        """Give it to everybody; returns to how many."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(announcement)
        return len(self._listeners)

    async def listen(self) -> AsyncGenerator[Announcement, None]:
        queue: asyncio.Queue[Announcement] = asyncio.Queue(MAX_BEHIND)
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)
