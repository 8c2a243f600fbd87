"""Waiting for a calendar time that may change, and that a person or NTP may move the clock to."""

from __future__ import annotations

import asyncio

from tandem.core import clock

LONGEST_NAP_S = 5.0
"""The calendar may jump while we sleep, so nobody with something to come sleeps longer than this."""


class Waker:
    """Lets one task sleep until something is due; :meth:`wake` makes it look again at once."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def wake(self) -> None:
        self._changed.set()

    async def until(self, due: float | None) -> None:
        """Return at ``due`` (Unix seconds; None: never), when woken, or after a few seconds at most."""
        nap = None if due is None else min(LONGEST_NAP_S, max(0.0, due - clock.wall()))
        try:
            async with asyncio.timeout(nap):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()
