"""Speaks answers sentence by sentence, and falls silent when told."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct

from tandem.agent import Agent, action
from tandem.core.errors import InvalidArguments
from tandem_agents.engines.kinds import Pcm
from tandem_agents.engines.text import sentences
from tandem_agents.speech_services.contracts import Voicing

MIN_SPEED, MAX_SPEED = 0.5, 2.0


class StreamingTTSAgent(Agent):
    """Speaks answers sentence by sentence, so that sound starts early, and stops at once when told."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        """``voice`` empty and ``speed`` 0 leave it to TTSService."""

        voice: str = ""
        speed: float = 0.0

    settings: Settings

    async def start(self) -> None:
        self._voice, self._speed = self.settings.voice, self.settings.speed
        self._speaking: dict[object, str] = {}

    @action
    async def speak(self, text: str, session: str = "main", voice: str = "") -> AsyncIterator[Pcm]:
        mark = object()
        self._speaking[mark] = session
        try:
            for sentence in sentences(text):
                async for piece in self.peer(Voicing).synthesize(sentence, voice or self._voice, self._speed):
                    if mark not in self._speaking:
                        return
                    yield piece
        finally:
            self._speaking.pop(mark, None)

    @action(name="stop", idempotent=True)
    async def fall_silent(self, session: str = "") -> int:
        marks = [mark for mark, speaking in self._speaking.items() if session in ("", speaking)]
        for mark in marks:
            del self._speaking[mark]
        return len(marks)

    @action(idempotent=True)
    async def update_voice_settings(self, voice: str = "", speed: float = 0.0) -> None:
        if speed and not MIN_SPEED <= speed <= MAX_SPEED:
            raise InvalidArguments(f"speed is between {MIN_SPEED} and {MAX_SPEED}, not {speed:g}")
        self._voice = voice or self._voice
        self._speed = speed or self._speed
