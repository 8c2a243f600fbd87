"""The computer's microphone, by PortAudio (``sounddevice``), where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tandem.core.errors import Unavailable
from tandem_agents.audio_interface.sound_device import default_device
from tandem_agents.engines.kinds import Pcm

BLOCK_S = 0.05
"""Seconds of sound per callback of the sound card."""


class Recording:
    """A running recording."""

    def __init__(self, stream: Any):
        self._stream = stream

    def stop(self) -> None:
        """Stop and release the device. Blocks for a moment."""
        self._stream.stop()
        self._stream.close()


class Microphone:
    """The default input device."""

    def __init__(self, sounddevice: Any, rate: int):
        self._sounddevice = sounddevice
        self._rate = rate

    @classmethod
    def find(cls, *, look_again: bool = False) -> Microphone:
        """Blocks and raises as :func:`~tandem_agents.audio_interface.sound_device.default_device`."""
        return cls(*default_device("input", look_again=look_again))

    def record(self, arrived: Callable[[Pcm], None]) -> Recording:
        """Record mono until stopped; ``arrived`` is called on the sound card's own thread."""

        def block(data: Any, _frames: int, _time: Any, _status: Any) -> None:
            arrived(Pcm(bytes(data), self._rate))

        try:
            stream = self._sounddevice.RawInputStream(
                samplerate=self._rate,
                blocksize=int(self._rate * BLOCK_S),
                channels=1,
                dtype="int16",
                callback=block,
            )
        except self._sounddevice.PortAudioError as error:
            raise Unavailable(f"the microphone cannot be opened: {error}") from error
        try:
            stream.start()
        except self._sounddevice.PortAudioError as error:
            stream.close()
            raise Unavailable(f"the microphone does not start: {error}") from error
        return Recording(stream)
