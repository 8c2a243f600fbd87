"""Listens: from a session's sound to what was said in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from msgspec import Struct

from tandem.agent import Agent, action
from tandem_agents.audio_interface.contracts import CleanChunk, Cleaning, Heard, UtteranceHeard, Wake, Waking
from tandem_agents.audio_interface.utterances import Utterance, UtteranceCutter
from tandem_agents.engines.kinds import Transcript
from tandem_agents.engines.wake import NameMatcher
from tandem_agents.speech_services.contracts import Dictation


class StreamingSpeechRecognition(Agent):
    """Listens in real time: partial transcripts while somebody speaks, a final one when they have finished."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        """``partial_every_s`` seconds of new speech per partial transcript; after the wake phrase an utterance
        counts as addressed if it begins within ``wake_window_s``."""

        names: tuple[str, ...] = ("Tandem", "Jarvis")
        partial_every_s: float = 0.6
        max_utterance_s: float = 30.0
        wake_window_s: float = 5.0

    settings: Settings

    async def start(self) -> None:
        self._names = NameMatcher(self.settings.names)

    @action
    async def listen(self, session: str, wake: bool = False, since_s: float = 0.0) -> AsyncIterator[Heard]:
        ears = _Ears(self, session, since_s, self._names)
        async with contextlib.aclosing(ears.follow(wake)) as heard:
            async for one in heard:
                if one.final:
                    await self.publish(UtteranceHeard(session=session, heard=one))
                yield one


class _Ears:
    """One session being listened to."""

    def __init__(self, agent: StreamingSpeechRecognition, session: str, since_s: float, names: NameMatcher):
        self._agent = agent
        self._session = session
        self._since_s = since_s
        self._names = names
        self._settings = agent.settings
        self._wakes: list[Wake] = []
        self._partial: asyncio.Task[Transcript] | None = None
        self._partial_upto_s = 0.0

    async def follow(self, wake: bool) -> AsyncGenerator[Heard, None]:
        cutter = UtteranceCutter(self._settings.max_utterance_s)
        watching = asyncio.create_task(self._watch_for_wake()) if wake else None
        try:
            async with contextlib.aclosing(self._sound()) as chunks:
                async for chunk in chunks:
                    complete = cutter.add(chunk)
                    heard = await self._final(complete) if complete else self._next_partial(cutter.so_far())
                    if heard is not None and (heard.addressed or not wake):
                        yield heard
        finally:
            for task in (watching, self._partial):
                if task is not None:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)

    def _sound(self) -> AsyncGenerator[CleanChunk, None]:
        return self._agent.peer(Cleaning).clean(self._session, self._since_s)

    async def _watch_for_wake(self) -> None:
        async for wake in self._agent.peer(Waking).detect(self._session, self._since_s):
            self._wakes.append(wake)

    async def _final(self, utterance: Utterance) -> Heard | None:
        if self._partial is not None:
            # Its words are outdated, and the recogniser has one thread: let the final transcript have it.
            self._partial.cancel()
            self._partial = None
        self._partial_upto_s = 0.0
        heard = self._heard(await self._transcribe(utterance), utterance)
        return heard if heard.text or heard.addressed else None

    def _next_partial(self, utterance: Utterance | None) -> Heard | None:
        """Never waits: a partial transcript that is not ready is given with a later chunk, or not at all."""
        if utterance is None:
            return None
        heard = None
        if self._partial is not None and self._partial.done():
            if not self._partial.cancelled() and self._partial.exception() is None:
                heard = self._heard(self._partial.result(), utterance)
            self._partial = None
        if (
            self._partial is None
            and utterance.ended_s - self._partial_upto_s >= self._settings.partial_every_s
        ):
            self._partial_upto_s = utterance.ended_s
            self._partial = asyncio.create_task(self._transcribe(utterance))
        return heard

    async def _transcribe(self, utterance: Utterance) -> Transcript:
        return await self._agent.peer(Dictation).transcribe(utterance.pcm)

    def _heard(self, transcript: Transcript, utterance: Utterance) -> Heard:
        addressed = self._names.match(transcript.text)
        return Heard(
            text=addressed.request if addressed is not None else transcript.text,
            language=transcript.language,
            final=utterance.complete,
            started_s=utterance.started_s,
            ended_s=utterance.ended_s,
            addressed=addressed is not None or self._woken(utterance),
        )

    def _woken(self, utterance: Utterance) -> bool:
        earliest = utterance.started_s - self._settings.wake_window_s
        return any(earliest <= wake.at_s <= utterance.ended_s for wake in self._wakes)
