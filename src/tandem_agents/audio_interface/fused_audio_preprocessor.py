"""Cleans the sound and marks where speech begins and ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from msgspec import Struct

from tandem.agent import Agent, Issue, action
from tandem.core.errors import TandemError
from tandem_agents.audio_interface.cleaning import Cleaner, CleaningOptions
from tandem_agents.audio_interface.contracts import Capture, CleanChunk
from tandem_agents.engines.audio import SPEECH_RATE, from_pcm, to_pcm
from tandem_agents.engines.kinds import Pcm
from tandem_agents.engines.select import open_voice_activity
from tandem_agents.engines.vad import Change, Endpointer, SpeechEvent


class FusedAudioPreprocessor(Agent):
    """Cleans the sound (offset, hum, loudness) and marks where speech begins and ends."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        cleaning: CleaningOptions = CleaningOptions()

    settings: Settings

    async def start(self) -> None:
        self._problem: Issue | None = None
        try:
            open_voice_activity()
        except TandemError as error:
            self._problem = Issue(error.message, fix=error.hint or "", blocking=True)

    async def check(self) -> Iterable[Issue]:
        return () if self._problem is None else [self._problem]

    @action
    async def clean(self, session: str, since_s: float = 0.0) -> AsyncIterator[CleanChunk]:
        endpointer = Endpointer(open_voice_activity())
        cleaner = Cleaner(SPEECH_RATE, self.settings.cleaning)
        began_s: float | None = None
        at_s = since_s
        async for chunk in self.peer(Capture).chunks(session, since_s):
            began_s = chunk.at_s if began_s is None else began_s
            audio = cleaner.clean(from_pcm(chunk.pcm))
            yield _marked(to_pcm(audio), chunk.at_s, began_s, endpointer.feed(audio), endpointer.speaking)
            at_s = chunk.at_s + audio.seconds
        yield _marked(Pcm(b"", SPEECH_RATE), at_s, began_s or 0.0, endpointer.finish(), False)


def _marked(pcm: Pcm, at_s: float, began_s: float, events: list[SpeechEvent], speaking: bool) -> CleanChunk:
    """``events`` count from ``began_s``, the first sound that was looked at."""
    times = {event.change: began_s + event.at_s for event in events}
    return CleanChunk(
        pcm=pcm,
        at_s=at_s,
        speech=speaking,
        started_s=times.get(Change.STARTED),
        ended_s=times.get(Change.ENDED),
    )
