"""Lengths of time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_agents.language_processing.calendar_words import say_duration
from tandem_agents.language_processing.durations import duration_at, find_duration
from tandem_agents.language_processing.tokens import tokenize


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5 minutes", 300), ("five minutes", 300), ("a minute", 60), ("90 s", 90), ("5min", 300), ("1h30", 5400),
        ("an hour and a half", 5400), ("two and a half hours", 9000), ("half an hour", 1800), ("a quarter of an hour", 900),
        ("three quarters of an hour", 2700), ("1 hour, 5 minutes and 10 seconds", 3910), ("2 hours 30 minutes", 9000),
        ("5-minute", 300), ("a couple of minutes", 120), ("1.5 hours", 5400), ("twenty five minutes", 1500),
        ("one hour thirty", 5400), ("a day", 86400), ("2 weeks", 1_209_600), ("limang minuto", 300),
        ("dalawang oras at limang minuto", 7500), ("isang oras at kalahati", 5400), ("kalahating oras", 1800),
        ("sampung segundo", 10), ("a hundred seconds", 100),
    ],
)  # fmt: skip
def test_lengths(text: str, seconds: float) -> None:
    """Every usual way to say a length is read wholly."""
    tokens = tokenize(text)
    found = duration_at(tokens, 0)
    assert found is not None
    assert (found.seconds, found.end) == (seconds, len(tokens))


@pytest.mark.parametrize(
    "text", ["", "five", "minutes", "five apples", "the hour", "5 o'clock", "at 5", "minute hand"]
)
def test_what_is_no_length(text: str) -> None:
    """A number without a unit, or a unit without a number, is no length."""
    assert find_duration(tokenize(text)) is None


@given(st.integers(1, 400), st.sampled_from([("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400)]))
def test_any_amount_of_any_unit(amount: int, unit: tuple[str, int]) -> None:
    """``n units`` is n times the unit, wherever it stands in a sentence."""
    name, size = unit
    found = find_duration(tokenize(f"please wait {amount} {name}{'s' if amount > 1 else ''} for me"))
    assert found is not None
    assert found.seconds == amount * size


@given(st.integers(1, 30 * 86400))
def test_what_is_said_is_what_is_read(seconds: int) -> None:
    """A spoken length, read again, is the same up to the units that were left out."""
    said = say_duration(seconds)
    found = find_duration(tokenize(said))
    assert found is not None
    smallest = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}[said.split()[-1].rstrip("s")]
    assert 0 <= seconds - found.seconds < max(smallest, 3600 if seconds >= 86400 else 60)


def test_units_must_get_smaller() -> None:
    """``5 minutes 2 hours`` is five minutes followed by something else."""
    found = duration_at(tokenize("5 minutes 2 hours"), 0)
    assert found is not None
    assert found.seconds == 300
