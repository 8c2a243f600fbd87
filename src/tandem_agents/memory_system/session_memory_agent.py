"""Keeps the running conversation."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, structs

from tandem.agent import Agent, action, every
from tandem.core import clock
from tandem.core.damage import read_json
from tandem.core.errors import NotFound, Unreachable
from tandem.core.ids import new_id
from tandem_agents.memory_services.contracts import Kind, Memory, MemoryStore, NewMemory
from tandem_agents.memory_services.words import content_words
from tandem_agents.memory_system.contracts import Interaction, Session

CHARS_PER_TOKEN = 4
"""A rule of thumb for English in byte-pair vocabularies; a budget need not be exact."""
KEPT_TURNS = 40
MAX_TURN_CHARS = 8_000
MAX_FORGOTTEN = 500


class SessionMemoryAgent(Agent):
    """Opens sessions, appends each turn, returns the recent context within a budget, and lets stale sessions end.

    Turns are memories like any others: on disk, searchable, and fading with time.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        stale_after_s: float = 1800.0
        max_sessions: int = 200

    settings: Settings

    async def start(self) -> None:
        self._memory = self.peer(MemoryStore, "MemoryClient")
        self._file = self.state_dir / "sessions.json"
        self._recent: dict[str, deque[Interaction]] = {}
        self._sessions = read_json(self._file, dict[str, Session]) or {}

    @action(idempotent=True)
    async def create_session(self, name: str = "main") -> Session:
        """The open session of that name, new when there is none or it has gone stale."""
        known = self._sessions.get(name)
        now = clock.wall()
        if known is not None and now - known.last <= self.settings.stale_after_s:
            return known
        memory_id = new_id()
        opened = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        memory = await self._memory.create_session(f"{name} {opened} {memory_id}", memory_id)
        self._recent.pop(name, None)
        return self._put(Session(name=name, memory=memory.id, opened=now, last=now, turns=0))

    @action
    async def add_interaction(self, session: str, interaction: Interaction) -> Session:
        """Append a turn; on disk when this returns."""
        current = await self.create_session(session)
        recent = await self._turns(current)
        at = interaction.at or clock.wall()
        await self._memory.add_memory(
            NewMemory(
                content=_content(interaction), kind="turn", tags=[f"session:{session}", f"user:{interaction.user}"],
                importance=0.5, parent=current.memory, created=at,
                metadata={
                    "said": interaction.said[:MAX_TURN_CHARS], "answer": interaction.answer[:MAX_TURN_CHARS],
                    "intent": interaction.intent, "turn": interaction.turn, "user": interaction.user,
                },
            )
        )  # fmt: skip
        recent.append(structs.replace(interaction, at=at))
        return self._put(structs.replace(current, last=clock.wall(), turns=current.turns + 1))

    @action(idempotent=True)
    async def get_context(self, session: str = "main", budget_tokens: int = 800) -> list[Interaction]:
        """The newest turns that fit into the budget, oldest first."""
        known = self._sessions.get(session)
        if known is None or clock.wall() - known.last > self.settings.stale_after_s:
            return []
        return within_budget(list(await self._turns(known)), budget_tokens)

    @action(idempotent=True)
    async def search_interactions(self, query: str, session: str = "", limit: int = 10) -> list[Interaction]:
        """Turns that share words with the query, best first."""
        tag = f"session:{session}" if session else ""
        found = await self._memory.search_memory(query, limit, tag, "turn")
        return [_interaction(hit.memory) for hit in found.hits]

    @action
    async def forget_mentions(self, what: str) -> int:
        """Forget every turn that has all meaningful words of ``what``, and summaries of old ones that have."""
        words = set(content_words(what))
        if not words:
            return 0
        for session, turns in self._recent.items():
            kept = [turn for turn in turns if not words <= set(content_words(f"{turn.said} {turn.answer}"))]
            self._recent[session] = deque(kept, maxlen=KEPT_TURNS)
        gone: set[str] = set()
        # Again and again: what is deleted makes room for more of it among the best hits.
        while mentions := [found for found in await self._mentioning(what, words) if found not in gone]:
            for memory_id in mentions:
                await self._memory.delete_memory(memory_id)
            gone.update(mentions)
        return len(gone)

    async def _mentioning(self, what: str, words: set[str]) -> list[str]:
        """Ids of turns and summaries that have all of ``words``."""
        kinds: tuple[Kind, ...] = ("turn", "summary")
        found = [await self._memory.search_memory(what, MAX_FORGOTTEN, "", kind) for kind in kinds]
        hits = (hit.memory for answer in found for hit in answer.hits)
        return [memory.id for memory in hits if words <= set(content_words(memory.content))]

    @action
    async def delete_session(self, session: str) -> int:
        """Forget a conversation."""
        known = self._sessions.pop(session, None)
        if known is None:
            raise NotFound(f"no session is called {session}")
        self._recent.pop(session, None)
        self._save()
        return await self._memory.delete_memory(known.memory)

    @every(minutes=5)
    async def expire(self) -> None:
        """Stale sessions leave the memory of this process; their turns stay in the store."""
        now = clock.wall()
        stale = [name for name, s in self._sessions.items() if now - s.last > self.settings.stale_after_s]
        for name in stale:
            self._recent.pop(name, None)
            del self._sessions[name]
        if stale:
            self._save()

    async def _turns(self, session: Session) -> deque[Interaction]:
        recent = self._recent.get(session.name)
        if recent is None:
            try:
                children = (
                    await self._memory.get_children(session.memory, KEPT_TURNS) if session.turns else []
                )
            except Unreachable as error:
                self.log.warning("earlier turns are not at hand: %s", error)
                children = []
            recent = deque(
                (_interaction(child) for child in children if child.kind == "turn"), maxlen=KEPT_TURNS
            )
            self._recent[session.name] = recent
        return recent

    def _put(self, session: Session) -> Session:
        self._sessions[session.name] = session
        while len(self._sessions) > self.settings.max_sessions:
            oldest = min(self._sessions.values(), key=lambda known: known.last)
            del self._sessions[oldest.name]
            self._recent.pop(oldest.name, None)
        self._save()
        return session

    def _save(self) -> None:
        """The names only: turns are in the memory store. A lost or torn file only opens new sessions, so nobody waits for the disk."""
        partial = self._file.with_suffix(".new")
        try:
            partial.write_bytes(msgspec.json.encode(self._sessions))
            partial.replace(self._file)
        except OSError as error:
            self.log.warning("which sessions are open is not written down: %s", error)


def within_budget(turns: list[Interaction], budget_tokens: int) -> list[Interaction]:
    """The newest turns whose text fits into ``budget_tokens``, oldest first."""
    left = budget_tokens * CHARS_PER_TOKEN
    kept: list[Interaction] = []
    for turn in reversed(turns):
        left -= len(turn.said) + len(turn.answer)
        if left < 0:
            break
        kept.append(turn)
    return kept[::-1]


def _content(interaction: Interaction) -> str:
    return f"{interaction.said[:MAX_TURN_CHARS]}\n{interaction.answer[:MAX_TURN_CHARS]}"


def _interaction(memory: Memory) -> Interaction:
    about = memory.metadata
    return Interaction(
        said=about.get("said", memory.content), answer=about.get("answer", ""), intent=about.get("intent", ""),
        turn=about.get("turn", ""), user=about.get("user", "you"), at=memory.created,
    )  # fmt: skip
