"""The one memory store of the whole system."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, TypeVar

from msgspec import Struct, structs

from tandem.agent import Agent, Issue, action, every
from tandem.core import clock
from tandem_agents.memory_services import retrieval
from tandem_agents.memory_services.contracts import (
    Change,
    Closeness,
    Found,
    Group,
    Kind,
    Link,
    Memory,
    NewMemory,
    Related,
    StoreStats,
    UpkeepReport,
)
from tandem_agents.memory_services.meaning import Meaning
from tandem_agents.memory_services.store import MemoryDatabase
from tandem_agents.memory_services.upkeep import run_upkeep
from tandem_agents.storage import Worker

if TYPE_CHECKING:
    from tandem_agents.engines.kinds import Embedder

T = TypeVar("T")

WORDS_ONLY = "searched by words only, since there is no embedding model"


class MemoryOrchestratorService(Agent):
    """Keeps every memory in three tiers, finds it by word and by meaning, and lets it fade hour by hour.

    Whatever an action returns from is on disk. Without an embedding model it is degraded, not broken: meaning
    is then searched by words, and each such answer says so.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        embeddings: Literal["auto", "none"] = "auto"

    settings: Settings

    async def start(self) -> None:
        self._worker = Worker("memory")
        self._store = await self._worker(MemoryDatabase, self.state_dir / "memory.db", self.epoch)
        self._meaning: Meaning | None = None
        if self.settings.embeddings == "auto":
            self._meaning = Meaning(self._store, self._worker, self.open_embedder, self.log)
            await self._meaning.open()
            self.spawn(self._meaning.run(), "embedding")

    async def stop(self) -> None:
        if self._meaning is not None:
            await self._meaning.close()
        await self._worker(self._store.close)
        self._worker.close()

    async def check(self) -> Iterable[Issue]:
        issue = self._meaning.issue if self._meaning is not None else None
        return [issue] if issue else []

    @property
    def capabilities(self) -> list[str]:
        return ["words", "meaning"] if self._meaning is not None and self._meaning.index else ["words"]

    async def open_embedder(self) -> Embedder:
        """The embedding engine; raises ``Unavailable`` naming the mend when it is not there."""
        from tandem_agents.engines.select import open_embedder

        return await open_embedder()

    @action(idempotent=True)
    async def create_session(self, name: str, memory_id: str = "") -> Memory:
        """The open session of that name, new unless it exists."""
        return await self._do(self._store.session, name, memory_id, clock.wall())

    @action
    async def add_memory(self, memory: NewMemory) -> Memory:
        """Store one memory."""
        return (await self.batch_add_memories([memory]))[0]

    @action
    async def batch_add_memories(self, memories: list[NewMemory]) -> list[Memory]:
        """Store all or none."""
        stored = await self._do(self._store.add, memories, clock.wall())
        if self._meaning is not None:
            self._meaning.wake()
        return stored

    @action(idempotent=True)
    async def get_memory(self, memory_id: str) -> Memory:
        """Read one memory."""
        return await self._do(self._store.get, memory_id)

    @action(idempotent=True)
    async def batch_get_memories(self, ids: list[str]) -> list[Memory]:
        """Read those that exist, in the order asked."""
        return await self._do(self._store.get_many, ids)

    @action(idempotent=True)
    async def get_children(self, memory_id: str, limit: int = 50) -> list[Memory]:
        """The newest children, oldest first."""
        return await self._do(self._store.children, memory_id, limit)

    @action(idempotent=True)
    async def list_memories(self, kind: Kind | None = None, tag: str = "", limit: int = 50) -> list[Memory]:
        """The newest memories."""
        return await self._do(self._store.newest, kind, tag, limit)

    @action(idempotent=True)
    async def recall(self, subject: str, closeness: Closeness = "about", limit: int = 5) -> Found:
        """Facts and notes about a subject; empty rather than a guess."""
        hits = await self._do(retrieval.by_subject, self._store, subject, closeness, limit)
        vector = await self._meaning.vector(subject) if self._meaning is not None and not hits else None
        if vector is not None and self._meaning is not None and self._meaning.index is not None:
            hits = await self._do(retrieval.facts_alike, self._store, self._meaning.index, vector, limit)
        return Found(hits)

    @action(idempotent=True)
    async def search_memory(
        self, query: str, limit: int = 10, tag: str = "", kind: Kind | None = None
    ) -> Found:
        """Find by words."""
        return Found(await self._do(retrieval.by_words, self._store, query, limit, tag, kind))

    @action(idempotent=True)
    async def semantic_search(
        self, query: str, limit: int = 10, tag: str = "", kind: Kind | None = None
    ) -> Found:
        """Find by meaning and words."""
        vector = await self._meaning.vector(query) if self._meaning is not None else None
        if vector is None or self._meaning is None or self._meaning.index is None:
            return structs.replace(await self.search_memory(query, limit, tag, kind), note=WORDS_ONLY)
        index = self._meaning.index
        return Found(
            await self._do(retrieval.by_meaning, self._store, index, query, vector, limit, tag, kind)
        )

    @action(idempotent=True)
    async def update_memory(self, memory_id: str, change: Change) -> Memory:
        """Change a memory."""
        updated = await self._do(self._store.update, memory_id, change, clock.wall())
        if self._meaning is not None:
            self._meaning.wake()
        return updated

    @action
    async def delete_memory(self, memory_id: str) -> int:
        """Delete a memory with its children and links."""
        return await self._do(self._store.delete, memory_id)

    @action
    async def reinforce_memory(self, memory_id: str, amount: float = 0.1) -> Memory:
        """Raise a memory's importance."""
        return await self._do(self._store.reinforce, memory_id, amount, clock.wall())

    @action(idempotent=True)
    async def add_relationship(self, link: Link) -> Link:
        """Link two memories."""
        return await self._do(self._store.link, link)

    @action(idempotent=True)
    async def get_related(self, memory_id: str, kind: str = "") -> list[Related]:
        """Follow links in either direction."""
        return await self._do(self._store.related, memory_id, kind)

    @action(idempotent=True)
    async def create_context_group(self, name: str, description: str = "") -> Group:
        """A named group, new unless it exists."""
        return await self._do(self._store.group, name, description, clock.wall())

    @action(idempotent=True)
    async def add_to_group(self, group: str, memory_id: str) -> int:
        """Put a memory into a group."""
        return await self._do(self._store.add_to_group, group, memory_id, clock.wall())

    @action(idempotent=True)
    async def get_memories_by_group(self, group: str, limit: int = 100) -> list[Memory]:
        """The members of a group."""
        return await self._do(self._store.members, group, limit)

    @action(idempotent=True)
    async def upkeep(self) -> UpkeepReport:
        """Fade, move, merge, drop, and compute missing vectors."""
        report = await self._do(run_upkeep, self._store, clock.wall())
        embedded = await self._meaning.catch_up() if self._meaning is not None else 0
        return structs.replace(report, embedded=embedded)

    @action(idempotent=True)
    async def stats(self) -> StoreStats:
        """How much is stored."""
        return await self._do(self._store.stats)

    @every(hours=1)
    async def tidy(self) -> None:
        self.log.info("memory upkeep: %s", await self.upkeep())

    async def _do(self, work: Callable[..., T], *values: object) -> T:
        return await self._worker(work, *values)
