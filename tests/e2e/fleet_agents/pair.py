"""Two agents on two machines that call each other without a pause, and note in a file what failed."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tandem.agent import Agent, action, contract
from tandem.core.errors import TandemError


@contract("Pair")
class Twin(Protocol):
    """What one knows of the other."""

    @action(idempotent=True)
    async def say(self) -> str: ...


class Pair(Agent):
    """Calls its twin on the other machine."""

    async def start(self) -> None:
        self._calls = 0
        self.spawn(self._keep_calling())

    @action(idempotent=True)
    async def say(self) -> str:
        return self.machine

    @action(idempotent=True)
    async def count(self) -> int:
        """Calls that were answered, since this process began."""
        return self._calls

    async def _keep_calling(self) -> None:
        twin = "Pair@pc2" if self.machine == "mainpc" else "Pair@mainpc"
        while True:
            try:
                await self.peer(Twin, twin).say()
                self._calls += 1
            except TandemError as error:
                if self._calls:  # before the first answer the other may not have been started at all
                    with (self.state_dir / "failed").open("a") as file:
                        file.write(f"{error!r}\n")
            await asyncio.sleep(0.02)
