"""An agent that writes to its log as fast as it can, and tells how much that was."""

from __future__ import annotations

import asyncio
import os
import time

from tandem.agent import Agent, action

LINE = b"the quick brown fox jumps over the lazy dog, again and again, and nobody has asked it to\n"
LINES_A_WRITE = 100


class ChattyAgent(Agent):
    """Shouts when told to."""

    @action
    async def shout(self, seconds: float) -> int:
        """Write lines for so many seconds, as fast as they are taken; how many."""
        return await asyncio.to_thread(self._shout, seconds)

    def _shout(self, seconds: float) -> int:
        until, lines = time.monotonic() + seconds, 0
        block = LINE * LINES_A_WRITE
        while time.monotonic() < until:
            lines += os.write(1, block) // len(LINE)
        return lines
