"""The pieces of speech synthesis that need no model: phonemes, chunks, silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.core.errors import NotFound, Unavailable
from tandem_agents.engines import kokoro
from tandem_agents.engines.phonemes import ESPEAK_VOICES, Phonemizer


@pytest.fixture(scope="module")
def phonemizer() -> Phonemizer:
    """espeak-ng, which may be started once per process."""
    return Phonemizer()


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hello, dear water.", "en-US", "həlˈO, dˈɪɹ wˈɔɾəɹ."),
        ("Hello, dear water.", "en-GB", "həlˈQ, dˈɪə wˈɔːtə."),
        ("Dr. Smith is here, e.g. at home", "en-US", "dˈɑktəɹ smˈɪθ ɪz hˈɪɹ, fɔɹ ɛɡzˈæmpᵊl æt hˈOm"),
        ("garçon", "fr", "ɡaʁsˈɔ̃"),
        ("ciudad", "es", "θjuðˈad"),
    ],
)
def test_text_becomes_the_phonemes_the_model_knows(
    phonemizer: Phonemizer, text: str, language: str, expected: str
) -> None:
    """Diphthongs and affricates are one symbol, as in the model's training; commas and full stops stay."""
    assert phonemizer.phonemes(text, language) == expected


def test_numbers_and_times_are_read_out(phonemizer: Phonemizer) -> None:
    """A colon or point inside a number is not a pause."""
    assert phonemizer.phonemes("10:30", "en-US") == phonemizer.phonemes("ten thirty", "en-US")
    assert "," not in phonemizer.phonemes("1,234", "en-US")


def test_every_language_is_known_and_an_unknown_one_is_refused(phonemizer: Phonemizer) -> None:
    """espeak-ng keeps the voice before when it does not know one, which would speak French with a Spanish mouth."""
    spoken = {language: phonemizer.phonemes("animal", language) for language in ESPEAK_VOICES}
    assert spoken["fr"] != spoken["en-US"]
    with pytest.raises(Unavailable, match="nowhere"):
        phonemizer.phonemes("animal", "nowhere")
    assert phonemizer.phonemes("animal", "fr") == spoken["fr"]


@pytest.mark.parametrize("language", ESPEAK_VOICES)
def test_phonemes_are_symbols_of_the_model(phonemizer: Phonemizer, language: str) -> None:
    """Nearly nothing of a sentence is lost between espeak-ng's alphabet and the model's."""
    text = "The children asked a doctor: quel train, señor, va a Zürich, judge, thirty-three pizza? Mañana! Chi sa."
    phonemes = phonemizer.phonemes(text, language)
    lost = {symbol for symbol in phonemes if symbol not in kokoro._VOCABULARY}
    assert not lost


@given(st.lists(st.sampled_from([kokoro._BLANK, 1, 43, 44, 45]), max_size=2000))
def test_token_chunks_fit_the_model_and_lose_nothing(tokens: list[int]) -> None:
    """Joined again the chunks are the sentence, less a last one that is only punctuation."""
    chunks = list(kokoro._chunks(tokens))
    assert all(0 < len(chunk) <= kokoro.CHUNK_TOKENS for chunk in chunks)
    joined = [token for chunk in chunks for token in chunk]
    assert tokens[: len(joined)] == joined
    assert all(token <= kokoro._BLANK for token in tokens[len(joined) :])


def test_the_models_padding_is_trimmed_but_not_the_speech() -> None:
    """Quiet before and after is cut to a natural pause; quiet within stays."""
    loud, quiet = np.full(2400, 0.5, np.float32), np.zeros(24_000, np.float32)
    trimmed = kokoro._trimmed(np.concatenate([quiet, loud, quiet, loud, quiet]))
    assert 24_000 + 2 * 2400 < len(trimmed) < 24_000 + 2 * 2400 + 0.3 * kokoro.RATE
    assert len(kokoro._trimmed(quiet)) == 0


async def test_an_unknown_voice_is_named_before_the_model_is_loaded() -> None:
    """The hint lists the voices there are."""
    with pytest.raises(NotFound, match="af_heart") as caught:
        await kokoro.Kokoro.load(
            Path("none"), {"af_heart": Path("none")}, kokoro.KokoroOptions(voice="nobody")
        )
    assert "nobody" in caught.value.message
