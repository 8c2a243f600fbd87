"""Sound in and out of files."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tandem.core.errors import InvalidArguments, TooLarge
from tandem_agents.engines import audio
from tandem_agents.engines.kinds import Audio, Pcm


def tone(seconds: float = 0.5, rate: int = 16_000, hertz: float = 440.0) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(samples: NDArray[np.float32], rate: int, kind: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def loudest_hertz(sound: Audio) -> float:
    spectrum = np.abs(np.fft.rfft(sound.samples * np.hanning(len(sound.samples))))
    return float(np.argmax(spectrum) * sound.rate / len(sound.samples))


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("WAV", "PCM_U8"),
        ("FLAC", None),
        ("MP3", None),
        ("OGG", None),
    ],
)
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_files_of_every_format_and_rate_become_mono_speech(kind: str, subtype: str | None, rate: int) -> None:
    """A stereo tone of any format and rate decodes to the same tone, mono at 16 kHz, of the same duration."""
    both = np.stack([tone(1.0, rate), tone(1.0, rate)], axis=1)
    sound = audio.decode(encoded(both, rate, kind, subtype), rate=16_000)
    assert sound.rate == 16_000
    assert sound.samples.dtype == np.float32
    assert sound.samples.ndim == 1
    assert sound.seconds == pytest.approx(1.0, abs=0.1)
    assert loudest_hertz(sound) == pytest.approx(440, abs=5)


def test_channels_are_averaged() -> None:
    """Two channels that cancel each other give silence."""
    both = np.stack([tone(), -tone()], axis=1)
    assert np.abs(audio.decode(encoded(both, 16_000, "WAV", "FLOAT")).samples).max() < 1e-6


def test_empty_files_and_files_without_samples_are_told_apart_from_noise() -> None:
    """Nothing to hear is its own error."""
    with pytest.raises(audio.EmptyAudio):
        audio.decode(b"")
    with pytest.raises(audio.EmptyAudio):
        audio.decode(encoded(tone(0), 16_000, "WAV"))


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_file_that_was_cut_off_is_refused(kind: str, part: float) -> None:
    """Half a recording is not silently taken for the whole."""
    noise = np.random.default_rng(1).standard_normal(16_000).astype(np.float32) * 0.1
    whole = encoded(noise, 16_000, kind)
    with pytest.raises(audio.TruncatedAudio):
        audio.decode(whole[: int(len(whole) * part)])


@pytest.mark.parametrize(
    "data", [b"hello, I am no sound" * 50, b"\x00" * 4000, b"RIFF\x10\x00\x00\x00WAVEjunkjunk", b"ID3"]
)
def test_other_bytes_are_not_audio(data: bytes) -> None:
    """Text, zeros and a broken header raise a typed error."""
    with pytest.raises((audio.NotAudio, audio.TruncatedAudio)):
        audio.decode(data)


def test_a_wav_written_to_a_pipe_is_read() -> None:
    """Programs that stream WAV cannot know its length and write a placeholder; that is no truncation."""
    whole = bytearray(audio.to_wav(Audio(tone(), 16_000)))
    at = whole.index(b"data") + 4
    whole[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    whole[4:8] = struct.pack("<I", 0xFFFFFFFF)
    assert audio.decode(bytes(whole)).seconds == pytest.approx(0.5)


def test_samples_that_are_not_numbers_are_refused() -> None:
    """A float file may hold NaN, which would poison every model after it."""
    samples = tone()
    samples[100] = np.nan
    with pytest.raises(audio.NotAudio):
        audio.decode(encoded(samples, 16_000, "WAV", "FLOAT"))


def test_a_clip_beyond_the_limit_is_refused_before_it_is_decoded() -> None:
    """A small compressed file cannot fill the memory."""
    with pytest.raises(TooLarge):
        audio.decode(encoded(tone(2), 16_000, "FLAC"), max_seconds=1)


def test_silence_is_told_apart_from_quiet_speech() -> None:
    """Digital silence and hiss are refused; a whisper at -40 dBFS is not."""
    with pytest.raises(audio.SilentAudio):
        audio.require_audible(audio.silence(1, 16_000))
    with pytest.raises(audio.EmptyAudio):
        audio.require_audible(audio.silence(0, 16_000))
    whisper = Audio(tone() * np.float32(0.02), 16_000)
    assert audio.require_audible(whisper) is whisper


@given(st.lists(st.floats(min_value=-1, max_value=1, width=32), min_size=1, max_size=300))
def test_sixteen_bit_samples_come_back_within_a_step(values: list[float]) -> None:
    """Sound survives the wire and a WAV file to 16-bit precision."""
    sound = Audio(np.array(values, np.float32), 16_000)
    back = audio.from_pcm(audio.to_pcm(sound))
    assert np.abs(back.samples - sound.samples).max() < 2 / 32768
    assert np.abs(audio.decode(audio.to_wav(sound)).samples - sound.samples).max() < 2 / 32768


def test_louder_than_full_scale_is_clipped_not_wrapped() -> None:
    """A wrapped sample would be a loud click of the other sign."""
    pcm = audio.to_pcm(Audio(np.array([2.0, -2.0], np.float32), 16_000))
    assert struct.unpack("<2h", pcm.data) == (32767, -32767)


def test_half_a_sample_is_refused() -> None:
    """An odd number of bytes means the stream lost one."""
    with pytest.raises(audio.TruncatedAudio):
        audio.from_pcm(Pcm(b"\x00", 16_000))


@pytest.mark.parametrize("source", [16_000, 24_000, 44_100, 48_000])
def test_a_stream_resampled_in_chunks_equals_the_clip(source: int) -> None:
    """Chunk borders leave no seam."""
    samples = tone(1.0, source)
    stream = audio.StreamResampler(source, 16_000)
    pieces = [stream.push(samples[at : at + 777]) for at in range(0, len(samples), 777)]
    streamed = audio.concat([*pieces, stream.push(samples[:0], last=True)])
    whole = audio.resample(Audio(samples, source), 16_000)
    middle = slice(1000, 15_000)
    assert len(streamed.samples) == pytest.approx(len(whole.samples), abs=2)
    assert np.abs(streamed.samples[middle] - whole.samples[middle]).max() < 1e-3


def test_resampling_keeps_what_is_below_the_new_limit_only() -> None:
    """A 10 kHz tone cannot live at 16 kHz and must not come back as another tone."""
    high = audio.resample(Audio(tone(1.0, 48_000, 10_000), 48_000), 16_000)
    assert np.abs(high.samples[1000:-1000]).max() < 0.01


def test_pieces_of_different_rates_do_not_join() -> None:
    """Joining them would change the pitch of one."""
    with pytest.raises(InvalidArguments):
        audio.concat([audio.silence(1, 8_000), audio.silence(1, 16_000)])
    with pytest.raises(audio.EmptyAudio):
        audio.concat([])
    with pytest.raises(InvalidArguments):
        audio.resample(audio.silence(1, 8_000), 0)
