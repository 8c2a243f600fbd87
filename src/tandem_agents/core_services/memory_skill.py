"""Remember, recall and forget what a person tells the assistant."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable

from msgspec import structs

from tandem.core.errors import DeadlineExceeded, Unreachable
from tandem.core.ids import new_id
from tandem_agents.core_services.persons import yours
from tandem_agents.core_services.turn import Turn
from tandem_agents.language_processing.contracts import Chitchat, Reply
from tandem_agents.language_processing.everyday import worth_keeping
from tandem_agents.language_processing.statements import CORRECTS
from tandem_agents.memory_services.contracts import Closeness, Hit, Memory, MemoryStore, NewMemory
from tandem_agents.memory_system.contracts import Conversations

FACT_IMPORTANCE = 0.9
NOTE_IMPORTANCE = 0.8
MAX_TOLD = 5
MOST_FORGOTTEN = 500
"""Facts, and as many notes, that go at one word; who has more says it again."""
REPEATED_TOKENS = 4_000
"""Budget of turns looked back on; the last one always has room in it."""


class MemorySkill:
    """Facts go to the memory store through MainPC's gateway, which keeps them while PC2 is away."""

    def __init__(self, memory: MemoryStore, conversations: Conversations, chitchat: Chitchat):
        self._memory, self._conversations, self._chitchat = memory, conversations, chitchat

    async def remember(self, turn: Turn) -> Reply:
        slots = turn.analysis.slots
        replaces = bool(slots.subject) and slots.kind != "about"
        new = NewMemory(
            id=new_id(),
            content=slots.label or slots.value,
            kind="fact" if replaces else "note",
            tier="medium",
            importance=FACT_IMPORTANCE if replaces else NOTE_IMPORTANCE,
            tags=[f"user:{turn.user}"],
            subject=slots.subject,
            value=slots.value if slots.subject else "",
            metadata={"session": turn.session, "turn": turn.id},
        )
        stored = await self._memory.add_memory(new)
        if stored.held_by:
            return turn.say("remembered_here", fact=_yours(stored.content), here=stored.held_by, where="pc2")
        return turn.say("remembered", fact=_yours(stored.content))

    async def told(self, turn: Turn) -> Reply | None:
        """What to say to a statement about something remembered, which it may correct; None when it is about nothing known."""
        slots = turn.analysis.slots
        corrects = slots.kind == CORRECTS
        fact = _yours(slots.label)
        if not slots.subject:
            return turn.say("say_whole") if corrects else None
        try:
            found = await self._memory.recall(slots.subject, "same", 1)
        except (Unreachable, DeadlineExceeded):
            return turn.say("memory_away", subject=slots.subject) if corrects else None
        known = [hit.memory for hit in found.hits if hit.memory.kind == "fact" and hit.memory.value]
        if not known:
            if corrects:
                return turn.say("nothing_to_correct", subject=_named(turn), fact=slots.label)
            return turn.say("not_kept", fact=slots.label) if worth_keeping(slots.subject) else None
        before = known[0]
        if before.value.casefold() == slots.value.casefold():
            return turn.say("known_already", fact=_yours(before.content))
        if not corrects:
            return turn.say("told_otherwise", before=_yours(before.content), fact=slots.label)
        await self.remember(turn)
        return turn.say("corrected", fact=fact, before=before.value)

    async def recall(self, turn: Turn) -> Reply:
        """What is known about a subject, or that nothing is; never a guess."""
        told = await self.known(turn, "about")
        if told is not None:
            return told
        return turn.say("not_remembered", subject=_named(turn))

    async def known(self, turn: Turn, closeness: Closeness) -> Reply | None:
        """What is remembered about the turn's subject, if anything is."""
        subject = turn.analysis.slots.subject
        try:
            found = await self._memory.recall(subject, closeness, MAX_TOLD)
        except (Unreachable, DeadlineExceeded):
            return turn.say("memory_away", subject=subject) if closeness == "about" else None
        hits = [hit for hit in found.hits if not (_asks_own(turn) and _is_anothers(hit.memory, subject))]
        return _told(turn, hits) if hits else None

    async def repeat(self, turn: Turn) -> Reply:
        """The last answer of this conversation, or what the person said before."""
        earlier = await self._conversations.get_context(turn.session, REPEATED_TOKENS)
        earlier = [one for one in earlier if one.intent not in ("repeat", "stop")]
        own = turn.analysis.slots.kind == "question"
        if not earlier:
            return turn.say("nothing_asked" if own else "nothing_said")
        if own:
            return turn.say("you_said", said=earlier[-1].said)
        return Reply(text=earlier[-1].answer, language=turn.language)

    async def mentions(self, turn: Turn) -> list[Reply]:
        """Everything remembered that has all meaningful words of the question."""
        try:
            found = await self._memory.recall(turn.analysis.text, "about", MAX_TOLD)
        except (Unreachable, DeadlineExceeded):
            return []
        return [_part(turn, hit.memory) for hit in found.hits]

    async def list(self, turn: Turn) -> Reply:
        facts = await self._memory.list_memories(kind="fact", limit=MAX_TOLD * 4)
        notes = await self._memory.list_memories(kind="note", limit=MAX_TOLD * 4)
        newest = sorted(facts + notes, key=lambda memory: memory.created, reverse=True)[: MAX_TOLD * 2]
        if not newest:
            return turn.say("nothing_remembered")
        return turn.say(
            "memories", *(_part(turn, memory) for memory in newest), count=len(facts) + len(notes)
        )

    async def forget(self, turn: Turn) -> Reply:
        slots = turn.analysis.slots
        if slots.everything:
            return await self._forget_all(turn)
        found = await self._memory.recall(slots.subject, "about", MAX_TOLD)
        if not found.hits:
            return turn.say("not_remembered", subject=_named(turn))
        parts = [_part(turn, hit.memory) for hit in found.hits]
        if len(found.hits) > 1:
            return turn.say("forget_which", *parts, subject=slots.subject)
        await self._memory.delete_memory(found.hits[0].memory.id)
        await self._forget_talk(turn, [slots.subject])
        return turn.say("forgotten", *parts)

    async def _forget_all(self, turn: Turn) -> Reply:
        """Only after the person has said so twice; ``kind`` is what they said the second time."""
        slots = turn.analysis.slots
        if slots.kind == "no":
            return turn.say("kept_all")
        told = await self._memory.list_memories(kind="fact", limit=MOST_FORGOTTEN)
        told += await self._memory.list_memories(kind="note", limit=MOST_FORGOTTEN)
        if not told:
            return turn.say("nothing_remembered")
        if slots.kind != "yes":
            turn.analysis = structs.replace(turn.analysis, slots=structs.replace(slots, missing="consent"))
            return turn.say("forget_sure", count=len(told))
        for memory in told:
            await self._memory.delete_memory(memory.id)
        await self._forget_talk(turn, [memory.subject or memory.content for memory in told])
        return turn.say("forgotten_all", count=len(told))

    async def _forget_talk(self, turn: Turn, subjects: Iterable[str]) -> None:
        """A language model would otherwise read it back from the conversation in which it was told."""
        for subject in subjects:
            await self._conversations.forget_mentions(subject)
        # Who is away has forgotten by itself: small talk is on no disk.
        with contextlib.suppress(Unreachable, DeadlineExceeded):
            await self._chitchat.clear_history(turn.user)


