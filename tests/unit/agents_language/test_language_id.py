"""English, Filipino or both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_agents.audio_interface.language_id import ENGLISH, FILIPINO, guess_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("what time is it", "en"), ("set a timer for five minutes", "en"), ("play the Beatles", "en"), ("the boiler code is 4711", "en"),
        ("anong oras na", "fil"), ("kumusta ka", "fil"), ("magandang umaga po", "fil"), ("mag-set ng timer ng limang minuto", "fil"),
        ("paalalahanan mo ako na uminom ng gamot bukas", "fil"), ("natatandaan mo ba ang code", "fil"),
        ("pwede mo bang i-set ang alarm for tomorrow morning", "mixed"), ("remind me to call si Nanay mamaya sa bahay", "mixed"),
        ("Maganda is a nice word", "en"), ("painting the plan", "en"), ("", "en"), ("blorp", "en"), ("4711", "en"),
    ],
)  # fmt: skip
def test_languages(text: str, language: str) -> None:
    """Short utterances of either language and their mix are told apart; one borrowed word changes nothing."""
    assert guess_language(text).language == language


def test_nothing_known_is_said() -> None:
    """Without a known word the guess has no confidence."""
    assert guess_language("xyzzy 42").confidence == 0


def test_the_word_lists_hardly_overlap() -> None:
    """A word that belongs to both languages would count for neither."""
    assert len(ENGLISH & FILIPINO) <= 2


@given(st.text())
def test_shares_are_shares(text: str) -> None:
    """Shares add up to one, or are both zero, and confidence stays within 0 and 1."""
    guess = guess_language(text)
    assert 0 <= guess.confidence <= 1
    assert guess.english + guess.filipino == pytest.approx(1) or guess.english == guess.filipino == 0
