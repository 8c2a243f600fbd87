"""Cleaning recorded sound, and cutting it into utterances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_agents.audio_interface.cleaning import Cleaner, CleaningOptions, recursive
from tandem_agents.audio_interface.contracts import CleanChunk
from tandem_agents.audio_interface.utterances import UtteranceCutter
from tandem_agents.engines.kinds import Audio, Pcm

RATE = 16_000


@given(st.integers(1, 900), st.floats(0.91, 0.999), st.floats(-1, 1))
def test_blockwise_filter_equals_the_definition(count: int, pole: float, before: float) -> None:
    """The vectorised recursion gives what the sample-by-sample definition gives."""
    values = np.sin(np.arange(count) * 0.37)
    expected, last = [], before
    for value in values:
        last = value + pole * last
        expected.append(last)

    assert recursive(values, pole, before) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_offset_and_hum_go_speech_stays() -> None:
    """A constant offset is gone after a moment; a 300 Hz tone keeps its strength."""
    time = np.arange(RATE) / RATE
    offset = Cleaner(RATE, CleaningOptions(max_gain=1.0)).clean(Audio(np.full(RATE, 0.3, np.float32), RATE))
    tone = (0.4 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    kept = Cleaner(RATE, CleaningOptions(max_gain=1.0)).clean(Audio(tone, RATE))

    assert abs(float(offset.samples[-1])) < 1e-3
    assert float(np.abs(kept.samples[RATE // 2 :]).max()) == pytest.approx(0.4, rel=0.05)


def test_whispers_are_raised_and_bounded() -> None:
    """Quiet sound is raised by at most the largest gain, loud sound is left as it is."""
    time = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 300 * time).astype(np.float32)
    options = CleaningOptions(max_gain=8.0, target_peak=0.5)
    quiet = Cleaner(RATE, options).clean(Audio(tone * np.float32(0.01), RATE))
    loud = Cleaner(RATE, options).clean(Audio(tone * np.float32(0.8), RATE))

    assert float(np.abs(quiet.samples).max()) == pytest.approx(0.08, rel=0.1)
    assert float(np.abs(loud.samples).max()) == pytest.approx(0.8, rel=0.1)


def test_chunks_are_cleaned_without_a_seam() -> None:
    """Cleaning piece by piece gives the same as cleaning the whole, when the gain is fixed."""
    noise = np.random.default_rng(1).normal(0, 0.1, 4000).astype(np.float32)
    options = CleaningOptions(max_gain=1.0)
    whole = Cleaner(RATE, options).clean(Audio(noise, RATE)).samples
    cleaner = Cleaner(RATE, options)
    parts = [cleaner.clean(Audio(part, RATE)).samples for part in np.split(noise, [7, 512, 3999])]

    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-6)


def chunk(number: int, *, started_s: float | None = None, ended_s: float | None = None) -> CleanChunk:
    """The ``number``-th tenth of a second, whose samples hold its number."""
    data = np.full(RATE // 10, number, "<i2").tobytes()
    return CleanChunk(
        pcm=Pcm(data, RATE), at_s=number / 10, speech=False, started_s=started_s, ended_s=ended_s
    )


def test_an_utterance_is_the_sound_between_its_marks() -> None:
    """The cut sound begins and ends where speech did, also when the beginning is known only later."""
    cutter = UtteranceCutter(max_s=30)
    found = [
        cutter.add(chunk(n, started_s=0.8 if n == 10 else None, ended_s=1.9 if n == 20 else None))
        for n in range(25)
    ]
    (utterance,) = [one for one in found if one is not None]

    assert (utterance.started_s, utterance.ended_s, utterance.complete) == (0.8, 1.9, True)
    samples = np.frombuffer(utterance.pcm.data, "<i2")
    assert (samples[0], samples[-1], len(samples)) == (8, 18, round(1.1 * RATE))


def test_speech_so_far_is_there_while_it_lasts() -> None:
    """Between start and end the unfinished utterance can be had; before and after there is none."""
    cutter = UtteranceCutter(max_s=30)
    assert cutter.so_far() is None
    cutter.add(chunk(0, started_s=0.0))
    cutter.add(chunk(1))
    so_far = cutter.so_far()
    assert so_far is not None
    assert (so_far.ended_s, so_far.complete) == (pytest.approx(0.2), False)
    cutter.add(chunk(2, ended_s=0.3))
    assert cutter.so_far() is None


def test_endless_speech_is_cut() -> None:
    """Speech longer than the limit ends there, and what follows is not lost before the next mark."""
    cutter = UtteranceCutter(max_s=1.0)
    found = [cutter.add(chunk(n, started_s=0.0 if n == 0 else None)) for n in range(12)]
    (utterance,) = [one for one in found if one is not None]

    assert utterance.ended_s == pytest.approx(1.0)