def _told(turn: Turn, hits: list[Hit]) -> Reply:
    return turn.say("fact", fact="; ".join(_yours(hit.memory.content) for hit in hits[:MAX_TOLD]))


def _asks_own(turn: Turn) -> bool:
    """Whether the turn asks for something of the person who asks: ``what is my name``, ``where are our keys``."""
    slots = turn.analysis.slots
    return slots.kind == "own" or f" my {slots.subject}".lower() in f" {turn.analysis.text}".lower()


def _named(turn: Turn) -> str:
    """The turn's subject with the article it was said with."""
    subject = turn.analysis.slots.subject
    if _asks_own(turn):
        return f"your {subject}"
    return f"the {subject}" if f" the {subject}".lower() in f" {turn.analysis.text}".lower() else subject


def _part(turn: Turn, memory: Memory) -> Reply:
    return turn.say("fact", fact=_yours(memory.content))


def _yours(content: str) -> str:
    text = yours(content)
    return text[:1].upper() + text[1:]


def _is_anothers(memory: Memory, subject: str) -> bool:
    """Whether it is of somebody else's thing: ``Anna's birthday`` when one's own is asked for."""
    owners = re.findall(r"(\w+)['’]s\b", memory.subject.lower())
    asked = subject.lower()
    return any(owner not in asked for owner in owners)
