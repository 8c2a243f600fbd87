"""The sound that comes before what is said unasked, so that people listen up."""

from __future__ import annotations

from tandem_agents.engines.audio import to_pcm
from tandem_agents.engines.kinds import Audio, Pcm

NOTES_HZ = (880.0, 1174.66)
"""A5 and D6 of the equal temperament with A4 = 440 Hz (ISO 16): a rising fourth."""
NOTE_S, DECAY_S, PAUSE_S = 0.35, 0.12, 0.2
LOUDNESS = 0.35
"""Of full scale: about as loud as the voice that follows."""


def chime(rate: int) -> Pcm:
    """Two short notes like those of a bell, and the pause before the words, at ``rate`` Hz."""
    import numpy as np

    at = np.arange(int(NOTE_S * rate)) / rate
    # A bell's note begins at once and fades exponentially; five milliseconds of rise keep it from clicking.
    shape = np.minimum(at / 0.005, 1.0) * np.exp(-at / DECAY_S) * LOUDNESS
    notes = [np.sin(2 * np.pi * hertz * at) * shape for hertz in NOTES_HZ]
    samples = np.concatenate([*notes, np.zeros(int(PAUSE_S * rate))]).astype(np.float32)
    return to_pcm(Audio(samples, rate))
