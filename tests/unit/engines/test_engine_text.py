"""Text on its way to being spoken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_agents.engines.text import LONG_SENTENCE, SentenceSplitter, sentences, speakable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        (
            "Dr. Smith lives on St. James Street. He is in.",
            ["Dr. Smith lives on St. James Street.", "He is in."],
        ),
        ("It costs 3.50 in the U.S. today. Yes.", ["It costs 3.50 in the U.S. today.", "Yes."]),
        ("See J. R. Tolkien. He wrote.", ["See J. R. Tolkien.", "He wrote."]),
        ('She said "Stop!" Then she left.', ['She said "Stop!"', "Then she left."]),
        ("Milk, eggs, etc. Then home.", ["Milk, eggs, etc.", "Then home."]),
        ("Was it I. Or you?", ["Was it I.", "Or you?"]),
        ("first line\nsecond line", ["first line", "second line"]),
        ("Wait... what?", ["Wait...", "what?"]),
        ("No. 5 is alive. No. That is all.", ["No. 5 is alive.", "No.", "That is all."]),
        ("   ", []),
    ],
)
def test_sentences_are_cut_where_a_reader_would(text: str, expected: list[str]) -> None:
    """Full stops of abbreviations, initials and numbers do not end a sentence; others do."""
    assert sentences(text) == expected


def test_a_sentence_is_not_given_out_before_it_is_known_to_be_over() -> None:
    """ "3." may go on as "3.5", so nothing comes out until the next sentence begins."""
    splitter = SentenceSplitter()
    assert splitter.push("It is 3.") == []
    assert splitter.push("5 degrees.") == []
    assert splitter.push(" Cold") == ["It is 3.5 degrees."]
    assert splitter.flush() == ["Cold"]
    assert splitter.flush() == []


def test_a_long_sentence_is_cut_at_a_clause() -> None:
    """Speaking can begin before a very long sentence is finished."""
    text = ", ".join(["and then another thing happened"] * 12)
    first = SentenceSplitter().push(text)[0]
    assert first.endswith(",")
    assert len(first) <= LONG_SENTENCE


@given(
    st.text(alphabet="ab .!?,\n\"'A1", max_size=700),
    st.lists(st.integers(min_value=1, max_value=90), max_size=30),
)
def test_how_text_arrives_does_not_change_its_sentences(text: str, sizes: list[int]) -> None:
    """Cutting a stream gives the same sentences whatever pieces it comes in, and loses no letter."""
    splitter, at, streamed = SentenceSplitter(), 0, []
    for size in sizes:
        streamed += splitter.push(text[at : at + size])
        at += size
    streamed += splitter.push(text[at:]) + splitter.flush()
    assert streamed == sentences(text)
    assert "".join("".join(streamed).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Bold** and _slanted_ and `code`", "Bold and slanted and code"),
        ("See [the manual](https://example.org/a?b=c).", "See the manual."),
        ("Go to https://www.example.org/long/path?x=1 now", "Go to example.org now"),
        ("# Title\n- one\n* two", "Title\none\ntwo"),
        ("*** over ***", "  over  "),
        ("***Both***", "Both"),
        ("Hi 😀 there", "Hi  there"),
        ("2 * 3 * 4 is snake_case_name", "2 * 3 * 4 is snake_case_name"),
        ("Run:\n```sh\nrm -rf\n```\nDone", "Run:\n \nDone"),
    ],
)
def test_markup_is_not_spoken(text: str, expected: str) -> None:
    """What is only for the eye is left out; words and arithmetic stay."""
    assert speakable(text) == expected
