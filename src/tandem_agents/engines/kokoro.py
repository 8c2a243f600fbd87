"""Speech by Kokoro-82M (Apache-2.0), an ONNX model run by onnxruntime.

The phonemes come from espeak-ng, which is GPL-3.0-or-later: see :mod:`tandem_agents.engines.phonemes`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from tandem.core.errors import InvalidArguments, NotFound, Unavailable
from tandem_agents.engines.kinds import Audio, Voice
from tandem_agents.engines.optional import LazyModule
from tandem_agents.engines.phonemes import Phonemizer
from tandem_agents.engines.text import sentences, speakable
from tandem_agents.engines.worker import Worker

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy", extra="voice")
    onnxruntime = LazyModule("onnxruntime", extra="voice")

RATE = 24_000
MAX_TOKENS = 510
"""The model's context of 512 less the two pad tokens (config.json of hexgrad/Kokoro-82M)."""

CHUNK_TOKENS = 250
"""Tokens computed at a time. The memory of a run grows with them: 300 MB for these, twice that for the maximum."""

STYLE_SIZE = 256

# The model's symbols by token id, from the same config.json.
_VOCABULARY: dict[str, int] = {
    ";": 1, ":": 2, ",": 3, ".": 4, "!": 5, "?": 6, "—": 9, "…": 10, '"': 11, "(": 12, ")": 13, "“": 14,
    "”": 15, " ": 16, "\u0303": 17, "ʣ": 18, "ʥ": 19, "ʦ": 20, "ʨ": 21, "ᵝ": 22, "ꭧ": 23, "A": 24,
    "I": 25, "O": 31, "Q": 33, "S": 35, "T": 36, "W": 39, "Y": 41, "ᵊ": 42, "a": 43, "b": 44, "c": 45,
    "d": 46, "e": 47, "f": 48, "h": 50, "i": 51, "j": 52, "k": 53, "l": 54, "m": 55, "n": 56, "o": 57,
    "p": 58, "q": 59, "r": 60, "s": 61, "t": 62, "u": 63, "v": 64, "w": 65, "x": 66, "y": 67, "z": 68,
    "ɑ": 69, "ɐ": 70, "ɒ": 71, "æ": 72, "β": 75, "ɔ": 76, "ɕ": 77, "ç": 78, "ɖ": 80, "ð": 81, "ʤ": 82,
    "ə": 83, "ɚ": 85, "ɛ": 86, "ɜ": 87, "ɟ": 90, "ɡ": 92, "ɥ": 99, "ɨ": 101, "ɪ": 102, "ʝ": 103,
    "ɯ": 110, "ɰ": 111, "ŋ": 112, "ɳ": 113, "ɲ": 114, "ɴ": 115, "ø": 116, "ɸ": 118, "θ": 119, "œ": 120,
    "ɹ": 123, "ɾ": 125, "ɻ": 126, "ʁ": 128, "ɽ": 129, "ʂ": 130, "ʃ": 131, "ʈ": 132, "ʧ": 133, "ʊ": 135,
    "ʋ": 136, "ʌ": 138, "ɣ": 139, "ɤ": 140, "χ": 142, "ʎ": 143, "ʒ": 147, "ʔ": 148, "ˈ": 156, "ˌ": 157,
    "ː": 158, "ʰ": 162, "ʲ": 164, "↓": 169, "→": 171, "↗": 172, "↘": 173, "ᵻ": 177,
}  # fmt: skip
_BLANK = _VOCABULARY[" "]
_LAST_PUNCTUATION = _BLANK

_LANGUAGES = {"a": "en-US", "b": "en-GB", "e": "es", "f": "fr", "i": "it", "p": "pt-BR"}
"""A voice's id begins with its language and gender: ``bm_george`` is a British man."""

_QUIET = 10 ** (-50 / 20)
"""Samples below this (-50 dBFS) before and after a sentence are the model's padding."""

_LEAD_S = 0.03
_GAP_S = 0.2
"""Silence kept before and after a sentence."""


class KokoroOptions(Struct, frozen=True, kw_only=True):
    """``threads`` 0 takes every core; ``voice`` is the one used when none is asked for."""

    threads: int = 0
    voice: str = "af_heart"


