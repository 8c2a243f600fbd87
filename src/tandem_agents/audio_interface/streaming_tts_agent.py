"""Speaks answers sentence by sentence, and falls silent when told."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import Struct

from tandem.agent import Agent, action
from tandem.core.errors import InvalidArguments
from tandem_agents.engines.kinds import Pcm
from tandem_agents.engines.text import sentences
from tandem_agents.speech_services.contracts import Voicing

MIN_SPEED, MAX_SPEED = 0.5, 2.0
MAX_VOLUME = 2.0
LONG_OPENING, SHORT_OPENING = 45, 12
"""Characters of a first sentence from which it is cut at a clause, and those a part must have to sound natural."""
_CLAUSE = re.compile(r"[,;:](?=\s)")


class StreamingTTSAgent(Agent):
    """Speaks answers sentence by sentence, so that sound starts early, and stops at once when told."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        """``voice`` empty and ``speed`` 0 leave it to TTSService."""

        voice: str = ""
        speed: float = 0.0

    settings: Settings

    async def start(self) -> None:
        self._voice, self._speed, self._volume = self.settings.voice, self.settings.speed, 1.0
        self._speaking: dict[object, str] = {}

    @action
    async def speak(
        self, text: str, session: str = "main", voice: str = "", speed: float = 0.0
    ) -> AsyncGenerator[Pcm, None]:
        mark = object()
        self._speaking[mark] = session
        try:
            for part in spoken_parts(text):
                voicing = self.peer(Voicing).synthesize(part, voice or self._voice, speed or self._speed)
                async for piece in voicing:
                    if mark not in self._speaking:
                        return
                    yield louder(piece, self._volume)
        finally:
            self._speaking.pop(mark, None)

    @action(name="stop", idempotent=True)
    async def fall_silent(self, session: str = "") -> int:
        marks = [mark for mark, speaking in self._speaking.items() if session in ("", speaking)]
        for mark in marks:
            del self._speaking[mark]
        return len(marks)

    @action(idempotent=True)
    async def update_voice_settings(
        self, voice: str = "", speed: float = 0.0, volume: float | None = None
    ) -> None:
        if speed and not MIN_SPEED <= speed <= MAX_SPEED:
            raise InvalidArguments(f"speed is between {MIN_SPEED} and {MAX_SPEED}, not {speed:g}")
        if volume is not None and not 0 <= volume <= MAX_VOLUME:
            raise InvalidArguments(f"volume is between 0 and {MAX_VOLUME:g}, not {volume:g}")
        self._voice = voice or self._voice
        self._speed = speed or self._speed
        self._volume = self._volume if volume is None else volume

    @action(name="text")
    async def read_text(self, text: str, session: str = "main") -> AsyncGenerator[Pcm, None]:
        """What programs written for the first assistant call :meth:`speak`."""
        async with aclosing(self.speak(text, session)) as said:
            async for piece in said:
                yield piece

    @action(name="STOP_SPEAKING", idempotent=True)
    async def stop_speaking(self) -> int:
        """What programs written for the first assistant call :meth:`fall_silent`."""
        return await self.fall_silent()


def spoken_parts(text: str) -> list[str]:
    """Sentences; a long first one is cut at its first clause, whose sound is there while the rest is being made."""
    parts = sentences(text)
    if not parts or len(parts[0]) < LONG_OPENING:
        return parts
    cut = next((match.end() for match in _CLAUSE.finditer(parts[0]) if match.end() >= SHORT_OPENING), None)
    if cut is None or len(parts[0]) - cut < SHORT_OPENING:
        return parts
    return [parts[0][:cut].strip(), parts[0][cut:].strip(), *parts[1:]]


def louder(piece: Pcm, volume: float) -> Pcm:
    """The piece at ``volume``; what would be beyond full scale is cut off."""
    if volume == 1.0:
        return piece
    import numpy as np

    samples = np.frombuffer(piece.data, dtype="<i2").astype(np.float32) * volume
    return Pcm(np.clip(samples, -32768, 32767).astype("<i2").tobytes(), piece.rate)
