"""Main machine's gateway to the memory held on PC2."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from msgspec import structs

from tandem.agent import Agent, Issue, action, every
from tandem.core import clock
from tandem.core.deadline import deadline_scope, effective_deadline
from tandem.core.errors import (
    DeadlineExceeded,
    Draining,
    NotFound,
    Overloaded,
    TandemError,
    Unavailable,
    Unreachable,
)
from tandem.core.ids import new_id
from tandem_agents.memory_services import retrieval
from tandem_agents.memory_services.contracts import (
    Change,
    Closeness,
    Found,
    Group,
    Hit,
    Kind,
    Link,
    Memory,
    MemoryStore,
    NewMemory,
    Related,
)
from tandem_agents.memory_services.store import MemoryDatabase
from tandem_agents.memory_system import held
from tandem_agents.memory_system.contracts import GatewayStatus
from tandem_agents.storage import Worker
from tandem_agents.waking import Waker

T = TypeVar("T")

REMOTE_BUDGET_S = 2.0
"""Less than a caller's usual five seconds, so that there is time left to keep a change here."""
RETRY_S = 2.0
AWAY = (Unreachable, DeadlineExceeded, Draining, Overloaded)


class MemoryClient(Agent):
    """Relays every memory operation to PC2 with a short time budget, so that a dead link degrades instead of hanging.

    A change made while PC2 is away is on this machine's disk when the call returns, and handed over when PC2 is
    back. What a person asked to be remembered is also copied here, so that it can be recalled meanwhile.
    """

    async def start(self) -> None:
        self._worker = Worker("memory")
        self._copy = await self._worker(MemoryDatabase, self.state_dir / "copy.db", self.epoch)
        self._outbox = await self._worker(held.Outbox, self.state_dir / "outbox.db", self.epoch)
        self._waiting, self._refused = await self._worker(self._outbox.counts)
        self._away: TandemError | None = None
        self._behind: Unavailable | None = None
        self._handing_over = asyncio.Lock()
        self._waker = Waker()
        self._store = self.peer(MemoryStore)
        self.spawn(self._hand_over_for_ever(), "handing over")

    async def stop(self) -> None:
        await self._worker(self._copy.close)
        await self._worker(self._outbox.close)
        self._worker.close()

    async def check(self) -> Iterable[Issue]:
        issues = []
        if self._away is not None:
            waiting = f"memory on pc2 is away, {self._waiting} changes wait here: {self._away.message}"
            issues.append(Issue(waiting, fix=self._away.hint or "tandem status"))
        if self._behind is not None:
            behind = f"what is copied here of pc2's memory may be out of date: {self._behind.message}"
            issues.append(Issue(behind, fix=self._behind.hint or "tandem doctor"))
        if self._refused:
            issues.append(
                Issue(
                    f"{self._refused} changes were refused by the memory store",
                    fix="tandem logs MemoryClient",
                )
            )
        return issues

    @action(idempotent=True)
    async def create_session(self, name: str, memory_id: str = "") -> Memory:
        """The open session of that name, new unless it exists."""
        memory_id = memory_id or new_id()
        opened = await self._change(
            held.OpenSession(name, memory_id), lambda: self._store.create_session(name, memory_id)
        )
        if opened is not None:
            await self._keep([opened])
            return opened
        return self._held_here(await self._worker(self._copy.session, name, memory_id, clock.wall()))

    @action
    async def add_memory(self, memory: NewMemory) -> Memory:
        """Store; ``held_by`` says when it waits here."""
        return (await self.batch_add_memories([memory]))[0]

    @action
    async def batch_add_memories(self, memories: list[NewMemory]) -> list[Memory]:
        """Store all or none."""
        now = clock.wall()
        named = [
            structs.replace(m, id=m.id or new_id(), created=now if m.created is None else m.created)
            for m in memories
        ]
        stored = await self._change(held.AddMemories(named), lambda: self._store.batch_add_memories(named))
        if stored is not None:
            await self._keep([memory for memory in stored if memory.kind in ("fact", "note")])
            return stored
        return [self._held_here(memory) for memory in await self._worker(self._add_here, named)]

    @action(idempotent=True)
    async def update_memory(self, memory_id: str, change: Change) -> Memory:
        """Change a memory."""
        updated = await self._change(
            held.UpdateMemory(memory_id, change), lambda: self._store.update_memory(memory_id, change)
        )
        if updated is not None:
            return updated
        return self._held_here(await self._worker(self._copy.update, memory_id, change, clock.wall()))

    @action
    async def delete_memory(self, memory_id: str) -> int:
        """Delete a memory with its children and links."""
        deleted = await self._change(
            held.DeleteMemory(memory_id), lambda: self._store.delete_memory(memory_id)
        )
        if deleted is None:
            return await self._worker(self._delete_here, memory_id)
        await self._follow(self._delete_here, memory_id)
        return deleted

    @action
    async def reinforce_memory(self, memory_id: str, amount: float = 0.1) -> Memory:
        """Raise a memory's importance."""
        raised = await self._change(
            held.Reinforce(memory_id, amount), lambda: self._store.reinforce_memory(memory_id, amount)
        )
        if raised is not None:
            return raised
        return self._held_here(await self._worker(self._copy.reinforce, memory_id, amount, clock.wall()))

    @action(idempotent=True)
    async def add_relationship(self, link: Link) -> Link:
        """Link two memories."""
        return await self._change(held.AddLink(link), lambda: self._store.add_relationship(link)) or link

    @action(idempotent=True)
    async def get_memory(self, memory_id: str) -> Memory:
        """Read one memory."""
        return await self._read(lambda: self._store.get_memory(memory_id), lambda: self._copy.get(memory_id))

    @action(idempotent=True)
    async def batch_get_memories(self, ids: list[str]) -> list[Memory]:
        """Read those that exist."""
        return await self._read(lambda: self._store.batch_get_memories(ids), lambda: self._copy.get_many(ids))

    @action(idempotent=True)
    async def get_children(self, memory_id: str, limit: int = 50) -> list[Memory]:
        """The newest children, oldest first."""
        return await self._read(
            lambda: self._store.get_children(memory_id, limit), lambda: self._copy.children(memory_id, limit)
        )

    @action(idempotent=True)
    async def list_memories(self, kind: Kind | None = None, tag: str = "", limit: int = 50) -> list[Memory]:
        """The newest memories."""
        return await self._read(
            lambda: self._store.list_memories(kind, tag, limit), lambda: self._copy.newest(kind, tag, limit)
        )

    @action(idempotent=True)
    async def recall(self, subject: str, closeness: Closeness = "about", limit: int = 5) -> Found:
        """Facts and notes about a subject."""
        return await self._find(
            lambda: self._store.recall(subject, closeness, limit),
            lambda: retrieval.by_subject(self._copy, subject, closeness, limit),
        )

    @action(idempotent=True)
    async def search_memory(
        self, query: str, limit: int = 10, tag: str = "", kind: Kind | None = None
    ) -> Found:
        """Find by words."""
        return await self._find(
            lambda: self._store.search_memory(query, limit, tag, kind),
            lambda: retrieval.by_words(self._copy, query, limit, tag, kind),
        )

    @action(idempotent=True)
    async def semantic_search(
        self, query: str, limit: int = 10, tag: str = "", kind: Kind | None = None
    ) -> Found:
        """Find by meaning and words."""
        return await self._find(
            lambda: self._store.semantic_search(query, limit, tag, kind),
            lambda: retrieval.by_words(self._copy, query, limit, tag, kind),
        )

    @action(idempotent=True)
    async def get_related(self, memory_id: str, kind: str = "") -> list[Related]:
        """Follow links."""
        return await self._read(
            lambda: self._store.get_related(memory_id, kind), lambda: self._copy.related(memory_id, kind)
        )

    @action(idempotent=True)
    async def create_context_group(self, name: str, description: str = "") -> Group:
        """A named group; needs PC2."""
        return await self._ask(self._store.create_context_group(name, description))

    @action(idempotent=True)
    async def add_to_group(self, group: str, memory_id: str) -> int:
        """Put a memory into a group; needs PC2."""
        return await self._ask(self._store.add_to_group(group, memory_id))

    @action(idempotent=True)
    async def get_memories_by_group(self, group: str, limit: int = 100) -> list[Memory]:
        """The members of a group; needs PC2."""
        return await self._ask(self._store.get_memories_by_group(group, limit))

    @action(idempotent=True)
    async def status(self) -> GatewayStatus:
        """What waits here, and why."""
        return GatewayStatus(waiting=self._waiting, refused=self._refused, away=self._why())

    @action(idempotent=True)
    async def reset_circuit_breaker(self) -> GatewayStatus:
        """Try to hand over now."""
        await self._hand_over()
        return await self.status()

    @every(minutes=10)
    async def refresh_copy(self) -> None:
        """Take over what the store has of facts and notes, and drop what it no longer has."""
        if self._waiting:
            return
        try:
            kept = [
                memory
                for kind in ("fact", "note")
                for memory in await self._store.list_memories(kind, "", 1000)
            ]
        except TandemError as error:
            self._away = error if isinstance(error, AWAY) else self._away
            return
        self._behind = None
        await self._follow(self._replace_copy, kept)

    async def _change(self, change: held.Waiting, remote: Callable[[], Awaitable[T]]) -> T | None:
        """The store's answer, or None when the change waits here; later changes queue up behind earlier ones."""
        if not self._waiting:
            try:
                return await self._ask(remote())
            except AWAY as error:
                self.log.warning("kept here until pc2 is back: %s", error)
        await self._worker(self._outbox.append, change)
        self._waiting += 1
        self._waker.wake()
        return None

    async def _read(self, remote: Callable[[], Awaitable[T]], local: Callable[[], T]) -> T:
        try:
            return await self._ask(remote())
        except AWAY:
            try:
                return await self._worker(local)
            except NotFound:
                raise Unreachable(
                    f"the memory on pc2 is away ({self._why()}), and this is not held here",
                    hint="tandem status",
                ) from None

    async def _find(self, remote: Callable[[], Awaitable[Found]], local: Callable[[], list[Hit]]) -> Found:
        try:
            found = await self._ask(remote())
        except AWAY:
            return Found(
                await self._worker(local),
                note=f"the memory on pc2 is away ({self._why()}); this is what is held here",
            )
        if not self._waiting:
            return found
        known = {hit.memory.id for hit in found.hits}
        waiting = [hit for hit in await self._worker(local) if hit.memory.id not in known]
        return Found(waiting + found.hits, found.note)

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            with deadline_scope(effective_deadline(REMOTE_BUDGET_S)):
                answer = await call
        except AWAY as error:
            self._away = error
            self._waker.wake()
            raise
        self._away = None
        return answer

    def _why(self) -> str:
        """Why PC2 is away; empty when it is not."""
        return "" if self._away is None else self._away.message

    async def _hand_over_for_ever(self) -> None:
        while True:
            await self._waker.until(clock.wall() + RETRY_S if self._waiting else None)
            if self._waiting:
                await self._hand_over()
                await asyncio.sleep(0 if not self._waiting else RETRY_S)

    async def _hand_over(self) -> None:
        async with self._handing_over:
            while (waiting := await self._worker(self._outbox.first)) is not None:
                position, change = waiting
                try:
                    await self._ask(self._apply(change))
                except (*AWAY, Unavailable):
                    break  # unavailable: for example a full disk over there
                except TandemError as error:
                    await self._give_up(position, change, error)
                else:
                    await self._worker(self._outbox.done, position)
            self._waiting, self._refused = await self._worker(self._outbox.counts)

    async def _apply(self, change: held.Waiting) -> None:
        match change:
            case held.AddMemories(memories):
                await self._store.batch_add_memories(memories)
            case held.OpenSession(name, memory_id):
                await self._store.create_session(name, memory_id)
            case held.UpdateMemory(memory_id, new):
                await self._store.update_memory(memory_id, new)
            case held.DeleteMemory(memory_id):
                await self._store.delete_memory(memory_id)
            case held.Reinforce(memory_id, amount):
                await self._store.reinforce_memory(memory_id, amount)
            case held.AddLink(link):
                await self._store.add_relationship(link)

    async def _give_up(self, position: int, change: held.Waiting, error: TandemError) -> None:
        if isinstance(change, held.DeleteMemory):
            await self._worker(self._outbox.done, position)  # it is gone already, which is what was wanted
            return
        self.log.error("the memory store refused %s: %s", type(change).__name__, error)
        await self._worker(self._outbox.refuse, position, str(error), clock.wall())

    async def _keep(self, memories: list[Memory]) -> None:
        if memories:
            await self._follow(held.copy_into, self._copy, memories, clock.wall())

    async def _follow(self, work: Callable[..., object], *values: object) -> None:
        """Change the copy as the store was. Where that fails the store has the change all the same, so nobody is told otherwise."""
        try:
            await self._worker(work, *values)
        except Unavailable as error:
            self._behind = error
            self.log.warning("the copy of the memory is behind until it is next taken over: %s", error)

    def _held_here(self, memory: Memory) -> Memory:
        return structs.replace(memory, held_by=self.machine)

    def _add_here(self, memories: list[NewMemory]) -> list[Memory]:
        known = {memory.id for memory in self._copy.get_many([memory.parent for memory in memories])}
        return self._copy.add(
            [m if m.parent in known else structs.replace(m, parent="") for m in memories], clock.wall()
        )

    def _delete_here(self, memory_id: str) -> int:
        return self._copy.delete(memory_id) if self._copy.get_many([memory_id]) else 0

    def _replace_copy(self, kept: list[Memory]) -> None:
        wanted = {memory.id: memory for memory in kept}
        for kind in ("fact", "note"):
            for memory in self._copy.newest(kind, "", 1000):
                if memory.id not in wanted or memory.content != wanted[memory.id].content:
                    self._delete_here(memory.id)
        held.copy_into(self._copy, kept, clock.wall())
