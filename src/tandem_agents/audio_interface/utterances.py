"""Cutting a stream of marked sound into utterances."""

from __future__ import annotations

from msgspec import Struct

from tandem_agents.audio_interface.contracts import CleanChunk
from tandem_agents.engines.audio import SPEECH_RATE
from tandem_agents.engines.kinds import Pcm

LEAD_S = 0.5
"""Seconds kept from before speech was noticed; the detector needs a moment to be sure."""

BYTES_PER_S = SPEECH_RATE * 2


class Utterance(Struct, frozen=True):
    """Speech from ``started_s`` to ``ended_s`` of the session; ``complete`` once it is over."""

    pcm: Pcm
    started_s: float
    ended_s: float
    complete: bool


class UtteranceCutter:
    """Collects the sound between the marks of speech.

    An utterance longer than ``max_s`` is cut there, since no listener's patience and no model's window is endless.
    """

    def __init__(self, max_s: float):
        self._max_s = max_s
        self._sound = bytearray()
        self._sound_at_s = 0.0
        self._started_s: float | None = None

    def add(self, chunk: CleanChunk) -> Utterance | None:
        """Take the next chunk; the utterance that became complete with it, if any."""
        if not self._sound:
            self._sound_at_s = chunk.at_s
        self._sound += chunk.pcm.data
        if chunk.started_s is not None and self._started_s is None:
            self._started_s = chunk.started_s
        if self._started_s is None:
            self._trim(self._end_s - LEAD_S)
            return None
        if chunk.ended_s is not None:
            return self._finish(chunk.ended_s)
        if self._end_s - self._started_s >= self._max_s:
            return self._finish(self._end_s)
        return None

    def so_far(self) -> Utterance | None:
        """The utterance being spoken, incomplete; None between utterances."""
        return None if self._started_s is None else self._cut(self._started_s, self._end_s, complete=False)

    @property
    def _end_s(self) -> float:
        return self._sound_at_s + len(self._sound) / BYTES_PER_S

    def _finish(self, ended_s: float) -> Utterance:
        assert self._started_s is not None
        utterance = self._cut(self._started_s, min(ended_s, self._end_s), complete=True)
        self._started_s = None
        self._trim(ended_s)
        return utterance

    def _cut(self, started_s: float, ended_s: float, *, complete: bool) -> Utterance:
        data = bytes(self._sound[self._offset(started_s) : self._offset(ended_s)])
        return Utterance(Pcm(data, SPEECH_RATE), started_s, ended_s, complete)

    def _trim(self, before_s: float) -> None:
        """Forget sound from before ``before_s``."""
        offset = self._offset(before_s)
        del self._sound[:offset]
        self._sound_at_s += offset / BYTES_PER_S

    def _offset(self, at_s: float) -> int:
        samples = round((at_s - self._sound_at_s) * SPEECH_RATE)
        return max(0, min(len(self._sound), samples * 2))
