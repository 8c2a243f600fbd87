"""An agent that works."""

from __future__ import annotations

from msgspec import Struct

from tandem.agent import Agent, action


class Greeter(Agent):
    """Greets, and keeps a durable count of it."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        word: str = "Hello"

    settings: Settings

    @action(idempotent=True)
    async def greet(self, name: str) -> str:
        return f"{self.settings.word} {name}"

    @action
    async def note(self, text: str) -> int:
        """Append a line; on disk when this returns. Raises ``OSError`` when it cannot be kept."""
        book = self.state_dir / "notes"
        with book.open("a") as file:
            file.write(text + "\n")
        return len(book.read_text().splitlines())


class Friend(Greeter):
    """Another one."""
