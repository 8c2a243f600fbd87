"""Takes sound in: from the microphone, from files, from the network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Literal

from msgspec import Struct

from tandem.agent import Agent, Issue, action, every
from tandem.core.errors import TandemError, Unavailable
from tandem_agents.audio_interface.contracts import Chunk, SourceKind
from tandem_agents.audio_interface.microphone import Microphone, Recording
from tandem_agents.audio_interface.sessions import Session, Sessions
from tandem_agents.audio_interface.sound_device import SoundDevice, switched_off
from tandem_agents.engines.kinds import Pcm


class AudioCapture(Agent):
    """Takes sound in from the microphone, files and the network, all three as equal sources."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        audio: Literal["auto", "microphone", "none"] = "auto"
        max_sessions: int = 16
        buffer_s: float = 60.0
        idle_s: float = 60.0

    settings: Settings

    async def start(self) -> None:
        self._sessions = Sessions(self.settings.max_sessions, self.settings.buffer_s)
        self._microphone = SoundDevice(switched_off if self.settings.audio == "none" else Microphone.find)
        with contextlib.suppress(TandemError):
            await self._microphone.get()
        self._recordings: dict[str, Recording] = {}

    async def stop(self) -> None:
        for session in list(self._recordings):
            await self.close(session)

    async def check(self) -> Iterable[Issue]:
        # Without a sound card `auto` is a configuration, not a fault; only an explicit wish can fail.
        if self.settings.audio == "microphone" and not self._microphone.is_here:
            return [
                Issue(
                    f"no microphone: {self._microphone.absence.message}",
                    fix="set audio: auto, or connect one",
                    blocking=True,
                )
            ]
        return ()

    @property
    def capabilities(self) -> list[str]:
        return ["file", "network", *(["microphone"] if self._microphone.is_here else [])]

    @action
    async def open(self, kind: SourceKind) -> str:
        microphone = await self._find_microphone() if kind == "microphone" else None
        session = self._sessions.open(kind)
        if microphone is not None:
            recording = asyncio.ensure_future(self._record(microphone, session))
            try:
                # Whoever asked may have no time left; the device that is being opened must be closed all the same.
                await asyncio.shield(recording)
            except BaseException:
                recording.add_done_callback(lambda _: self.spawn(self.close(session.id), "closing the microphone"))
                raise
        return session.id

    async def _find_microphone(self) -> Microphone:
        try:
            return await self._microphone.get()
        except TandemError as absence:
            instead = "tandem talk FILE.wav works without one"
            hint = f"{instead}; with a sound card: {absence.hint}" if absence.hint else instead
            raise Unavailable(f"there is no microphone: {absence.message}", hint=hint) from absence

    async def _record(self, microphone: Microphone, session: Session) -> None:
        loop = asyncio.get_running_loop()

        def arrived(pcm: Pcm) -> None:
            loop.call_soon_threadsafe(session.record, pcm)

        self._recordings[session.id] = await asyncio.to_thread(microphone.record, arrived)

    @action
    async def push(self, session: str, pcm: Pcm, last: bool = False) -> float:
        found = self._sessions.get(session)
        await found.push(pcm, last)
        return found.seconds

    @action
    async def chunks(self, session: str, since_s: float = 0.0) -> AsyncIterator[Chunk]:
        async for chunk in self._sessions.get(session).listen(since_s):
            yield chunk

    @action(idempotent=True)
    async def close(self, session: str) -> None:
        recording = self._recordings.pop(session, None)
        if recording is not None:
            await asyncio.to_thread(recording.stop)
        self._sessions.close(session)

    @every(seconds=10)
    async def close_idle(self) -> None:
        for session in self._sessions.close_idle(self.settings.idle_s):
            self.log.info("closed the idle sound session %s", session)
            await self.close(session)
