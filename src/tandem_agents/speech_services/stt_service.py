"""Turns recorded speech into text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from msgspec import Struct

from tandem.agent import Agent, Issue, action, every
from tandem.core import clock
from tandem.core.errors import InvalidArguments, TandemError, TooLarge
from tandem.core.ids import new_id
from tandem_agents.engines.audio import from_pcm
from tandem_agents.engines.kinds import Pcm, SpeechToText, Transcript
from tandem_agents.engines.select import SpeechToTextSettings, open_speech_to_text
from tandem_agents.engines.tracing import AUDIO_S, model_span
from tandem_agents.speech_services.batch import ClipQueue
from tandem_agents.speech_services.contracts import BatchResult, SpeechStats
from tandem_agents.speech_services.engine import RECHECK_S, EngineSlot
from tandem_agents.speech_services.stats import SpeechCounter
from tandem_agents.storage import Worker


class STTService(Agent):
    """Turns recorded speech into text, with its language, one clip at a time or in batches."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        engine: SpeechToTextSettings = SpeechToTextSettings()
        max_clip_s: float = 120.0
        max_batch: int = 32
        max_queued: int = 500

    settings: Settings

    async def start(self) -> None:
        self._counter = SpeechCounter()
        self._engine: EngineSlot[SpeechToText] = EngineSlot(lambda: open_speech_to_text(self.settings.engine))
        self._listening = 0
        self._worker = Worker("clips")
        self._queue = await self._worker(ClipQueue, self.state_dir / "clips.db", self.settings.max_queued)
        self._work = asyncio.Event()
        await self._engine.load()
        self.spawn(self._write_down_queued(), "writing down queued clips")

    async def stop(self) -> None:
        await self._worker(self._queue.close)
        self._worker.close()
        await self._engine.close()

    async def check(self) -> Iterable[Issue]:
        return self._engine.issues()

    @every(seconds=RECHECK_S)
    async def look_again(self) -> None:
        """See :meth:`EngineSlot.look_again`."""
        await self._engine.look_again()
        self._work.set()

    @property
    def capabilities(self) -> list[str]:
        return list(self._engine.get().languages) if self._engine.loaded else []

    @action(idempotent=True)
    async def transcribe(self, audio: Pcm) -> Transcript:
        self._check(audio)
        self._listening += 1
        try:
            return await self._transcribe(audio)
        finally:
            self._listening -= 1
            self._work.set()

    @action(idempotent=True)
    async def batch_transcribe(self, clips: list[Pcm]) -> list[Transcript]:
        if len(clips) > self.settings.max_batch:
            raise TooLarge(f"{len(clips)} clips at once, the limit is {self.settings.max_batch}")
        return [await self.transcribe(clip) for clip in clips]

    @action
    async def queue_for_batch(self, audio: Pcm) -> str:
        self._check(audio)
        ticket = new_id()
        await self._worker(self._queue.add, ticket, audio, clock.wall())
        self._work.set()
        return ticket

    @action(idempotent=True)
    async def batch_results(self, tickets: list[str]) -> list[BatchResult]:
        return await self._worker(self._queue.results, tickets)

    @action(idempotent=True)
    async def performance_metrics(self) -> SpeechStats:
        return self._counter.stats()

    def _check(self, audio: Pcm) -> None:
        if audio.rate <= 0:
            raise InvalidArguments(f"not a sample rate: {audio.rate}")
        if audio.seconds > self.settings.max_clip_s:
            raise TooLarge(f"the clip has {audio.seconds:.0f} s, the limit is {self.settings.max_clip_s:g} s")

    async def _transcribe(self, audio: Pcm) -> Transcript:
        engine = self._engine.get()
        with self._counter.request(), model_span("transcribe", engine.name) as work:
            work.set(AUDIO_S, audio.seconds)
            transcript = await engine.transcribe(from_pcm(audio))
        self._counter.heard(audio.seconds)
        return transcript

    async def _write_down_queued(self) -> None:
        """One clip at a time, while nobody who is waiting for an answer is listened to; runs for ever."""
        while True:
            self._work.clear()
            clip = await self._worker(self._queue.oldest)
            if clip is None or self._listening or not self._engine.loaded:
                await self._work.wait()
                continue
            try:
                heard = await self._transcribe(clip.audio)
            except TandemError as error:
                await self._worker(self._queue.failed, clip.ticket, str(error))
            else:
                await self._worker(self._queue.done, clip.ticket, heard)
