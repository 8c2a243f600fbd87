"""Where utterances begin and end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tandem.core.errors import InvalidArguments
from tandem_agents.engines.audio import silence
from tandem_agents.engines.kinds import Audio, Segment
from tandem_agents.engines.vad import Change, Endpointer, EndpointOptions, SpeechEvent, segments

FRAME = 160
FRAME_S = 0.01


class Script:
    """A voice activity whose probabilities are written down in the samples themselves."""

    rate = 16_000
    frame_samples = FRAME

    def __init__(self) -> None:
        self.resets = 0

    def probability(self, frame: NDArray[np.float32]) -> float:
        assert len(frame) == FRAME
        return float(frame[0])

    def reset(self) -> None:
        self.resets += 1


def sound(*stretches: tuple[float, float]) -> Audio:
    """Stretches of (seconds, probability)."""
    pieces = [np.full(round(seconds * 16_000), probability, np.float32) for seconds, probability in stretches]
    return Audio(np.concatenate(pieces), 16_000)


OPTIONS = EndpointOptions(min_speech_s=0.1, min_silence_s=0.5, pad_s=0.05)


def test_speech_is_found_with_its_padding() -> None:
    """One utterance between silences gives one segment, a little wider than the sound."""
    found = segments(Script(), sound((1, 0.1), (2, 0.9), (1, 0.1)), OPTIONS)
    assert found == [Segment(pytest.approx(0.95), pytest.approx(3.05))]


def test_a_short_noise_is_not_speech_and_a_short_pause_does_not_end_it() -> None:
    """80 ms above the threshold are a click; 400 ms of silence are a breath."""
    found = segments(
        Script(), sound((1, 0), (0.08, 0.9), (1, 0), (1, 0.9), (0.4, 0), (1, 0.9), (1, 0)), OPTIONS
    )
    assert found == [Segment(pytest.approx(2.03), pytest.approx(4.53))]


def test_wavering_between_the_thresholds_does_not_end_speech() -> None:
    """Once speech has begun, 0.4 keeps it going although it would not have begun it."""
    assert segments(Script(), sound((1, 0.4), (1, 0)), OPTIONS) == []
    found = segments(Script(), sound((1, 0.9), (2, 0.4), (1, 0)), OPTIONS)
    assert found == [Segment(0.0, pytest.approx(3.05))]


def test_speech_that_runs_to_the_end_ends_there() -> None:
    """A clip cut off in the middle of a word still has that word's segment."""
    assert segments(Script(), sound((0.5, 0), (1, 0.9)), OPTIONS) == [
        Segment(pytest.approx(0.45), pytest.approx(1.5))
    ]


def test_events_come_as_soon_as_they_are_certain() -> None:
    """The start is told during the utterance, the end once the silence has lasted."""
    endpointer = Endpointer(Script(), OPTIONS)
    assert endpointer.feed(sound((1, 0), (0.09, 0.9))) == []
    assert [event.change for event in endpointer.feed(sound((0.05, 0.9)))] == [Change.STARTED]
    assert endpointer.speaking
    assert endpointer.feed(sound((0.45, 0))) == []
    assert [event.change for event in endpointer.feed(sound((0.1, 0)))] == [Change.ENDED]
    assert not endpointer.speaking


def test_finishing_makes_it_ready_for_a_new_stream() -> None:
    """Time starts at zero again and the model forgets."""
    script = Script()
    endpointer = Endpointer(script, OPTIONS)
    endpointer.feed(sound((3, 0.9)))
    endpointer.finish()
    assert script.resets == 1
    assert endpointer.feed(sound((0.2, 0.9))) == [SpeechEvent(Change.STARTED, 0.0)]


def test_another_rate_is_refused() -> None:
    """At another rate the model would hear another pitch."""
    with pytest.raises(InvalidArguments):
        Endpointer(Script()).feed(silence(1, 8_000))


@given(
    st.lists(st.tuples(st.integers(1, 120), st.floats(0, 1)), min_size=1, max_size=12),
    st.lists(st.integers(1, 3000), min_size=1, max_size=20),
)
def test_how_sound_arrives_does_not_change_what_is_found(
    stretches: Sequence[tuple[int, float]], sizes: Sequence[int]
) -> None:
    """Chunks of any size give the same, alternating, ordered events."""
    clip = sound(*((frames * FRAME_S, probability) for frames, probability in stretches))
    whole = Endpointer(Script(), OPTIONS)
    expected = whole.feed(clip) + whole.finish()

    chunked, at, events = Endpointer(Script(), OPTIONS), 0, []
    for size in sizes:
        events += chunked.feed(Audio(clip.samples[at : at + size], 16_000))
        at += size
    events += chunked.feed(Audio(clip.samples[at:], 16_000)) + chunked.finish()

    assert events == expected
    assert [event.change for event in events] == [Change.STARTED, Change.ENDED] * (len(events) // 2)
    assert all(a.at_s <= b.at_s for a, b in zip(events[::2], events[1::2], strict=True))