class Kokoro:
    """A loaded model and its voices."""

    def __init__(self, speaker: _Speaker, default_voice: str, worker: Worker):
        self._speaker = speaker
        self._default_voice = default_voice
        self._worker = worker

    @classmethod
    async def load(cls, model: Path, voices: Mapping[str, Path], options: KokoroOptions) -> Kokoro:
        """``voices`` maps ids to style files. Raises ``Unavailable``, or ``NotFound`` when ``options.voice`` is not one."""
        if options.voice not in voices:
            raise _no_voice(options.voice, voices)
        worker = Worker("kokoro")
        try:
            speaker = await worker.run(_Speaker, model, voices, options.threads)
        except BaseException:
            worker.close()
            raise
        return cls(speaker, options.voice, worker)

    @property
    def name(self) -> str:
        return "kokoro-82m"

    @property
    def rate(self) -> int:
        return RATE

    @property
    def voices(self) -> tuple[Voice, ...]:
        return tuple(_describe(voice_id) for voice_id in self._speaker.styles)

    async def synthesize(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncGenerator[Audio, None]:
        """See :class:`TextToSpeech`. Closing the iterator stops the model in the middle of a sentence."""
        chosen = voice or self._default_voice
        if chosen not in self._speaker.styles:
            raise _no_voice(chosen, self._speaker.styles)
        if not 0.5 <= speed <= 2.0:
            raise InvalidArguments(f"speed is 0.5 to 2.0, not {speed}")
        run = onnxruntime.RunOptions()
        # Gives the memory of a long sentence back after it; otherwise the process keeps its largest for ever.
        run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        calls = [
            functools.partial(self._speaker.speak, sentence, chosen, speed, run)
            for sentence in sentences(speakable(text))
        ]
        try:
            async with aclosing(self._worker.one_ahead(calls)) as spoken:
                async for audio in spoken:
                    if len(audio.samples):
                        yield audio
        finally:
            run.terminate = True

    async def close(self) -> None:
        self._worker.close()


class _Speaker:
    """The blocking half: made and used on the worker's thread only, as espeak-ng demands."""

    def __init__(self, model: Path, voices: Mapping[str, Path], threads: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        # Idle threads would otherwise spin on cores that other agents need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise Unavailable(f"onnxruntime cannot load {model}: {error}") from error
        self.styles = {voice: _style(path) for voice, path in voices.items()}
        self._phonemizer = Phonemizer()

    def speak(self, sentence: str, voice: str, speed: float, run: onnxruntime.RunOptions) -> Audio:
        """One sentence; no samples when nothing in it can be spoken."""
        phonemes = self._phonemizer.phonemes(sentence, _LANGUAGES[voice[0]])
        tokens = [_VOCABULARY[symbol] for symbol in phonemes if symbol in _VOCABULARY]
        pieces = [self._run(chunk, voice, speed, run) for chunk in _chunks(tokens)]
        return Audio(np.concatenate([*pieces, np.zeros(0, np.float32)]), RATE)

    def _run(
        self, tokens: list[int], voice: str, speed: float, run: onnxruntime.RunOptions
    ) -> NDArray[np.float32]:
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": self.styles[voice][len(tokens) - 1][None],
            "speed": np.array([speed], dtype=np.float32),
        }
        return _trimmed(self._session.run(None, inputs, run)[0].ravel())


def _chunks(tokens: list[int]) -> Iterator[list[int]]:
    """At most :data:`CHUNK_TOKENS` each, cut at the last blank before if there is one."""
    while len(tokens) > CHUNK_TOKENS:
        blanks = [at for at in range(1, CHUNK_TOKENS) if tokens[at] == _BLANK]
        cut = blanks[-1] if blanks else CHUNK_TOKENS
        yield tokens[:cut]
        tokens = tokens[cut:]
    if any(token > _LAST_PUNCTUATION for token in tokens):
        yield tokens


def _trimmed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    loud = np.flatnonzero(np.abs(samples) > _QUIET)
    if not len(loud):
        return samples[:0]
    start = max(0, int(loud[0]) - round(_LEAD_S * RATE))
    return samples[start : int(loud[-1]) + round(_GAP_S * RATE)]


def _style(path: Path) -> NDArray[np.float32]:
    """One style vector per number of tokens, shape ``(510, 256)``."""
    values = np.fromfile(path, dtype="<f4")
    if values.size != MAX_TOKENS * STYLE_SIZE:
        raise Unavailable(f"{path} is not a voice of Kokoro v1.0")
    return values.reshape(MAX_TOKENS, STYLE_SIZE)


def _describe(voice: str) -> Voice:
    return Voice(voice, _LANGUAGES[voice[0]], "female" if voice[1] == "f" else "male")


def _no_voice(voice: str, known: Iterable[str]) -> NotFound:
    return NotFound(f"there is no voice {voice}", hint=f"there are {', '.join(sorted(known))}")
