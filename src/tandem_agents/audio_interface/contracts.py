"""Sound and words on their way through the assistant."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Literal, Protocol

from msgspec import Struct

from tandem.agent import Event, action, contract
from tandem_agents.engines.kinds import Pcm

SourceKind = Literal["microphone", "file", "network"]


class Chunk(Struct, frozen=True):
    """A piece of a session's sound: 16 kHz mono, ``at_s`` seconds from the session's start."""

    pcm: Pcm
    at_s: float


@contract("AudioCapture")
class Capture(Protocol):
    """Where sound comes in: sessions of a microphone, a file or the network."""

    async def open(self, kind: SourceKind) -> str:
        """Begin a session and return its id; a microphone starts to record.

        Raises ``Unavailable`` when there is no microphone, ``Overloaded`` when too many sessions are open.
        """
        ...

    async def push(self, session: str, pcm: Pcm, last: bool = False) -> float:
        """Add sound (mono, any rate) to a file or network session; returns its seconds so far.

        Waits for room within the caller's time budget: a listener that is slow slows the speaker down.
        """
        ...

    def chunks(self, session: str, since_s: float = 0.0) -> AsyncIterator[Chunk]:
        """The session's sound as it comes, from ``since_s`` seconds after its start on; any number may listen."""
        ...

    @action(idempotent=True)
    async def close(self, session: str) -> None:
        """End a session; who listens hears the rest."""
        ...


class CleanChunk(Struct, frozen=True, kw_only=True):
    """A cleaned piece. ``speech`` tells what the voice activity detector found in it.

    ``started_s`` or ``ended_s`` (seconds from the session's start) are set when speech began or ended here.
    """

    pcm: Pcm
    at_s: float
    speech: bool
    started_s: float | None = None
    ended_s: float | None = None


@contract("FusedAudioPreprocessor")
class Cleaning(Protocol):
    """Makes sound fit to be understood, and finds the speech in it."""

    def clean(self, session: str, since_s: float = 0.0) -> AsyncGenerator[CleanChunk, None]:
        """The session's sound from ``since_s`` on, without hum and offset, at an even loudness, with speech marked."""
        ...


class Wake(Struct, frozen=True):
    """The assistant was called; ``phrase`` ended ``at_s`` seconds into the session."""

    phrase: str
    at_s: float


class WakeWordHeard(Event, topic="voice.wake"):
    """The assistant was called in that session."""

    session: str
    wake: Wake


@contract("WakeWordDetector")
class Waking(Protocol):
    """Listens for the wake phrase."""

    def detect(self, session: str, since_s: float = 0.0) -> AsyncGenerator[Wake, None]:
        """Every time the session's sound holds the wake phrase; what was heard before ``since_s`` does not count."""
        ...


class Heard(Struct, frozen=True, kw_only=True):
    """What an utterance is heard as so far; the last one of an utterance is ``final``.

    ``addressed`` tells whether it began with the assistant's name or followed the wake phrase, which ``text`` no
    longer holds.
    """

    text: str
    language: str
    final: bool
    started_s: float
    ended_s: float
    addressed: bool = False


class UtteranceHeard(Event, topic="voice.heard"):
    """A final transcript."""

    session: str
    heard: Heard


@contract("StreamingSpeechRecognition")
class Hearing(Protocol):
    """Writes down what is said, while it is said."""

    def listen(self, session: str, wake: bool = False, since_s: float = 0.0) -> AsyncIterator[Heard]:
        """Partial and final transcripts of the session's utterances from ``since_s`` seconds on, until it ends.

        With ``wake`` only utterances that follow the wake phrase, or begin with the assistant's name, are given.
        """
        ...


@contract("StreamingTTSAgent")
class Reading(Protocol):
    """Reads answers aloud while they are still being made."""

    def speak(
        self, text: str, session: str = "main", voice: str = "", speed: float = 0.0
    ) -> AsyncIterator[Pcm]:
        """Speak sentence by sentence; the first sound comes when the first sentence, or its first clause, is done.

        ``voice`` empty and ``speed`` 0 mean the assistant's own.
        """
        ...

    async def announce(self, text: str, session: str = "main") -> bool:
        """Say something unasked through this computer's loudspeaker: a chime and the words, a few times over until stopped.

        Returns at once; False when there is no loudspeaker. Several announcements take turns.
        """
        ...

    @action(idempotent=True)
    async def stop(self, session: str = "") -> int:
        """Silence a session (empty: all), and whatever is being announced; returns how many were speaking."""
        ...

    @action(idempotent=True)
    async def update_voice_settings(
        self, voice: str = "", speed: float = 0.0, volume: float | None = None
    ) -> None:
        """Change how the assistant sounds from the next sentence on; empty, 0 and None keep what is.

        ``speed`` is 0.5..2, ``volume`` 0 (silent) .. 1 (as it was made) .. 2. Raises ``InvalidArguments`` beyond.
        """
        ...
