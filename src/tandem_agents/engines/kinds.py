"""What an engine can do, one small interface per kind, and the values that cross it.

Engines are made by :mod:`tandem_agents.engines.select`, which returns them loaded. Every engine runs its
blocking work on threads of its own, may be called from one event loop, and is closed with ``close()``.
A request whose coroutine is cancelled, or whose stream is closed, stops computing as soon as its library can.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Role = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length"]


class Audio(Struct, frozen=True, eq=False):
    """Mono sound. ``samples`` is float32 in -1..1, shape ``(n,)``; ``rate`` is in Hz.

    It stays inside a process; between agents sound travels as :class:`Pcm`.
    """

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


class Pcm(Struct, frozen=True):
    """Mono sound on the wire: signed 16-bit little-endian samples at ``rate`` Hz."""

    data: bytes
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.data) / 2 / self.rate


class Message(Struct, frozen=True):
    """One turn of a conversation."""

    role: Role
    content: str


class ChatOptions(Struct, frozen=True, kw_only=True):
    """How to answer. ``temperature`` 0 always takes the likeliest token.

    ``json_schema`` holds the answer to a JSON Schema, by grammar where the engine can. ``measure`` asks for the
    tokens' probabilities along with the text, from engines that tell them.
    """

    max_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 0.95
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None
    measure: Literal["nothing", "certainty"] = "nothing"


DEFAULT_CHAT = ChatOptions()


class Usage(Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int


class ChatChunk(Struct, frozen=True):
    """A piece of an answer. The last text comes with or before ``finish``; ``usage`` comes once, at the end.

    ``log_probabilities`` are those of the piece's tokens (natural logarithm, at most 0), when they were asked for.
    """

    text: str = ""
    finish: Finish | None = None
    usage: Usage | None = None
    log_probabilities: tuple[float, ...] = ()


class Completion(Struct, frozen=True):
    """A whole answer. ``finish`` is ``length`` when ``max_tokens`` or the context cut it off.

    ``certainty`` is that of :func:`certainty`, when it was asked for.
    """

    text: str
    finish: Finish
    usage: Usage | None = None
    certainty: float | None = None


def certainty(log_probabilities: Sequence[float]) -> float | None:
    """How sure a model was of its words: the geometric mean (0..1) of their probabilities; None for no words.

    Length-normalised likelihood, as in Malinin & Gales, "Uncertainty Estimation in Autoregressive Structured
    Prediction" (2021).
    """
    if not log_probabilities:
        return None
    return math.exp(sum(log_probabilities) / len(log_probabilities))


class LanguageModel(Protocol):
    """Answers conversations."""

    @property
    def name(self) -> str: ...

    def chat(
        self, messages: Sequence[Message], options: ChatOptions = ...
    ) -> AsyncGenerator[ChatChunk, None]:
        """Stream the answer. Closing the iterator stops the generation.

        Raises ``TooLarge`` when the messages exceed the context, ``InvalidArguments``, ``Unavailable``,
        ``Unreachable``, ``Overloaded`` or ``PermissionDenied``.
        """
        ...

    async def close(self) -> None: ...


class Transcript(Struct, frozen=True):
    """What was said in a clip. ``text`` is empty when nothing was."""

    text: str
    language: str
    seconds: float


class Hypothesis(Struct, frozen=True):
    """What a stream's ``line``-th utterance (from 0) is heard as so far; the line ends with ``final``.

    Times are seconds from the start of the stream.
    """

    line: int
    text: str
    final: bool
    start_s: float
    end_s: float


class SpeechToText(Protocol):
    """Writes down speech."""

    @property
    def name(self) -> str: ...

    @property
    def languages(self) -> tuple[str, ...]: ...

    async def transcribe(self, audio: Audio) -> Transcript:
        """Write down a clip of any rate. Silence gives an empty text."""
        ...

    def stream(self, chunks: AsyncIterator[Audio]) -> AsyncGenerator[Hypothesis, None]:
        """Write down speech while it is spoken; ends, with every line final, when ``chunks`` ends."""
        ...

    async def close(self) -> None: ...


class Voice(Struct, frozen=True):
    """``language`` is a BCP 47 tag."""

    id: str
    language: str
    gender: Literal["female", "male"]


class TextToSpeech(Protocol):
    """Speaks text."""

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> int:
        """Hz of every piece of audio it makes."""
        ...

    @property
    def voices(self) -> tuple[Voice, ...]: ...

    def synthesize(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncGenerator[Audio, None]:
        """Stream the speech sentence by sentence, the next one being computed while one is consumed.

        ``speed`` is 0.5..2.0. Raises ``NotFound`` for an unknown voice and ``InvalidArguments`` for a bad speed.
        """
        ...

    async def close(self) -> None: ...


class Segment(Struct, frozen=True):
    """A stretch of speech, in seconds."""

    start_s: float
    end_s: float


class VoiceActivity(Protocol):
    """Tells speech from everything else."""

    @property
    def rate(self) -> int: ...

    @property
    def frame_samples(self) -> int: ...

    def probability(self, frame: NDArray[np.float32]) -> float:
        """Chance (0..1) that the next ``frame_samples`` samples are speech. About a millisecond of CPU; keeps state."""
        ...

    def reset(self) -> None:
        """Forget what was heard; the next frame starts a new stream."""
        ...


class WakeHit(Struct, frozen=True):
    """A wake phrase was heard, ending ``at_s`` seconds into the stream."""

    phrase: str
    at_s: float


class WakeWord(Protocol):
    """Listens for a phrase."""

    @property
    def phrases(self) -> tuple[str, ...]: ...

    def feed(self, audio: Audio) -> WakeHit | None:
        """Listen on, at 16 kHz; costs well under a hundredth of the audio's duration."""
        ...

    def reset(self) -> None: ...


class Embedder(Protocol):
    """Turns texts into vectors whose dot product says how alike they are."""

    @property
    def name(self) -> str:
        """Vectors of different names must not be compared."""
        ...

    @property
    def dimensions(self) -> int: ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, shape ``(len(texts), dimensions)``. Text beyond the model's window is ignored."""
        ...

    async def close(self) -> None: ...
