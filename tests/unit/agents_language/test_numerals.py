"""Numbers in digits and words."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_agents.language_processing.numerals import join_spelled_digits, number_at, ordinal_at
from tandem_agents.language_processing.tokens import clean, cut, tokenize

ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(value: int, joiner: str = " ") -> str:
    """English words for 0 to 999,999,999, written independently of the parser."""
    if value < 20:
        return ONES[value]
    if value < 100:
        return TENS[value // 10] + (joiner + ONES[value % 10] if value % 10 else "")
    if value < 1000:
        rest = f" and {in_words(value % 100, joiner)}" if value % 100 else ""
        return f"{ONES[value // 100]} hundred{rest}"
    for size, name in ((1_000_000, "million"), (1000, "thousand")):
        if value >= size:
            rest = f" {in_words(value % size, joiner)}" if value % size else ""
            return f"{in_words(value // size, joiner)} {name}{rest}"
    raise AssertionError(value)


@given(st.integers(0, 999_999_999), st.sampled_from([" ", "-"]))
def test_every_number_in_words_is_read(value: int, joiner: str) -> None:
    """Numbers below a billion, spelled out with or without hyphens, are read as themselves and wholly."""
    tokens = tokenize(in_words(value, joiner))
    number = number_at(tokens, 0)
    assert number is not None
    assert (number.value, number.end) == (value, len(tokens))


@given(st.integers(0, 10**12))
def test_every_number_in_digits_is_read(value: int) -> None:
    """Digits, plain and grouped by commas, are read as themselves."""
    for text in (str(value), f"{value:,}"):
        number = number_at(tokenize(text), 0)
        assert number is not None
        assert number.value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.5", "3.5"), ("three point five", "3.5"), ("zero point oh one", "0.01"), ("a hundred", "100"),
        ("a dozen", "12"), ("2 million", "2000000"), ("2.5 thousand", "2500"), ("fifteen hundred", "1500"),
        ("lima", "5"), ("limang", "5"), ("sampu", "10"), ("labing lima", "15"), ("labinlima", "15"),
        ("dalawampu't lima", "25"), ("dalawang daan", "200"), ("isang libo", "1000"), ("kinse", "15"),
    ],
)  # fmt: skip
def test_forms_of_numbers(text: str, value: str) -> None:
    """Decimals, magnitudes and Filipino forms have their value."""
    number = number_at(tokenize(text), 0)
    assert number is not None
    assert number.value == Decimal(value)


@pytest.mark.parametrize("text", ["", "hello", "and five", "point five", "hundred", "the", "½"])
def test_words_that_begin_no_number(text: str) -> None:
    """A magnitude, a joiner or any other word begins no number."""
    assert number_at(tokenize(text), 0) is None


@pytest.mark.parametrize(
    ("text", "end"), [("five six", 1), ("twenty eleven", 1), ("one of them", 1), ("five and six", 1)]
)
def test_numbers_do_not_run_together(text: str, end: int) -> None:
    """Two numbers beside each other stay two."""
    number = number_at(tokenize(text), 0)
    assert number is not None
    assert number.end == end


@pytest.mark.parametrize(
    ("text", "value"),
    [("5th", 5), ("fifth", 5), ("twenty first", 21), ("twenty-third", 23), ("31st", 31), ("thirtieth", 30)],
)
def test_ordinals(text: str, value: int) -> None:
    """Days of the month are read in digits and words."""
    found = ordinal_at(tokenize(text), 0)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("four seven one one", "4711"),
        ("oh eight one five", "0815"),
        ("4 7 1 1", "4711"),
        ("four seven", None),
        ("blue seven one", None),
        ("forty seven eleven", None),
    ],
)
def test_spelled_digits_are_joined(text: str, joined: str | None) -> None:
    """A code read out digit by digit becomes its digits; anything else is left alone."""
    assert join_spelled_digits(tokenize(text)) == joined


def test_clean_text_keeps_case_and_inner_punctuation() -> None:
    """Cleaning unifies quotes and spaces and trims the edges only."""
    assert clean("  “Anna’s  keys, please”!! ") == "Anna's keys, please"


@given(st.text(max_size=60), st.data())
def test_tokens_lie_where_they_say(text: str, data: st.DataObject) -> None:
    """Each token's span holds its text, and tokens never overlap."""
    tokens = tokenize(text)
    at = 0
    for token in tokens:
        assert at <= token.start < token.end
        assert text[token.start : token.end].lower() == token.text
        at = token.end
    if tokens:
        token = data.draw(st.sampled_from(tokens))
        assert len(cut(text, token.start, token.end)) <= len(text) * 4  # NFKC may lengthen, never explode
