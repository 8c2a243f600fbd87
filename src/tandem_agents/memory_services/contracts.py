"""What is remembered, and what the memory store answers."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from tandem.agent import action, contract

Tier = Literal["short", "medium", "long"]
Kind = Literal["fact", "note", "session", "turn", "summary"]
Closeness = Literal["same", "mentions", "about"]
"""``same``: the fact must be about exactly what was asked. ``mentions``: it must have all of at least two meaningful
words asked for. ``about``: all of them, be it only one."""


class NewMemory(Struct, frozen=True, kw_only=True):
    """Something to remember. ``importance`` is 0..1. A caller's own ``id`` (a ULID) makes storing it repeatable.

    ``subject`` and ``value`` are the two halves of a fact (``boiler code``, ``4711``).
    """

    content: str
    id: str = ""
    kind: Kind = "note"
    tier: Tier = "short"
    importance: float = 0.5
    tags: list[str] = []
    subject: str = ""
    value: str = ""
    parent: str = ""
    metadata: dict[str, str] = {}
    created: float | None = None


class Memory(Struct, frozen=True, kw_only=True):
    """Something remembered. Times are Unix seconds; ``superseded_by`` names what replaced it, if anything did.

    ``held_by`` is the machine that keeps it on disk until the store can be reached; empty once the store has it.
    """

    id: str
    content: str
    kind: Kind
    tier: Tier
    importance: float
    created: float
    updated: float
    tags: list[str] = []
    subject: str = ""
    value: str = ""
    parent: str = ""
    metadata: dict[str, str] = {}
    superseded_by: str = ""
    held_by: str = ""


class Change(Struct, frozen=True, kw_only=True):
    """What to change of a memory; None leaves it."""

    content: str | None = None
    tier: Tier | None = None
    importance: float | None = None
    tags: list[str] | None = None
    subject: str | None = None
    value: str | None = None


class Hit(Struct, frozen=True):
    """A memory found; a higher ``score`` fits better, comparable within one answer only."""

    memory: Memory
    score: float


class Found(Struct, frozen=True):
    """``note`` tells a person what this answer could not take into account; empty when it is complete."""

    hits: list[Hit]
    note: str = ""


class Link(Struct, frozen=True):
    """``kind`` is free, for example ``supersedes`` or ``about``; ``strength`` is 0..1."""

    source: str
    target: str
    kind: str = "related"
    strength: float = 1.0


class Related(Struct, frozen=True):
    """A memory at the other end of a link."""

    memory: Memory
    link: Link


class Group(Struct, frozen=True):
    """Memories that belong together; ``created`` is Unix seconds."""

    id: str
    name: str
    description: str
    created: float


class UpkeepReport(Struct, frozen=True, kw_only=True):
    """What one round of upkeep did, in numbers of memories."""

    faded: int = 0
    moved: int = 0
    merged: int = 0
    dropped: int = 0
    embedded: int = 0


class StoreStats(Struct, frozen=True, kw_only=True):
    """What is stored, on disk in ``bytes``; ``without_vector`` are not yet found by meaning."""

    memories: int
    by_kind: dict[str, int]
    by_tier: dict[str, int]
    without_vector: int
    bytes: int


@contract("MemoryOrchestratorService")
class MemoryStore(Protocol):
    """Also fulfilled by MemoryClient, MainPC's gateway. Unknown ids raise ``NotFound``."""

    @action(idempotent=True)
    async def create_session(self, name: str, memory_id: str = "") -> Memory:
        """The open session of that name, new unless it exists."""
        ...

    async def add_memory(self, memory: NewMemory) -> Memory:
        """Store; returns once it is on disk. Give it an id to make repeating it safe. A fact about a known subject supersedes the older one."""
        ...

    async def batch_add_memories(self, memories: list[NewMemory]) -> list[Memory]:
        """Store all or none."""
        ...

    @action(idempotent=True)
    async def get_memory(self, memory_id: str) -> Memory:
        """One memory."""
        ...

    @action(idempotent=True)
    async def batch_get_memories(self, ids: list[str]) -> list[Memory]:
        """Those that exist, in the order asked."""
        ...

    @action(idempotent=True)
    async def get_children(self, memory_id: str, limit: int = 50) -> list[Memory]:
        """The newest ``limit`` children, oldest first."""
        ...

    @action(idempotent=True)
    async def list_memories(self, kind: Kind | None = None, tag: str = "", limit: int = 50) -> list[Memory]:
        """The newest first; what was superseded is left out."""
        ...

    @action(idempotent=True)
    async def recall(self, subject: str, closeness: Closeness = "about", limit: int = 5) -> Found:
        """Facts and notes about ``subject``, best first; empty rather than a guess."""
        ...

    @action(idempotent=True)
    async def search_memory(
        self, query: str, limit: int = 10, tag: str = "", kind: Kind | None = None
    ) -> Found:
        """By words."""
        ...

    @action(idempotent=True)
    async def semantic_search(
        self, query: str, limit: int = 10, tag: str = "", kind: Kind | None = None
    ) -> Found:
        """By meaning and words together; by words alone, said in ``note``, while no embedding model is there."""
        ...

    @action(idempotent=True)
    async def update_memory(self, memory_id: str, change: Change) -> Memory:
        """Change what ``change`` names; returns the memory as it is then."""
        ...

    async def delete_memory(self, memory_id: str) -> int:
        """Delete it with its children and links; returns how many memories went."""
        ...

    async def reinforce_memory(self, memory_id: str, amount: float = 0.1) -> Memory:
        """Raise its importance, at most to 1."""
        ...

    @action(idempotent=True)
    async def add_relationship(self, link: Link) -> Link:
        """Link two memories; a link of the same ends and kind is replaced."""
        ...

    @action(idempotent=True)
    async def get_related(self, memory_id: str, kind: str = "") -> list[Related]:
        """Linked in either direction, strongest first."""
        ...

    @action(idempotent=True)
    async def create_context_group(self, name: str, description: str = "") -> Group:
        """The group of that name, new unless it exists."""
        ...

    @action(idempotent=True)
    async def add_to_group(self, group: str, memory_id: str) -> int:
        """Returns the group's size. ``group`` is its id or name."""
        ...

    @action(idempotent=True)
    async def get_memories_by_group(self, group: str, limit: int = 100) -> list[Memory]:
        """The members of a group, named as in :meth:`add_to_group`."""
        ...


