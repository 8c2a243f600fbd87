"""The memory store: SQLite, one file, one thread. Every method is one transaction, on disk when it returns."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tandem.core.errors import InvalidArguments, NotFound, TooLarge
from tandem.core.ids import new_id
from tandem_agents.memory_services.contracts import (
    Change,
    Group,
    Kind,
    Link,
    Memory,
    NewMemory,
    Related,
    StoreStats,
)
from tandem_agents.memory_services.schema import MIGRATIONS
from tandem_agents.memory_services.words import subject_key
from tandem_agents.storage import Database, Row

MAX_CONTENT_CHARS = 100_000
MAX_LISTED = 1_000

_LIVE = "superseded_by = ''"


class MemoryDatabase:
    """Entries with tags, parents, links and groups. Searching lives in :mod:`.retrieval`, fading in :mod:`.upkeep`."""

    def __init__(self, path: Path, epoch: int = 0):
        self.database = Database(path, MIGRATIONS, epoch)

    def close(self) -> None:
        self.database.close()

    def add(self, memories: Sequence[NewMemory], now: float) -> list[Memory]:
        """Store all or none. An id that is already stored keeps what it has: a repeated call adds nothing."""
        for memory in memories:
            _check(memory)
        with self.database.transaction() as store:
            ids = [_insert(store, memory, now) for memory in memories]
        return self.get_many(ids)

    def session(self, name: str, memory_id: str, now: float) -> Memory:
        """The session of that name; a new one unless it exists."""
        row = self.database.row(
            f"SELECT id FROM memories WHERE kind = 'session' AND subject = ? AND {_LIVE} ORDER BY created DESC",
            name,
        )
        if row:
            return self.get(row["id"])
        new = NewMemory(
            id=memory_id, content=f"conversation {name}", kind="session", subject=name, importance=0.3
        )
        return self.add([new], now)[0]

    def get(self, memory_id: str) -> Memory:
        found = self.get_many([memory_id])
        if not found:
            raise NotFound(f"no memory has the id {memory_id}")
        return found[0]

    def get_many(self, ids: Sequence[str]) -> list[Memory]:
        """Those that exist, in the order asked."""
        rows = self.database.rows(
            "SELECT * FROM memories WHERE id IN (SELECT value FROM json_each(?))", json.dumps(list(ids))
        )
        by_id = {memory.id: memory for memory in self._with_tags(rows)}
        return [by_id[memory_id] for memory_id in ids if memory_id in by_id]

    def children(self, memory_id: str, limit: int) -> list[Memory]:
        self.get(memory_id)
        rows = self.database.rows(
            f"SELECT * FROM memories WHERE parent = ? AND {_LIVE} ORDER BY created DESC, rowid DESC LIMIT ?",
            memory_id,
            _capped(limit),
        )
        return self._with_tags(rows)[::-1]

    def newest(self, kind: Kind | None, tag: str, limit: int) -> list[Memory]:
        """The newest first, without what was superseded."""
        rows = self.database.rows(
            f"""SELECT * FROM memories WHERE {_LIVE} AND (?1 = '' OR kind = ?1)
            AND (?2 = '' OR id IN (SELECT memory FROM tags WHERE tag = ?2)) ORDER BY created DESC, rowid DESC LIMIT ?3""",
            kind or "", tag, _capped(limit),
        )  # fmt: skip
        return self._with_tags(rows)

    def update(self, memory_id: str, change: Change, now: float) -> Memory:
        current = self.get(memory_id)
        content = current.content if change.content is None else change.content
        subject = current.subject if change.subject is None else change.subject
        importance = current.importance if change.importance is None else change.importance
        _check(NewMemory(content=content, importance=importance))
        with self.database.transaction() as store:
            store.execute(
                """UPDATE memories SET content = ?, tier = ?, importance = ?, subject = ?, subject_key = ?, value = ?,
                updated = ? WHERE id = ?""",
                (
                    content, change.tier or current.tier, importance, subject,
                    _key(NewMemory(content=content, kind=current.kind, subject=subject)),
                    current.value if change.value is None else change.value, now, memory_id,
                ),
            )  # fmt: skip
            if change.tags is not None:
                store.execute("DELETE FROM tags WHERE memory = ?", (memory_id,))
                _tag(store, memory_id, change.tags)
            if change.content is not None:
                store.execute("DELETE FROM vectors WHERE memory = ?", (memory_id,))
        return self.get(memory_id)

    def delete(self, memory_id: str) -> int:
        """Delete it, what it superseded, and all their children; returns how many memories went."""
        self.get(memory_id)
        with self.database.transaction() as store:
            before = store.execute("SELECT count(*) FROM memories").fetchone()[0]
            # An older version must not come back to life when the newer one is forgotten.
            store.execute(
                """WITH RECURSIVE gone(id) AS (
                    SELECT ?1 UNION SELECT memories.id FROM memories JOIN gone ON memories.superseded_by = gone.id
                ) DELETE FROM memories WHERE id IN gone""",
                (memory_id,),
            )
            after: int = store.execute("SELECT count(*) FROM memories").fetchone()[0]
        return int(before) - after

    def reinforce(self, memory_id: str, amount: float, now: float) -> Memory:
        if not 0 < amount <= 1:
            raise InvalidArguments(f"amount must be above 0 and at most 1, not {amount}")
        self.get(memory_id)
        with self.database.transaction() as store:
            store.execute(
                "UPDATE memories SET importance = min(1.0, importance + ?), updated = ? WHERE id = ?",
                (amount, now, memory_id),
            )
        return self.get(memory_id)

    def link(self, link: Link) -> Link:
        if link.source == link.target:
            raise InvalidArguments("a memory cannot be linked to itself")
        if not 0 <= link.strength <= 1:
            raise InvalidArguments(f"strength must be 0 to 1, not {link.strength}")
        if len(self.get_many([link.source, link.target])) < 2:
            raise NotFound(f"no link from {link.source} to {link.target}: one of them does not exist")
        with self.database.transaction() as store:
            store.execute(
                "INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?)",
                (link.source, link.target, link.kind, link.strength),
            )
        return link

    def related(self, memory_id: str, kind: str) -> list[Related]:
        self.get(memory_id)
        rows = self.database.rows(
            """SELECT source, target, kind, strength FROM links WHERE (source = ?1 OR target = ?1)
            AND (?2 = '' OR kind = ?2) ORDER BY strength DESC, source, target""",
            memory_id, kind,
        )  # fmt: skip
        links = [Link(row["source"], row["target"], row["kind"], row["strength"]) for row in rows]
        others = [link.target if link.source == memory_id else link.source for link in links]
        by_id = {memory.id: memory for memory in self.get_many(others)}
        return [
            Related(by_id[other], link) for other, link in zip(others, links, strict=True) if other in by_id
        ]

    def group(self, name: str, description: str, now: float) -> Group:
        if not name.strip():
            raise InvalidArguments("a group needs a name")
        with self.database.transaction() as store:
            store.execute(
                "INSERT OR IGNORE INTO groups VALUES (?, ?, ?, ?)", (new_id(), name, description, now)
            )
        return self._group(name)

    def add_to_group(self, group: str, memory_id: str, now: float) -> int:
        found = self._group(group)
        self.get(memory_id)
        with self.database.transaction() as store:
            store.execute("INSERT OR IGNORE INTO group_members VALUES (?, ?, ?)", (found.id, memory_id, now))
        row = self.database.row("SELECT count(*) AS size FROM group_members WHERE group_id = ?", found.id)
        return int(row["size"]) if row else 0

    def members(self, group: str, limit: int) -> list[Memory]:
        rows = self.database.rows(
            "SELECT memories.* FROM group_members JOIN memories ON memories.id = memory WHERE group_id = ? ORDER BY added LIMIT ?",
            self._group(group).id, _capped(limit),
        )  # fmt: skip
        return self._with_tags(rows)

    def stats(self) -> StoreStats:
        def counted(column: str) -> dict[str, int]:
            rows = self.database.rows(
                f"SELECT {column} AS name, count(*) AS number FROM memories GROUP BY 1 ORDER BY 1"
            )
            return {row["name"]: row["number"] for row in rows}

        without = self.database.row(
            "SELECT count(*) AS n FROM memories WHERE id NOT IN (SELECT memory FROM vectors)"
        )
        by_kind = counted("kind")
        return StoreStats(
            memories=sum(by_kind.values()),
            by_kind=by_kind,
            by_tier=counted("tier"),
            without_vector=without["n"] if without else 0,
            bytes=self.database.path.stat().st_size,
        )

    def _group(self, group: str) -> Group:
        row = self.database.row("SELECT * FROM groups WHERE id = ?1 OR name = ?1", group)
        if row is None:
            raise NotFound(f"no group is called {group}")
        return Group(row["id"], row["name"], row["description"], row["created"])

    def _with_tags(self, rows: Iterable[Row]) -> list[Memory]:
        listed = list(rows)
        tags: dict[str, list[str]] = {}
        for row in self.database.rows(
            "SELECT memory, tag FROM tags WHERE memory IN (SELECT value FROM json_each(?)) ORDER BY tag",
            json.dumps([row["id"] for row in listed]),
        ):
            tags.setdefault(row["memory"], []).append(row["tag"])
        return [_memory(row, tags.get(row["id"], [])) for row in listed]


def _memory(row: Row, tags: list[str]) -> Memory:
    return Memory(
        id=row["id"], content=row["content"], kind=row["kind"], tier=row["tier"], importance=row["importance"],
        created=row["created"], updated=row["updated"], tags=tags, subject=row["subject"], value=row["value"],
        parent=row["parent"] or "", metadata=json.loads(row["metadata"]), superseded_by=row["superseded_by"],
    )  # fmt: skip


def _check(memory: NewMemory) -> None:
    if not memory.content.strip():
        raise InvalidArguments("there is nothing to remember: the content is empty")
    if len(memory.content) > MAX_CONTENT_CHARS:
        raise TooLarge(
            f"{len(memory.content):,} characters are too much for one memory; the limit is {MAX_CONTENT_CHARS:,}",
            hint="split it, and link the parts",
        )
    if not 0 <= memory.importance <= 1:
        raise InvalidArguments(f"importance must be 0 to 1, not {memory.importance}")


def _insert(store: sqlite3.Connection, memory: NewMemory, now: float) -> str:
    memory_id = memory.id or new_id()
    created = now if memory.created is None else memory.created
    values: tuple[Any, ...] = (
        memory_id, memory.content, memory.kind, memory.tier, memory.importance, memory.subject, _key(memory), memory.value,
        memory.parent or None, json.dumps(memory.metadata), created, created, now,
    )  # fmt: skip
    try:
        added = store.execute(
            """INSERT OR IGNORE INTO memories (id, content, kind, tier, importance, subject, subject_key, value, parent,
            metadata, created, updated, faded) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            values,
        )
    except sqlite3.IntegrityError:
        raise NotFound(f"the parent {memory.parent} does not exist") from None
    if added.rowcount:
        _tag(store, memory_id, memory.tags)
        _supersede(store, memory_id, memory, created)
    return memory_id


