"""A microphone or loudspeaker that may come later: plugged in, or with the sound server of who logs in."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Literal, NoReturn, Protocol, TypeVar

from tandem.core.errors import TandemError, Unavailable
from tandem_agents.engines.optional import load_sounddevice

D = TypeVar("D", covariant=True)


class Find(Protocol[D]):
    """Finds a device. Raises ``Unavailable``; blocks. ``look_again`` looks beyond what was there the first time."""

    def __call__(self, *, look_again: bool) -> D: ...


class SoundDevice(Generic[D]):
    """A device once it is found; whoever wants it while it is not has it looked for again."""

    def __init__(self, find: Find[D]):
        self._find = find
        self._device: D | None = None
        self._absence: TandemError = Unavailable("nobody has looked for it yet")
        self._looked = False
        self._looking = asyncio.Lock()

    @property
    def is_here(self) -> bool:
        return self._device is not None

    @property
    def absence(self) -> TandemError:
        """Why it is not here."""
        return self._absence

    async def get(self) -> D:
        """Raises ``Unavailable`` while there is none."""
        async with self._looking:
            if self._device is None:
                try:
                    self._device = await asyncio.to_thread(self._find, look_again=self._looked)
                except TandemError as error:
                    self._absence = error
                    raise
                finally:
                    self._looked = True
            return self._device


def switched_off(*, look_again: bool) -> NoReturn:
    """A :class:`Find` that finds nothing, since the settings say so."""
    raise Unavailable("switched off by `audio: none`")


def default_device(kind: Literal["input", "output"], *, look_again: bool) -> tuple[Any, int]:
    """The library, and the rate (Hz) of its default device of that kind. Blocks while PortAudio looks around.

    Raises ``Unavailable`` when the library or a device is missing. ``look_again``: see :func:`load_sounddevice`.
    """
    sounddevice = load_sounddevice(look_again=look_again)
    try:
        device = sounddevice.query_devices(kind=kind)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise Unavailable(f"no {kind} device: {error}") from error
    return sounddevice, int(device["default_samplerate"])
