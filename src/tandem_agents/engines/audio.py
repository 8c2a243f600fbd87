"""Sound in and out of files, rates and sample formats.

Decoding is libsndfile's (WAV, FLAC, MP3, Ogg Vorbis and Opus, AIFF, …), resampling is soxr's.
"""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path
from typing import TYPE_CHECKING

from tandem.core.errors import InvalidArguments, TooLarge
from tandem_agents.engines.kinds import Audio, Pcm
from tandem_agents.engines.optional import LazyModule

if TYPE_CHECKING:
    import numpy as np
    import soundfile
    import soxr
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy", extra="voice")
    soundfile = LazyModule("soundfile", extra="voice")
    soxr = LazyModule("soxr", extra="voice")

SPEECH_RATE = 16_000
"""The rate (Hz) every speech model here listens at."""

MAX_SECONDS = 3600.0
"""Longest clip decoded; an hour at 48 kHz is 700 MB as float32."""

SILENCE_PEAK = 10 ** (-55 / 20)
"""Peak below which a clip holds no speech: -55 dBFS, under the noise floor of ordinary microphones."""

_UNKNOWN_LENGTHS = {0, 0xFFFFFFFF, 0x7FFFFFFF}
"""What programs that write WAV to a pipe put where the length would be."""


class AudioError(InvalidArguments):
    """The sound handed in cannot be used."""


class EmptyAudio(AudioError):
    """There are no samples."""


class TruncatedAudio(AudioError):
    """The file ends, or is damaged, before the end of the sound it announces."""


class NotAudio(AudioError):
    """The bytes are not sound in a format we read."""


class SilentAudio(AudioError):
    """There are samples but nothing to hear."""


def decode(data: bytes, *, rate: int | None = None, max_seconds: float = MAX_SECONDS) -> Audio:
    """A sound file's bytes as mono; channels are averaged, and the rate changed to ``rate`` Hz if given.

    Raises :class:`EmptyAudio`, :class:`TruncatedAudio`, :class:`NotAudio`, or ``TooLarge`` beyond ``max_seconds``.
    """
    if not data:
        raise EmptyAudio("the audio file is empty")
    with _opened(data) as file:
        if file.frames > max_seconds * file.samplerate:
            raise TooLarge(f"the audio is longer than {max_seconds:g} s")
        samples = _read(file, data)
        own_rate = file.samplerate
    if not np.isfinite(samples).all():
        raise NotAudio("the audio file holds samples that are not numbers")
    audio = Audio(samples.mean(axis=1, dtype=np.float32), own_rate)
    return audio if rate is None else resample(audio, rate)


def read_file(path: Path, *, rate: int | None = None) -> Audio:
    """:func:`decode` of a file."""
    return decode(path.read_bytes(), rate=rate)


def _opened(data: bytes) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        if _announced_end(data) > len(data):
            raise TruncatedAudio("the audio file is cut off") from error
        raise NotAudio("not an audio file we can read", hint="WAV, FLAC, MP3 and Ogg are understood") from error


def _read(file: soundfile.SoundFile, data: bytes) -> NDArray[np.float32]:
    """Every sample, shape ``(n, channels)``."""
    try:
        samples: NDArray[np.float32] = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise TruncatedAudio(f"the audio file is cut off or damaged: {error.error_string}") from error
    if _announced_end(data) > len(data) or len(samples) < file.frames:
        raise TruncatedAudio("the audio file is cut off")
    if len(samples) == 0:
        raise EmptyAudio("the audio file holds no samples")
    return samples


def _announced_end(data: bytes) -> int:
    """Where a WAV file's last announced sample ends (byte offset); 0 for other formats and unknown lengths."""
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return 0
    at = 12
    while at + 8 <= len(data):
        tag, size = struct.unpack_from("<4sI", data, at)
        if tag == b"data":
            return 0 if size in _UNKNOWN_LENGTHS else at + 8 + size
        at += 8 + size + size % 2
    return at


def resample(audio: Audio, rate: int) -> Audio:
    """The same sound at ``rate`` Hz, band-limited."""
    if rate <= 0:
        raise InvalidArguments(f"not a sample rate: {rate}")
    if rate == audio.rate or len(audio.samples) == 0:
        return Audio(audio.samples, rate)
    return Audio(soxr.resample(audio.samples, audio.rate, rate).astype(np.float32, copy=False), rate)


class StreamResampler:
    """Changes the rate of a stream without a seam between its chunks (``soxr.ResampleStream``)."""

    def __init__(self, source_rate: int, rate: int):
        self.rate = rate
        self._stream = (
            None if source_rate == rate else soxr.ResampleStream(source_rate, rate, 1, dtype="float32")
        )

    def push(self, samples: NDArray[np.float32], *, last: bool = False) -> Audio:
        """The part of the output that is ready; with ``last`` the rest of it too."""
        if self._stream is None:
            return Audio(samples, self.rate)
        return Audio(self._stream.resample_chunk(samples, last=last), self.rate)


def concat(pieces: list[Audio]) -> Audio:
    """Pieces of one rate after each other."""
    if not pieces:
        raise EmptyAudio("nothing to join")
    if len({piece.rate for piece in pieces}) > 1:
        raise InvalidArguments("pieces of different sample rates cannot be joined")
    return Audio(np.concatenate([piece.samples for piece in pieces]), pieces[0].rate)


def silence(seconds: float, rate: int) -> Audio:
    return Audio(np.zeros(round(seconds * rate), dtype=np.float32), rate)


def require_audible(audio: Audio) -> Audio:
    """``audio``, or :class:`EmptyAudio` or :class:`SilentAudio` when there is nothing to hear."""
    if len(audio.samples) == 0:
        raise EmptyAudio("the audio holds no samples")
    if float(np.abs(audio.samples).max()) < SILENCE_PEAK:
        raise SilentAudio("the audio is silent", hint="check that the microphone is not muted")
    return audio


def to_pcm(audio: Audio) -> Pcm:
    """As 16-bit samples; louder than full scale is clipped."""
    scaled = np.clip(audio.samples, -1.0, 1.0) * 32767.0
    return Pcm(np.rint(scaled).astype("<i2").tobytes(), audio.rate)


def from_pcm(pcm: Pcm) -> Audio:
    """Raises :class:`TruncatedAudio` for half a sample."""
    if len(pcm.data) % 2:
        raise TruncatedAudio("16-bit audio has an even number of bytes")
    return Audio(np.frombuffer(pcm.data, dtype="<i2").astype(np.float32) / 32768.0, pcm.rate)


def to_wav(audio: Audio) -> bytes:
    """A 16-bit mono WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(audio.rate)
        file.writeframes(to_pcm(audio).data)
    return buffer.getvalue()
