"""Turns text into speech."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing

from msgspec import Struct

from tandem.agent import Agent, Issue, action, every
from tandem.core.errors import InvalidArguments, NotFound, TooLarge
from tandem_agents.engines.audio import to_pcm
from tandem_agents.engines.kinds import Pcm, TextToSpeech, Voice
from tandem_agents.engines.select import TextToSpeechSettings, open_text_to_speech
from tandem_agents.engines.tracing import AUDIO_S, model_span
from tandem_agents.speech_services.contracts import SpeechStats
from tandem_agents.speech_services.engine import RECHECK_S, EngineSlot
from tandem_agents.speech_services.stats import SpeechCounter

PIECE_S = 0.5
"""Seconds of sound per stream item: 24 kB at 24 kHz, well under the 64 KiB an item may have."""

SAMPLE_BYTES = 2


class TTSService(Agent):
    """Turns text into speech in a chosen voice, as it is computed, and remembers what it said lately."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        engine: TextToSpeechSettings = TextToSpeechSettings()
        speed: float = 1.0
        max_chars: int = 5_000
        remembered_mb: int = 16

    settings: Settings

    async def start(self) -> None:
        self._counter = SpeechCounter()
        self._voice = self.settings.engine.voice
        self._speaking: set[object] = set()
        self._said = SpeechMemory(self.settings.remembered_mb * 1024 * 1024)
        self._engine: EngineSlot[TextToSpeech] = EngineSlot(lambda: open_text_to_speech(self.settings.engine))
        await self._engine.load()

    async def stop(self) -> None:
        await self._engine.close()

    async def check(self) -> Iterable[Issue]:
        return self._engine.issues()

    @every(seconds=RECHECK_S)
    async def look_again(self) -> None:
        """See :meth:`EngineSlot.look_again`."""
        await self._engine.look_again()

    @action(idempotent=True)
    async def synthesize(self, text: str, voice: str = "", speed: float = 0.0) -> AsyncGenerator[Pcm, None]:
        engine = self._engine.get()
        text = text.strip()
        if not text:
            raise InvalidArguments("there is nothing to say")
        if len(text) > self.settings.max_chars:
            raise TooLarge(f"the text has {len(text)} characters, the limit is {self.settings.max_chars}")
        wanted = Utterance(text, voice or self._voice, speed or self.settings.speed)
        remembered = self._said.get(wanted)
        if remembered is not None:
            for piece in remembered:
                yield piece
            return
        spoken: list[Pcm] = []
        work = model_span("speak", engine.name)
        with self._counter.request(), work:
            async for audio in engine.synthesize(text, voice=wanted.voice, speed=wanted.speed):
                self._counter.heard(audio.seconds)
                for piece in pieces(to_pcm(audio)):
                    spoken.append(piece)
                    yield piece
            work.set(AUDIO_S, sum(piece.seconds for piece in spoken))
        self._said.put(wanted, spoken)

    @action
    async def speak(
        self, text: str, voice: str = "", language: str = "", speed: float = 0.0
    ) -> AsyncGenerator[Pcm, None]:
        mark = object()
        self._speaking.add(mark)
        try:
            async with aclosing(self.synthesize(text, voice or self._voice_of(language), speed)) as said:
                async for piece in said:
                    if mark not in self._speaking:
                        return
                    yield piece
        finally:
            self._speaking.discard(mark)

    @action(name="stop", idempotent=True)
    async def fall_silent(self) -> int:
        """Silence everything that :meth:`speak` speaks."""
        silenced = len(self._speaking)
        self._speaking.clear()
        return silenced

    @action(idempotent=True)
    async def set_voice(self, voice: str) -> str:
        known = {one.id for one in self._engine.get().voices}
        if voice not in known:
            raise NotFound(f"there is no voice {voice!r}", hint=f"one of {', '.join(sorted(known))}")
        before, self._voice = self._voice, voice
        return before

    @action(idempotent=True)
    async def voices(self) -> list[Voice]:
        return list(self._engine.get().voices)

    @action(idempotent=True)
    async def performance_metrics(self) -> SpeechStats:
        return self._counter.stats()

    def _voice_of(self, language: str) -> str:
        """A voice of that language; empty (the default) when none is asked for, or when the default speaks it."""
        if not language:
            return ""
        wanted = language.lower()
        fitting = [one.id for one in self._engine.get().voices if one.language.lower().startswith(wanted)]
        if not fitting:
            raise NotFound(
                f"there is no voice that speaks {language}",
                hint=f"one of {', '.join(sorted({one.language for one in self._engine.get().voices}))}",
            )
        return "" if self._voice in fitting else fitting[0]


class Utterance(Struct, frozen=True):
    """What decides how something sounds."""

    text: str
    voice: str
    speed: float


class SpeechMemory:
    """What was said lately, up to a number of bytes; the least recently said is forgotten first."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._size = 0
        self._said: OrderedDict[Utterance, list[Pcm]] = OrderedDict()

    def get(self, utterance: Utterance) -> list[Pcm] | None:
        found = self._said.get(utterance)
        if found is not None:
            self._said.move_to_end(utterance)
        return found

    def put(self, utterance: Utterance, spoken: list[Pcm]) -> None:
        size = sum(len(piece.data) for piece in spoken)
        if size > self._capacity or utterance in self._said:
            return
        self._said[utterance] = spoken
        self._size += size
        while self._size > self._capacity:
            _, forgotten = self._said.popitem(last=False)
            self._size -= sum(len(piece.data) for piece in forgotten)


def pieces(pcm: Pcm, seconds: float = PIECE_S) -> Iterator[Pcm]:
    """``pcm`` in pieces of at most ``seconds``."""
    step = max(1, round(seconds * pcm.rate)) * SAMPLE_BYTES
    for at in range(0, len(pcm.data), step):
        yield Pcm(pcm.data[at : at + step], pcm.rate)
