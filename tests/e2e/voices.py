"""Clips in the assistant's own voice, and what its own ears hear in a clip."""

from __future__ import annotations

from pathlib import Path

from household import Household

from tandem_agents.engines.audio import concat, from_pcm, read_file, silence, to_pcm, to_wav
from tandem_agents.engines.kinds import Audio
from tandem_agents.speech_services.contracts import Dictation, Voicing


def write_clip(path: Path, speech: Audio) -> None:
    """As a WAV with half a second of silence before and after."""
    pause = silence(0.5, speech.rate)
    path.write_bytes(to_wav(concat([pause, speech, pause])))


async def synthesize(household: Household, text: str) -> Audio:
    """``text`` in the voice of the fleet's TTS."""
    async with household.connected() as connection:
        return concat([from_pcm(piece) async for piece in connection.peer(Voicing).synthesize(text)])


async def transcribe(household: Household, path: Path) -> str:
    """What the fleet's STT hears in a file."""
    async with household.connected() as connection:
        return (await connection.peer(Dictation).transcribe(to_pcm(read_file(path)))).text
