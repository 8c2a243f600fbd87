"""Turns an utterance into intent, slots and confidence."""

from __future__ import annotations

from tandem.agent import Agent, action
from tandem.core import clock
from tandem_agents.language_processing.calendar_words import local
from tandem_agents.language_processing.contracts import Analysis, Language
from tandem_agents.language_processing.intents import understand


class NLUAgent(Agent):
    """Says what an utterance asks for, in English, Filipino and both mixed, from a readable table of sentences."""

    @action(idempotent=True)
    async def analyze(self, text: str, language: Language = "en") -> Analysis:
        """Intent, slots and confidence of an utterance."""
        return understand(text, local(clock.wall()), language)
