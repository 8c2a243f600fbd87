"""Making recorded sound even: no offset, no hum, no whisper, no shouting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct

from tandem_agents.engines.kinds import Audio
from tandem_agents.engines.optional import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy", extra="voice")


class CleaningOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``highpass_hz`` cuts hum and rumble below speech (the lowest voices begin at about 80 Hz).

    The gain brings the loudest tenth of a second of late towards ``target_peak`` (0..1 of full scale), by at most
    ``max_gain`` (a factor) and never so fast that words pump: ``release_s`` is the time to fall back.
    """

    highpass_hz: float = 60.0
    target_peak: float = 0.5
    max_gain: float = 8.0
    release_s: float = 3.0


class Cleaner:
    """Cleans one stream, chunk by chunk, without a seam."""

    def __init__(self, rate: int, options: CleaningOptions):
        self._options = options
        self._rate = rate
        self._pole = math.exp(-2 * math.pi * options.highpass_hz / rate)
        self._last_in = 0.0
        self._last_out = 0.0
        self._peak = 0.0

    def clean(self, audio: Audio) -> Audio:
        """The next piece; its length is kept."""
        if len(audio.samples) == 0:
            return audio
        filtered = self._highpass(audio.samples)
        gain = self._gain(float(np.abs(filtered).max()), audio.seconds)
        return Audio(np.clip(filtered * np.float32(gain), -1.0, 1.0), audio.rate)

    def _highpass(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """First-order DC blocker y[n] = x[n] - x[n-1] + p y[n-1] (J. O. Smith, Introduction to Digital Filters, B.3)."""
        pole = self._pole
        differences = np.diff(samples, prepend=np.float32(self._last_in)).astype(np.float64)
        out = recursive(differences, pole, self._last_out)
        self._last_in, self._last_out = float(samples[-1]), float(out[-1])
        return out.astype(np.float32)

    def _gain(self, peak: float, seconds: float) -> float:
        options = self._options
        self._peak = max(peak, self._peak * math.exp(-seconds / options.release_s))
        if self._peak <= 0:
            return 1.0
        return max(1.0, min(options.max_gain, options.target_peak / self._peak))


def recursive(values: NDArray[np.float64], pole: float, before: float) -> NDArray[np.float64]:
    """y[n] = values[n] + pole * y[n-1] with y[-1] = ``before``, vectorised in blocks.

    Within a block y[n] = pole**(n+1) * (before + sum of values[k] / pole**(k+1)); blocks are short enough that the
    powers stay far from the limits of float64 for any pole above 0.9.
    """
    block = 256
    powers = pole ** np.arange(1, block + 1)
    out = np.empty_like(values)
    for at in range(0, len(values), block):
        part = values[at : at + block]
        scale = powers[: len(part)]
        out[at : at + len(part)] = scale * (before + np.cumsum(part / scale))
        before = float(out[at + len(part) - 1])
    return out
