"""The same agent on both machines: it answers, calls its twin, keeps notes, and tells and hears events."""

from __future__ import annotations

import os
import time
from typing import Any, Protocol

from msgspec import Struct

from tandem.agent import Agent, Event, action, contract, on
from tandem.core.errors import TandemError


class Told(Event, topic="link.told"):
    text: str


class Outcome(Struct, frozen=True, kw_only=True):
    """How a call to the twin ended, after how many seconds."""

    result: Any = None
    error: str = ""
    message: str = ""
    seconds: float


@contract("Talker")
class Twin(Protocol):
    """What one of them knows of the other."""

    @action(idempotent=True)
    async def echo(self, text: str) -> str: ...
    async def note(self, text: str) -> int: ...


class Talker(Agent):
    """Talks with its twin on the other machine."""

    @action(idempotent=True)
    async def echo(self, text: str) -> str:
        return text

    @action
    async def note(self, text: str) -> int:
        """Append a line; on disk when this returns."""
        with (self.state_dir / "notes").open("a") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        return len(await self.notes())

    @action(idempotent=True)
    async def notes(self) -> list[str]:
        return self._lines("notes")

    @action
    async def call_twin(self, twin: str, text: str, method: str = "echo") -> Outcome:
        """Call the twin as any agent calls another, and tell how it ended."""
        started = time.monotonic()
        try:
            result = await getattr(self.peer(Twin, twin), method)(text)
        except TandemError as error:
            return Outcome(error=error.code, message=error.message, seconds=time.monotonic() - started)
        return Outcome(result=result, seconds=time.monotonic() - started)

    @action
    async def tell(self, text: str, count: int = 1) -> int:
        """Publish ``count`` events, ``text`` and a running number; all are on this machine's disk when this returns."""
        for number in range(count):
            await self.publish(Told(text=f"{text}-{number}"))
        return count

    @action(idempotent=True)
    async def heard(self, prefix: str = "") -> list[str]:
        """Every event of any machine in the order of its delivery, as often as it was delivered."""
        return [text for text in self._lines("heard") if text.startswith(prefix)]

    @action(idempotent=True)
    async def count_heard(self, prefix: str) -> int:
        """How many of them begin so; counted here, since thousands would take long to send."""
        return sum(text.startswith(prefix) for text in self._lines("heard"))

    @on(Told)
    async def hear(self, event: Told) -> None:
        with (self.state_dir / "heard").open("a") as file:
            file.write(event.text + "\n")

    def _lines(self, name: str) -> list[str]:
        book = self.state_dir / name
        return book.read_text().splitlines() if book.exists() else []
