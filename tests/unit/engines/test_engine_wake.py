"""The assistant's name in a transcript."""

from __future__ import annotations

import pytest

from tandem.core.errors import InvalidArguments
from tandem_agents.engines.wake import Addressed, NameMatcher


@pytest.mark.parametrize(
    ("transcript", "request_text"),
    [
        ("Hey Jarvis, what's up?", "what's up?"),
        ("Jarvis turn on the light", "turn on the light"),
        ("A Jervis. Play music.", "Play music."),
        ("Hey, Travis: what time is it?", "what time is it?"),
        ("okay jarvis", ""),
        ("JARVIS!", ""),
    ],
)
def test_the_name_is_found_at_the_start_as_speech_recognition_spells_it(
    transcript: str, request_text: str
) -> None:
    """Slight mishearings count, and what follows is the request as it was said."""
    assert NameMatcher(["Jarvis"]).match(transcript) == Addressed("Jarvis", request_text)


@pytest.mark.parametrize(
    "transcript",
    ["", "the jarvis thing", "Hey, service please", "harvest time", "hello there", "travis is here", "..."],
)
def test_other_talk_is_not_taken_for_a_call(transcript: str) -> None:
    """A name in the middle, or a word merely like it, does not wake the assistant."""
    assert NameMatcher(["Jarvis"]).match(transcript) is None


def test_the_likest_of_several_names_wins_and_names_may_have_words() -> None:
    """Two assistants in one house are told apart."""
    matcher = NameMatcher(["Mary Ann", "Marian"])
    assert matcher.match("Hey Mary Ann, hello") == Addressed("Mary Ann", "hello")
    assert matcher.match("Marian hello") == Addressed("Marian", "hello")
    assert NameMatcher(["Bo"], similarity=1).match("Boo hello") is None


def test_a_name_without_letters_is_refused() -> None:
    """It would match everything or nothing."""
    with pytest.raises(InvalidArguments):
        NameMatcher(["?!"])
