"""The caller's end of one stream: what has arrived and is not yet consumed, and how much more may come."""

from __future__ import annotations

import asyncio
from collections import deque

from msgspec import Raw

from tandem.core.errors import TandemError

PREFETCH = 32
"""Items a stream may have on their way; at 64 KiB each that bounds a slow consumer's backlog to 2 MiB."""


class StreamEnded(Exception):
    """The stream ended well."""


class Inbox:
    """Items in order, then how it ended. One consumer."""

    __slots__ = ("_consumed", "_end", "_items", "_loop", "_prefetch", "_room", "_waiter", "answered")

    def __init__(self, prefetch: int = PREFETCH):
        self._loop = asyncio.get_running_loop()
        self._items: deque[Raw] = deque()
        self._prefetch = prefetch
        self._room = prefetch
        self._consumed = 0
        self._end: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.answered = 0
        """Items that have arrived so far."""

    @property
    def ended(self) -> bool:
        return self._end is not None

    def put(self, value: Raw) -> bool:
        """Take an item; False when the sender had no credit for it."""
        if self._room <= 0:
            return False
        self._room -= 1
        self.answered += 1
        self._items.append(value)
        self._wake()
        return True

    def end(self, error: TandemError | None) -> None:
        """Nothing more comes; ``error`` is raised after the items that came before it."""
        if self._end is None:
            self._end = error or StreamEnded()
            self._wake()

    async def get(self) -> Raw:
        """The next item; raises :class:`StreamEnded` or the error the stream ended with."""
        while not self._items:
            if self._end is not None:
                raise self._end
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._items.popleft()

    def earned(self) -> int:
        """Call after each consumed item: credit to grant now, half the window at a time to save frames."""
        self._consumed += 1
        if self._consumed * 2 < self._prefetch or self._end is not None:
            return 0
        amount, self._consumed = self._consumed, 0
        self._room += amount
        return amount

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
