"""Decides English, Filipino or mixed for each utterance."""

from __future__ import annotations

from tandem.agent import Agent, action
from tandem_agents.audio_interface.language_id import guess_language
from tandem_agents.language_processing.contracts import LanguageGuess


class StreamingLanguageAnalyzer(Agent):
    """Labels what was said or typed with its language, so that it is understood and answered in that language."""

    @action(idempotent=True)
    async def label(self, text: str) -> LanguageGuess:
        """English, Filipino or mixed, with how sure that is."""
        return guess_language(text)
