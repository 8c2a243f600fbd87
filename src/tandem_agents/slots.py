"""A fixed number of places for running work, given out by priority; the waiting line is bounded."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tandem.core.errors import Cancelled, Overloaded


class PrioritySlots:
    """``places`` run at once, at most ``limit`` wait. A lower number goes first; equal ones in order of arrival."""

    def __init__(self, places: int, limit: int):
        self._free, self._limit = places, limit
        self._places = places
        self._line: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    @property
    def running(self) -> int:
        return self._places - self._free

    def waiting(self) -> Counter[int]:
        """How many wait, by priority."""
        return Counter(priority for priority, _, place in self._line if not place.done())

    @asynccontextmanager
    async def place(self, priority: int) -> AsyncIterator[None]:
        """Wait for a place and hold it for the block.

        Raises :class:`Overloaded` when the line is full and :class:`Cancelled` when it is cleared.
        """
        await self._take(priority)
        try:
            yield
        finally:
            self._give_back()

    def clear(self, why: str) -> int:
        """Send everybody who waits away with :class:`Cancelled`; returns how many."""
        waiting = [place for _, _, place in self._line if not place.done()]
        self._line.clear()
        for place in waiting:
            place.set_exception(Cancelled(why))
        return len(waiting)

    async def _take(self, priority: int) -> None:
        if self._free and not self._line:
            self._free -= 1
            return
        if sum(self.waiting().values()) >= self._limit:
            raise Overloaded(f"{self._limit} requests are waiting already", hint="try again in a moment")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._line, (priority, next(self._arrivals), place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._give_back()  # it was given a place in the same moment
            raise

    def _give_back(self) -> None:
        self._free += 1
        while self._free and self._line:
            _, _, place = heapq.heappop(self._line)
            if not place.done():
                self._free -= 1
                place.set_result(None)
