"""Spots the wake phrase."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable

from msgspec import Struct

from tandem.agent import Agent, Issue, action
from tandem.core.errors import TandemError
from tandem_agents.audio_interface.contracts import Capture, Wake, WakeWordHeard
from tandem_agents.engines.audio import from_pcm
from tandem_agents.engines.select import WakeWordSettings, open_wake_word


class WakeWordDetector(Agent):
    """Spots the wake phrase in a session's sound and announces it, so that nothing is acted on before."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        engine: WakeWordSettings = WakeWordSettings()

    settings: Settings

    async def start(self) -> None:
        self._problem: Issue | None = None
        self._phrases: tuple[str, ...] = ()
        try:
            self._phrases = open_wake_word(self.settings.engine).phrases
        except TandemError as error:
            self._problem = Issue(error.message, fix=error.hint or "", blocking=True)

    async def check(self) -> Iterable[Issue]:
        return () if self._problem is None else [self._problem]

    @property
    def capabilities(self) -> list[str]:
        return list(self._phrases)

    @action
    async def detect(self, session: str, since_s: float = 0.0) -> AsyncGenerator[Wake, None]:
        detector = open_wake_word(self.settings.engine)
        began_s: float | None = None
        async for chunk in self.peer(Capture).chunks(session, since_s):
            began_s = chunk.at_s if began_s is None else began_s
            hit = detector.feed(from_pcm(chunk.pcm))
            if hit is not None:
                wake = Wake(hit.phrase, began_s + hit.at_s)
                await self.publish(WakeWordHeard(session=session, wake=wake))
                yield wake
