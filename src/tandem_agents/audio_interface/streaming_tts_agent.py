"""Speaks answers sentence by sentence, says through the loudspeaker what is said unasked, and falls silent when told."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tandem.agent import Agent, Issue, action
from tandem.core.deadline import deadline_scope
from tandem.core.errors import InvalidArguments, TandemError
from tandem_agents.audio_interface.chime import chime
from tandem_agents.audio_interface.loudspeaker import Loudspeaker, Playback
from tandem_agents.audio_interface.sound_device import SoundDevice, switched_off
from tandem_agents.engines.kinds import Pcm
from tandem_agents.engines.text import sentences
from tandem_agents.speech_services.contracts import Voicing

MIN_SPEED, MAX_SPEED = 0.5, 2.0
MAX_VOLUME = 2.0
ANNOUNCING_PAUSE_S = 5.0
"""Between the repetitions of an announcement."""
CHIME_RATE = 24_000
"""Hz of a chime that no voice follows."""
LONG_OPENING, SHORT_OPENING = 45, 12
"""Characters of a first sentence from which it is cut at a clause, and those a part must have to sound natural."""
_CLAUSE = re.compile(r"[,;:](?=\s)")


class StreamingTTSAgent(Agent):
    """Speaks answers sentence by sentence, so that sound starts early, and stops at once when told.

    What is said unasked it says through the computer's loudspeaker, if there is one; answers go to whoever asked.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        """``voice`` empty and ``speed`` 0 leave it to TTSService. ``announce_times``: how often an announcement is said."""

        voice: str = ""
        speed: float = 0.0
        audio: Literal["auto", "loudspeaker", "none"] = "auto"
        announce_times: Annotated[int, Meta(ge=1, le=20)] = 3

    settings: Settings

    async def start(self) -> None:
        self._voice, self._speed, self._volume = self.settings.voice, self.settings.speed, 1.0
        self._speaking: dict[object, str] = {}
        self._announcing: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._loudspeaker = SoundDevice(switched_off if self.settings.audio == "none" else Loudspeaker.find)
        with contextlib.suppress(TandemError):
            await self._loudspeaker.get()

    async def check(self) -> Iterable[Issue]:
        # Without a sound card `auto` is a configuration, not a fault; only an explicit wish can fail.
        if self.settings.audio == "loudspeaker" and not self._loudspeaker.is_here:
            missing = self._loudspeaker.absence.message
            return [Issue(f"no loudspeaker: {missing}", fix="set audio: auto, or connect one")]
        return ()

    @property
    def capabilities(self) -> list[str]:
        return ["loudspeaker"] if self._loudspeaker.is_here else []

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

    @action
    async def announce(self, text: str, session: str = "main") -> bool:
        try:
            loudspeaker = await self._loudspeaker.get()
        except TandemError:
            return False
        announcing = self.spawn(self._announce(text, session, loudspeaker), "announcing")
        self._announcing.add(announcing)
        announcing.add_done_callback(self._announcing.discard)
        return True

    async def _announce(self, text: str, session: str, loudspeaker: Loudspeaker) -> None:
        words = await self._voiced(text, session)
        rate = words[0].rate if words else CHIME_RATE
        for number in range(self.settings.announce_times):
            if number:
                await asyncio.sleep(ANNOUNCING_PAUSE_S)
            async with self._one_at_a_time:
                try:
                    await self._play([louder(chime(rate), self._volume), *words], loudspeaker)
                except TandemError as error:
                    self.report_error(error)
                    return

    async def _voiced(self, text: str, session: str) -> list[Pcm]:
        """The words as sound; nothing when there is no voice for them, since a chime is better than silence."""
        try:
            with deadline_scope(None):
                return [piece async for piece in self.speak(text, session)]
        except TandemError as error:
            self.log.warning("announced by a chime only: %s", error)
            return []

    async def _play(self, pieces: list[Pcm], loudspeaker: Loudspeaker) -> None:
        playback = Playback(loudspeaker)
        try:
            for piece in pieces:
                playback.add(piece)
            await playback.finish()
        finally:
            playback.silence()

    @action(name="stop", idempotent=True)
    async def fall_silent(self, session: str = "") -> int:
        for announcing in self._announcing:
            announcing.cancel()
        marks = [mark for mark, speaking in self._speaking.items() if session in ("", speaking)]
        for mark in marks:
            del self._speaking[mark]
        return len(marks) + len(self._announcing)

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
