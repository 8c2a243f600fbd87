"""Turns recorded speech into text."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tandem.agent import Agent, Issue, action, every
from tandem.core.errors import InvalidArguments, TooLarge
from tandem_agents.engines.audio import from_pcm
from tandem_agents.engines.kinds import Pcm, SpeechToText, Transcript
from tandem_agents.engines.select import SpeechToTextSettings, open_speech_to_text
from tandem_agents.speech_services.contracts import SpeechStats
from tandem_agents.speech_services.engine import RECHECK_S, EngineSlot
from tandem_agents.speech_services.stats import SpeechCounter


class STTService(Agent):
    """Turns recorded speech into text, with its language, one clip at a time or in batches."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        engine: SpeechToTextSettings = SpeechToTextSettings()
        max_clip_s: float = 120.0
        max_batch: int = 32

    settings: Settings

    async def start(self) -> None:
        self._counter = SpeechCounter()
        self._engine: EngineSlot[SpeechToText] = EngineSlot(lambda: open_speech_to_text(self.settings.engine))
        await self._engine.load()

    async def stop(self) -> None:
        await self._engine.close()

    async def check(self) -> Iterable[Issue]:
        return self._engine.issues()

    @every(seconds=RECHECK_S)
    async def look_again(self) -> None:
        """See :meth:`EngineSlot.look_again`."""
        await self._engine.look_again()

    @property
    def capabilities(self) -> list[str]:
        return list(self._engine.get().languages) if self._engine.loaded else []

    @action(idempotent=True)
    async def transcribe(self, audio: Pcm) -> Transcript:
        engine = self._engine.get()
        if audio.rate <= 0:
            raise InvalidArguments(f"not a sample rate: {audio.rate}")
        if audio.seconds > self.settings.max_clip_s:
            raise TooLarge(f"the clip has {audio.seconds:.0f} s, the limit is {self.settings.max_clip_s:g} s")
        with self._counter.request():
            transcript = await engine.transcribe(from_pcm(audio))
        self._counter.heard(audio.seconds)
        return transcript

    @action(idempotent=True)
    async def batch_transcribe(self, clips: list[Pcm]) -> list[Transcript]:
        if len(clips) > self.settings.max_batch:
            raise TooLarge(f"{len(clips)} clips at once, the limit is {self.settings.max_batch}")
        return [await self.transcribe(clip) for clip in clips]

    @action(idempotent=True)
    async def performance_metrics(self) -> SpeechStats:
        return self._counter.stats()
