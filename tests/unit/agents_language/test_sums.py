"""Sums in digits and words."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.core.errors import InvalidArguments
from tandem_agents.language_processing.sums import read_sum, work_out


def value_of(text: str) -> str | None:
    """The value of a question, or None when it is no sum."""
    expression = read_sum(text)
    return None if expression is None else work_out(expression).value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("what is 17 plus 25", "42"), ("What's 12 times 3.5?", "42"), ("seventeen minus twenty-five", "-8"),
        ("10/4", "2.5"), ("(3+4)*2", "14"), ("((1+2))*3", "9"), ("2 to the power of 10", "1024"), ("5 squared", "25"),
        ("square root of 144", "12"), ("what is fifteen percent of eighty", "12"), ("80 + 10%", "88"), ("100 - 15 percent", "85"),
        ("half of 90", "45"), ("add 5 and 7", "12"), ("subtract 5 from 9", "4"), ("what is the sum of two and three", "5"),
        ("divide 10 by 4", "2.5"), ("multiply six by seven", "42"), ("calculate -5 + 3", "-2"), ("-2^2", "-4"),
        ("0.1 + 0.2", "0.3"), ("1,000 times 1,000", "1000000"), ("7 times 8 equals", "56"), ("two plus two equals what?", "4"),
        ("ano ang lima plus dalawa", "7"), ("15% of 80 + 20% of 50", "22"), ("10 / 3", "3.33333"), ("1234.5 / 7", "176.3571"), ("20% off 80", "64"), ("a 15 percent tip on 60", "9"), ("add 3.75, 4.25 and 10", "18"), ("the sum of 1, 2, and 3", "6"), ("2 x 3", "6"),
        ("123456789 * 987654321", "121932631112635269"), ("0 * 5", "0"), ("one hundred and five minus five", "100"),
    ],
)  # fmt: skip
def test_sums(text: str, value: str) -> None:
    """Written and spoken sums have their exact value, or the digits shown of it."""
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "what is 42", "what is one of them", "17 and 25", "what time is it", "2 x 3 x", "12 + (3", "plus 5", "", "5 plus apples",
        "what is two thousand", "2026-12-24", "__import__('os')", "9 ** ", "how much is the fish", "(((((((((", "1 + 1; 2",
    ],
)  # fmt: skip
def test_what_is_no_sum(text: str) -> None:
    """Anything with a word that is neither number nor operator, or without an operator, is no sum."""
    assert read_sum(text) is None


@pytest.mark.parametrize(
    "text", ["1/0", "5 divided by zero", "2^1001", "9**9**9", "0 ^ -1", "square root of 0 / 0"]
)
def test_impossible_sums_are_refused_in_words(text: str) -> None:
    """Division by zero and monstrous powers are said, not computed."""
    expression = read_sum(text)
    assert expression is not None
    with pytest.raises(InvalidArguments) as refused:
        work_out(expression)
    assert refused.value.message.endswith(".")


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')",
        "a + 1",
        "(1).real",
        "[1][0]",
        "1 if 1 else 2",
        "'a' * 9",
        "sqrt(-1)",
        "lambda: 1",
        "True + 1",
        "",
    ],
)
def test_only_arithmetic_is_evaluated(expression: str) -> None:
    """Names, attributes, strings and every other construct are refused."""
    with pytest.raises(InvalidArguments):
        work_out(expression)


NUMBERS = st.decimals(-10_000, 10_000, allow_nan=False, allow_infinity=False, places=3)


@given(NUMBERS, NUMBERS, st.sampled_from("+-*"))
def test_sums_of_decimals_are_exact(a: Decimal, b: Decimal, sign: str) -> None:
    """Addition, subtraction and multiplication lose no digit."""
    exact = {"+": Fraction(a) + Fraction(b), "-": Fraction(a) - Fraction(b), "*": Fraction(a) * Fraction(b)}[
        sign
    ]
    assert Fraction(work_out(f"{a:f} {sign} ({b:f})").value) == exact


@given(
    st.integers(-999, 999),
    st.integers(-999, 999),
    st.sampled_from([("plus", "+"), ("minus", "-"), ("times", "*")]),
)
def test_spoken_and_written_sums_agree(a: int, b: int, operator: tuple[str, str]) -> None:
    """The spoken operator means the written one, negative numbers included."""
    spoken, written = operator
    said = f"what is {a} {spoken} {'minus ' if b < 0 else ''}{abs(b)}"
    assert value_of(said) == value_of(f"{a}{written}{b}")


@given(st.text(max_size=60))
def test_any_text_is_survived(text: str) -> None:
    """No text makes the reader fail; what it accepts can be worked out or is refused in words."""
    expression = read_sum(text)
    if expression is not None:
        try:
            answer = work_out(expression).value
        except InvalidArguments as refusal:
            answer = refusal.message
        assert answer.strip()


def test_rounding_is_told() -> None:
    """An inexact quotient says how many digits were kept, an exact one none."""
    assert work_out("1 / 3").rounded == 6
    assert work_out("1 / 4").rounded == 0
