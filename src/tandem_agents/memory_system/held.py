"""What MainPC holds of the memory: changes that wait for PC2, and a copy of what a person asked to be remembered.

Both are on disk. Changes are handed over in the order they were made, each under an id of its own, so handing one
over twice does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem_agents.memory_services.contracts import Change, Link, Memory, NewMemory
from tandem_agents.memory_services.store import MemoryDatabase
from tandem_agents.storage import Database, Migration

MIGRATIONS = (
    Migration(
        1,
        """
CREATE TABLE waiting (position INTEGER PRIMARY KEY AUTOINCREMENT, change BLOB NOT NULL) STRICT;
CREATE TABLE refused (at REAL NOT NULL, why TEXT NOT NULL, change BLOB NOT NULL) STRICT;
""",
    ),
)


class AddMemories(Struct, frozen=True, tag="add"):
    """These are to be stored."""

    memories: list[NewMemory]


class OpenSession(Struct, frozen=True, tag="session"):
    """A session of that name and id is to be there."""

    name: str
    id: str


class UpdateMemory(Struct, frozen=True, tag="update"):
    """This is to be changed."""

    id: str
    change: Change


class DeleteMemory(Struct, frozen=True, tag="delete"):
    """This is to go."""

    id: str


class Reinforce(Struct, frozen=True, tag="reinforce"):
    """This is to weigh more, by ``amount``."""

    id: str
    amount: float


class AddLink(Struct, frozen=True, tag="link"):
    """This link is to be there."""

    link: Link


Waiting = AddMemories | OpenSession | UpdateMemory | DeleteMemory | Reinforce | AddLink


class Outbox:
    """Changes in the order they were made. Not for several threads at once."""

    def __init__(self, path: Path, epoch: int = 0):
        self._database = Database(path, MIGRATIONS, epoch)

    def close(self) -> None:
        self._database.close()

    def append(self, change: Waiting) -> None:
        with self._database.transaction() as store:
            store.execute("INSERT INTO waiting (change) VALUES (?)", (msgspec.msgpack.encode(change),))

    def first(self) -> tuple[int, Waiting] | None:
        """The oldest change and its position."""
        row = self._database.row("SELECT * FROM waiting ORDER BY position LIMIT 1")
        return (row["position"], msgspec.msgpack.decode(row["change"], type=Waiting)) if row else None

    def done(self, position: int) -> None:
        with self._database.transaction() as store:
            store.execute("DELETE FROM waiting WHERE position = ?", (position,))

    def refuse(self, position: int, why: str, now: float) -> None:
        """Set a change aside that the store will never take."""
        with self._database.transaction() as store:
            store.execute(
                "INSERT INTO refused SELECT ?, ?, change FROM waiting WHERE position = ?",
                (now, why, position),
            )
            store.execute("DELETE FROM waiting WHERE position = ?", (position,))

    def counts(self) -> tuple[int, int]:
        """How many wait, and how many were refused."""
        row = self._database.row(
            "SELECT (SELECT count(*) FROM waiting) AS w, (SELECT count(*) FROM refused) AS r"
        )
        return (row["w"], row["r"]) if row else (0, 0)


def copy_into(copy: MemoryDatabase, memories: Sequence[Memory], now: float) -> None:
    """Keep a copy of memories as the store has them."""
    copy.add([as_new(memory) for memory in memories], now)


def as_new(memory: Memory) -> NewMemory:
    """The same memory, to be stored elsewhere; a parent the other store may lack is left out."""
    return NewMemory(
        content=memory.content, id=memory.id, kind=memory.kind, tier=memory.tier, importance=memory.importance,
        tags=memory.tags, subject=memory.subject, value=memory.value, metadata=memory.metadata, created=memory.created,
    )  # fmt: skip
