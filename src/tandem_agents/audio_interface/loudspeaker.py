"""The computer's loudspeaker, by PortAudio (``sounddevice``), where there is one."""

from __future__ import annotations

import asyncio
import threading
from queue import Empty, SimpleQueue
from typing import Any

from tandem.core.errors import Unavailable
from tandem_agents.audio_interface.sound_device import default_device
from tandem_agents.engines.audio import StreamResampler, from_pcm, to_pcm
from tandem_agents.engines.kinds import Audio, Pcm

BLOCK_S = 0.05
"""Seconds handed to the sound card at once; after silence was ordered only these and what its buffer holds are heard."""


class Loudspeaker:
    """The default output device."""

    def __init__(self, sounddevice: Any, rate: int):
        self._sounddevice = sounddevice
        self._rate = rate

    @classmethod
    def find(cls, *, look_again: bool = False) -> Loudspeaker:
        """Blocks and raises as :func:`~tandem_agents.audio_interface.sound_device.default_device`."""
        return cls(*default_device("output", look_again=look_again))

    def play(self, pieces: SimpleQueue[Pcm | None], silenced: threading.Event) -> None:
        """Play what comes in ``pieces`` until None and return when it was heard, or soon after ``silenced`` is set.

        All pieces have one rate. Blocks. Raises ``Unavailable`` when the device cannot be opened or fails.
        """
        piece = pieces.get()
        if piece is None:
            return
        try:
            resampler = StreamResampler(piece.rate, self._playable(piece.rate))
            with self._sounddevice.RawOutputStream(samplerate=resampler.rate, channels=1, dtype="int16") as stream:
                while piece is not None and not silenced.is_set():
                    _write(stream, resampler.push(from_pcm(piece).samples), silenced)
                    piece = _next(stream, resampler.rate, pieces)
                if silenced.is_set():
                    stream.abort()
        except self._sounddevice.PortAudioError as error:
            raise Unavailable(f"the loudspeaker cannot be used: {error}") from error

    def _playable(self, rate: int) -> int:
        """``rate`` (Hz), or the device's own where it cannot play that."""
        try:
            self._sounddevice.check_output_settings(channels=1, dtype="int16", samplerate=rate)
        except self._sounddevice.PortAudioError:
            return self._rate
        return rate


def _next(stream: Any, rate: int, pieces: SimpleQueue[Pcm | None]) -> Pcm | None:
    """The next piece; until it comes the device plays silence, since it would complain of an underrun."""
    while True:
        try:
            return pieces.get_nowait()
        except Empty:
            stream.write(bytes(2 * int(BLOCK_S * rate)))


def _write(stream: Any, sound: Audio, silenced: threading.Event) -> None:
    data = to_pcm(sound).data
    step = 2 * int(BLOCK_S * sound.rate)
    for at in range(0, len(data), step):
        if silenced.is_set():
            return
        stream.write(data[at : at + step])


class Playback:
    """Sound on its way to a loudspeaker: pieces of one rate, played in order while more may come."""

    def __init__(self, loudspeaker: Loudspeaker):
        self._pieces: SimpleQueue[Pcm | None] = SimpleQueue()
        self._silenced = threading.Event()
        playing = asyncio.to_thread(loudspeaker.play, self._pieces, self._silenced)
        self._played = asyncio.ensure_future(playing)
        self._played.add_done_callback(_look_at_failure)

    def add(self, piece: Pcm) -> None:
        """Play ``piece`` after what was added before."""
        self._pieces.put(piece)

    async def finish(self) -> None:
        """Return when all that was added has been heard, or silenced; raises ``Unavailable`` when it could not be."""
        self._pieces.put(None)
        await asyncio.shield(self._played)

    def silence(self) -> None:
        """Be quiet now; what has not been heard yet is dropped."""
        self._silenced.set()
        self._pieces.put(None)


def _look_at_failure(played: asyncio.Future[None]) -> None:
    """Nobody waits for a playback that was silenced, and asyncio would complain of a failure nobody has seen."""
    if not played.cancelled():
        played.exception()