@contract("MemoryOrchestratorService")
class MemoryUpkeep(Protocol):
    """The side of the store that background work uses."""

    @action(idempotent=True)
    async def upkeep(self) -> UpkeepReport:
        """Fade, move, merge and drop as due, and compute missing vectors. Safe to repeat."""
        ...

    @action(idempotent=True)
    async def stats(self) -> StoreStats:
        """How much is stored."""
        ...


class CacheStats(Struct, frozen=True, kw_only=True):
    """``hits`` and ``misses`` since the start, ``entries`` now."""

    hits: int
    misses: int
    entries: int


@contract("CacheManager")
class Cache(Protocol):
    """Values and memories for a while; whatever is here may be gone at any time. Raises ``Unreachable`` without its server."""

    @action(idempotent=True)
    async def get(self, key: str) -> bytes | None:
        """The value of a key, None when there is none (any more)."""
        ...

    @action(idempotent=True)
    async def put(self, key: str, value: bytes, ttl_s: float = 300.0) -> None:
        """Keep a value for ``ttl_s`` seconds, 0.001 to a week. Raises ``TooLarge`` and ``InvalidArguments`` beyond the limits."""
        ...

    @action(idempotent=True)
    async def invalidate(self, key: str) -> int:
        """Drop one entry; returns how many there were, 0 or 1."""
        ...

    @action(idempotent=True)
    async def flush(self, prefix: str = "") -> int:
        """Drop every entry, or those whose key begins with ``prefix``; returns how many."""
        ...

    @action(idempotent=True)
    async def get_cached_memory(self, memory_id: str) -> Memory:
        """From the cache, else from the store (and then cached)."""
        ...

    @action(idempotent=True)
    async def cache_memory(self, memory: Memory, ttl_s: float = 300.0) -> None:
        """Keep a memory as :meth:`get_cached_memory` would."""
        ...

    @action(idempotent=True)
    async def invalidate_memory_cache(self, memory_id: str) -> int:
        """Have a memory read from the store the next time; returns how many copies were dropped, 0 or 1."""
        ...

    @action(idempotent=True)
    async def stats(self) -> CacheStats:
        """Hits and misses since the start, and entries now."""
        ...
