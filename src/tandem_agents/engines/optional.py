"""Libraries that only some installations have."""

from __future__ import annotations

import importlib
from typing import Any

from tandem.core.errors import Unavailable


class LazyModule:
    """A stand-in for ``module`` that imports it when an attribute is first used.

    Agent modules can then be imported (to read their settings schema, say) on a computer that has none of
    the heavy libraries, and a process pays for a library only when it uses it. Using a missing library raises
    :class:`Unavailable` whose hint installs ``extra``.
    """

    def __init__(self, module: str, *, extra: str):
        self._module = module
        self._extra = extra

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(load_module(self._module, extra=self._extra), attribute)
        # Stored on the instance, so the next lookup does not come here.
        setattr(self, attribute, value)
        return value


def load_module(module: str, *, extra: str) -> Any:
    """Import ``module``, or raise :class:`Unavailable` naming the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"this needs the Python module {error.name or module}, which is not installed",
            hint=f"pip install 'tandem-fleet[{extra}]'",
        ) from error
    except (ImportError, OSError) as error:
        raise Unavailable(f"the Python module {module} does not load: {error}") from error


def load_sounddevice(*, look_again: bool = False) -> Any:
    """The library for sound cards; raises :class:`Unavailable` also where PortAudio, which it stands on, is missing.

    PortAudio looks for devices once; ``look_again`` makes it do so anew, which ends every stream of this process.
    """
    try:
        sounddevice = load_module("sounddevice", extra="voice")
        if look_again:
            # There is no public way.
            sounddevice._terminate()
            sounddevice._initialize()
        return sounddevice
    except Unavailable as error:
        if error.hint:
            raise
        raise Unavailable(
            "PortAudio, which talks to sound cards, is not installed", hint="sudo apt install libportaudio2"
        ) from error
