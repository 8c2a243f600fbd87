"""Friendly small talk."""

from __future__ import annotations

import re
from collections import deque

from msgspec import Struct

from tandem.agent import Agent, action
from tandem.core import clock
from tandem_agents.core_services.contracts import Models
from tandem_agents.engines.kinds import ChatOptions
from tandem_agents.language_processing.calendar_words import local, part_of_day
from tandem_agents.language_processing.contracts import Intent, Language, Reply
from tandem_agents.language_processing.phrasebook import render
from tandem_agents.language_processing.prompts import conversation, system_prompt
from tandem_agents.memory_system.contracts import Interaction

KEPT_TURNS = 12
_COURTESIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), phrase)
    for pattern, phrase in (
        (r"how are (?:you|things)|how is it going|kumusta|kamusta", "how_are_you"),
        (r"who are you|what are you|your name|should i call you|sino ka|pangalan mo", "who_are_you"),
        (r"^(?:yes|no|ok|okay|sure|yeah|nope|oo|hindi)$", "acknowledged"),
    )
)


class ChitchatAgent(Agent):
    """Answers greetings and courtesies itself, and chats about anything else with the language model and the user's history."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        name: str = "Tandem"
        persona: str = "You are warm, brief and a little playful."

    settings: Settings

    async def start(self) -> None:
        self._history: dict[str, deque[Interaction]] = {}

    @action
    async def chitchat(
        self, text: str, user: str = "you", language: Language = "en", intent: Intent = "small_talk"
    ) -> str:
        """A friendly reply."""
        reply = self._courtesy(text, language, intent)
        if reply is None:
            reply = await self._chat(text, user, language)
        self._history.setdefault(user, deque(maxlen=KEPT_TURNS)).append(Interaction(said=text, answer=reply))
        return reply

    @action
    async def clear_history(self, user: str) -> int:
        """Forget this user's small talk."""
        return len(self._history.pop(user, ()))

    def _courtesy(self, text: str, language: Language, intent: Intent) -> str | None:
        now = local(clock.wall())
        phrase = next((phrase for pattern, phrase in _COURTESIES if pattern.search(text)), "")
        if not phrase and intent in ("greeting", "thanks", "goodbye"):
            phrase = intent
        if not phrase:
            return None
        facts = {"part": part_of_day(now), "name": self.settings.name}
        return render(Reply(phrase=phrase, facts=dict(facts), language=language), now)

    async def _chat(self, text: str, user: str, language: Language) -> str:
        system = system_prompt(self.settings.name, local(clock.wall()), language, "chat")
        messages = conversation(f"{system}\n{self.settings.persona}", list(self._history.get(user, ())), text)
        completion = await self.peer(Models).generate_text(
            messages, ChatOptions(max_tokens=120, temperature=0.8)
        )
        return completion.text.strip()