def _key(memory: NewMemory) -> str:
    """By what a fact or note is found when somebody asks for its subject."""
    return subject_key(memory.subject) if memory.kind in ("fact", "note") else ""


def _supersede(store: sqlite3.Connection, memory_id: str, memory: NewMemory, created: float) -> None:
    """The newest statement holds, whatever order they arrive in: facts by their subject, notes by their words."""
    if memory.kind == "fact" and memory.subject:
        same, value = "kind = 'fact' AND subject_key = ?", subject_key(memory.subject)
    elif memory.kind == "note":
        same, value = "kind = 'note' AND lower(content) = lower(?)", memory.content
    else:
        return
    others = store.execute(
        f"SELECT id, created FROM memories WHERE {same} AND id != ? AND {_LIVE} ORDER BY created",
        (value, memory_id),
    ).fetchall()
    for other in others:
        if other["created"] <= created:
            store.execute("UPDATE memories SET superseded_by = ? WHERE id = ?", (memory_id, other["id"]))
            store.execute(
                "INSERT OR IGNORE INTO links VALUES (?, ?, 'supersedes', 1.0)", (memory_id, other["id"])
            )
        else:
            store.execute("UPDATE memories SET superseded_by = ? WHERE id = ?", (other["id"], memory_id))


def _tag(store: sqlite3.Connection, memory_id: str, tags: Iterable[str]) -> None:
    store.executemany(
        "INSERT OR IGNORE INTO tags VALUES (?, ?)", [(memory_id, tag) for tag in tags if tag.strip()]
    )


def _capped(limit: int) -> int:
    if limit < 1:
        raise InvalidArguments(f"limit must be at least 1, not {limit}")
    return min(limit, MAX_LISTED)
