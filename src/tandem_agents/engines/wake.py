"""Being called: by microWakeWord models on sound, or by the assistant's name in a transcript."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tandem.core.errors import InvalidArguments, Unavailable
from tandem_agents.engines.audio import SPEECH_RATE, to_pcm
from tandem_agents.engines.kinds import Audio, WakeHit
from tandem_agents.engines.optional import LazyModule

if TYPE_CHECKING:
    import pymicro_wakeword
else:
    pymicro_wakeword = LazyModule("pymicro_wakeword", extra="voice")

REFRACTORY_S = 1.5
"""After a hit the same utterance keeps scoring for a while; it counts once."""

_FRAME_S = 0.01


class MicroWakeWord:
    """Listens for one or more phrases (``pymicro-wakeword``, Apache-2.0); state of one stream."""

    def __init__(self, configurations: Sequence[Path]):
        """``configurations`` are the models' JSON files, their ``.tflite`` beside them. Raises ``Unavailable``."""
        try:
            self._models: list[Any] = [
                pymicro_wakeword.MicroWakeWord.from_config(path) for path in configurations
            ]
        except (OSError, ValueError, KeyError) as error:
            raise Unavailable(f"the wake word model does not load: {error}") from error
        self._features: Any = pymicro_wakeword.MicroWakeWordFeatures()
        self._frames = 0
        self._deaf_until_s = 0.0

    @property
    def phrases(self) -> tuple[str, ...]:
        return tuple(model.wake_word for model in self._models)

    def feed(self, audio: Audio) -> WakeHit | None:
        """See :class:`WakeWord`. Raises ``InvalidArguments`` for another rate than 16 kHz."""
        if audio.rate != SPEECH_RATE:
            raise InvalidArguments(f"this listens at {SPEECH_RATE} Hz, not {audio.rate}")
        hit = None
        for features in self._features.process_streaming(to_pcm(audio).data):
            self._frames += 1
            now_s = self._frames * _FRAME_S
            heard = [model.wake_word for model in self._models if model.process_streaming(features)]
            if heard and now_s >= self._deaf_until_s:
                self._deaf_until_s = now_s + REFRACTORY_S
                hit = hit or WakeHit(heard[0], now_s)
        return hit

    def reset(self) -> None:
        """Forget what was heard; the next audio starts a new stream."""
        self._features.reset()
        for model in self._models:
            model.reset()
        self._frames = 0
        self._deaf_until_s = 0.0


class Addressed(Struct, frozen=True):
    """The name was said: ``name`` as it was configured, ``request`` what followed it, possibly empty."""

    name: str
    request: str


class NameMatcher:
    """Finds the assistant's name at the start of a transcript, forgiving what speech recognition makes of it.

    A licence-clean stand-in for a wake word model, and a second opinion beside one.
    """

    def __init__(self, names: Sequence[str], *, similarity: float = 0.75):
        """``similarity`` (0..1, difflib's ratio) is how like a name a word must be; 1 means equal.

        Raises ``InvalidArguments`` without a name.
        """
        self._names = {tuple(_words(name)): name for name in names if _words(name)}
        if not self._names:
            raise InvalidArguments("a name has letters")
        self._similarity = similarity

    def match(self, transcript: str) -> Addressed | None:
        """Whether ``transcript`` begins with a name, after a greeting if there is one."""
        spans = list(re.finditer(r"[\w']+", transcript))
        words = [span[0].lower() for span in spans]
        first = 1 if words and words[0] in _GREETINGS else 0
        best: tuple[float, int, str] | None = None
        for name_words, name in self._names.items():
            for start in {0, first}:
                end = start + len(name_words)
                ratio = _ratio(name_words, words[start:end])
                if ratio >= self._similarity - (_GREETED if start else 0) and (
                    best is None or ratio > best[0]
                ):
                    best = (ratio, end, name)
        if best is None:
            return None
        _, end, name = best
        return Addressed(name, transcript[spans[end - 1].end() :].lstrip(" ,.!?:;-–—"))


_GREETED = 0.1
"""A greeting in front makes an unlike name more believable."""

_GREETINGS = frozenset({"hey", "hi", "hello", "okay", "ok", "oh", "yo", "a", "hay"})


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[\w']+", text)]


def _ratio(name: tuple[str, ...], heard: list[str]) -> float:
    """The likeness of the least like word; 0 when there are too few words."""
    if len(heard) < len(name):
        return 0.0
    return min(difflib.SequenceMatcher(None, a, b).ratio() for a, b in zip(name, heard, strict=True))
