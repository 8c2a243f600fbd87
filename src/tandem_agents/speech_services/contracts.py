"""What the speech services answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, Protocol

from msgspec import Struct

from tandem.agent import action, contract
from tandem_agents.engines.kinds import Pcm, Transcript, Voice


class SpeechStats(Struct, frozen=True, kw_only=True):
    """Counts since the start. ``real_time_factor`` is seconds of computing per second of sound, 0 before the first."""

    requests: int
    failures: int
    audio_s: float
    busy_s: float
    real_time_factor: float


class BatchResult(Struct, frozen=True, kw_only=True):
    """What became of a queued clip. ``transcript`` is set once ``done``, ``problem`` once ``failed``."""

    ticket: str
    state: Literal["waiting", "done", "failed"]
    transcript: Transcript | None = None
    problem: str = ""


@contract("STTService")
class Dictation(Protocol):
    """Writes clips down."""

    @action(idempotent=True)
    async def transcribe(self, audio: Pcm) -> Transcript:
        """Write down a clip of any rate; silence gives an empty text. Raises ``Unavailable`` without a model."""
        ...

    @action(idempotent=True)
    async def batch_transcribe(self, clips: list[Pcm]) -> list[Transcript]:
        """The same for several clips, in their order. Raises ``TooLarge`` for more than the settings allow (32)."""
        ...

    async def queue_for_batch(self, audio: Pcm) -> str:
        """Have a clip written down when nobody is being listened to; on disk when this returns. Returns its ticket.

        Raises ``Overloaded`` when too many wait.
        """
        ...

    @action(idempotent=True)
    async def batch_results(self, tickets: list[str]) -> list[BatchResult]:
        """What became of queued clips, in the order asked; results are kept a day. Raises ``NotFound``."""
        ...

    @action(idempotent=True)
    async def performance_metrics(self) -> SpeechStats:
        """What was heard since the start, and how fast."""
        ...


@contract("TTSService")
class Voicing(Protocol):
    """Speaks text."""

    @action(idempotent=True)
    def synthesize(self, text: str, voice: str = "", speed: float = 0.0) -> AsyncIterator[Pcm]:
        """Speak ``text``; pieces of at most half a second. ``voice`` empty and ``speed`` 0 mean the defaults.

        Raises ``Unavailable`` without a model, ``NotFound`` for an unknown voice.
        """
        ...

    def speak(self, text: str, voice: str = "", language: str = "", speed: float = 0.0) -> AsyncIterator[Pcm]:
        """The same until :meth:`stop` is called; without a ``voice`` one of the ``language`` (BCP 47, ``en``) is taken.

        Raises ``NotFound`` when there is no voice of that language.
        """
        ...

    @action(idempotent=True)
    async def stop(self) -> int:
        """Silence everything that speaks; returns how much did."""
        ...

    @action(idempotent=True)
    async def set_voice(self, voice: str) -> str:
        """Make ``voice`` the default until the next restart; returns the one before."""
        ...

    @action(idempotent=True)
    async def voices(self) -> list[Voice]:
        """What there is to choose from. Raises ``Unavailable`` without a model."""
        ...

    @action(idempotent=True)
    async def performance_metrics(self) -> SpeechStats:
        """What was said since the start, and how fast."""
        ...
