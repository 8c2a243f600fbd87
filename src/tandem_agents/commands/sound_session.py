"""Sound for the assistant to hear: the microphone's, or a recording's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from msgspec import Struct

from tandem.api import Connection
from tandem.core.errors import TandemError
from tandem_agents.audio_interface.contracts import Capture
from tandem_agents.engines.audio import to_pcm
from tandem_agents.engines.kinds import Audio, Pcm

PUSH_S = 1.0
"""Seconds of sound handed in per call."""


class SoundSession(Struct, frozen=True):
    """An open session: its ``id`` with AudioCapture, and whether it was ``recorded`` before."""

    connection: Connection
    id: str
    recorded: bool


@asynccontextmanager
async def hearing(connection: Connection, sound: Audio | None) -> AsyncIterator[SoundSession]:
    """A session of the microphone, or of ``sound``."""
    capture = connection.peer(Capture)
    source = await capture.open("microphone" if sound is None else "file")
    pushing = asyncio.create_task(_push(capture, source, sound))
    try:
        yield SoundSession(connection, source, recorded=sound is not None)
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        with contextlib.suppress(TandemError):
            await capture.close(source)


async def _push(capture: Capture, source: str, sound: Audio | None) -> None:
    if sound is None:
        return
    for pcm, last in _pieces(sound):
        await capture.push(source, pcm, last)


def _pieces(sound: Audio) -> Iterator[tuple[Pcm, bool]]:
    step = int(PUSH_S * sound.rate)
    for at in range(0, len(sound.samples), step):
        part = Audio(sound.samples[at : at + step], sound.rate)
        yield to_pcm(part), at + step >= len(sound.samples)
