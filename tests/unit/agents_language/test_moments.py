"""Points in time, seen from Wednesday, 4 March 2026, 15:00."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tandem_agents.language_processing.moments import find_moment, moment_at
from tandem_agents.language_processing.tokens import tokenize

NOW = datetime(2026, 3, 4, 15, 0)


def at(text: str, now: datetime = NOW) -> str | None:
    """The moment in ``text`` as month-day and time, if it is named by all of the text."""
    tokens = tokenize(text)
    found = moment_at(tokens, 0, now)
    assert found is None or found.end == len(tokens), f"{text}: only {found.end} of {len(tokens)} tokens"
    return found.at.strftime("%m-%d %H:%M") if found else None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("in 5 minutes", "03-04 15:05"), ("in an hour and a half", "03-04 16:30"), ("two hours from now", "03-04 17:00"),
        ("in 2 days at 9", "03-06 09:00"), ("at half past seven", "03-04 19:30"), ("at 7", "03-04 19:00"),
        ("at 7 am", "03-05 07:00"), ("at 7 p.m.", "03-04 19:00"), ("at 7:30", "03-04 19:30"), ("19:05", "03-04 19:05"),
        ("at 7.30 pm", "03-04 19:30"), ("at seven thirty", "03-04 19:30"), ("at six oh five am", "03-05 06:05"),
        ("quarter to nine", "03-04 20:45"), ("twenty past four pm", "03-04 16:20"), ("a quarter past 4", "03-04 16:15"),
        ("at 20 to 12 pm", "03-05 11:40"), ("7 o'clock", "03-04 19:00"), ("at noon", "03-05 12:00"), ("midnight", "03-05 00:00"),
        ("tomorrow", "03-05 09:00"), ("tomorrow at 9", "03-05 09:00"), ("tomorrow at 3", "03-05 15:00"),
        ("tomorrow morning at 6", "03-05 06:00"), ("at 10 tomorrow", "03-05 10:00"), ("tonight", "03-04 20:00"),
        ("tonight at 8", "03-04 20:00"), ("tonight at 12", "03-05 00:00"), ("this evening", "03-04 19:00"),
        ("day after tomorrow", "03-06 09:00"), ("on friday at noon", "03-06 12:00"), ("next monday at 10", "03-09 10:00"),
        ("next friday", "03-13 09:00"), ("on wednesday at 4", "03-04 16:00"), ("on wednesday at 2", "03-11 14:00"),
        ("sunday", "03-08 09:00"), ("9 a.m. on saturday", "03-07 09:00"), ("on march 5th at 8", "03-05 08:00"),
        ("5 march", "03-05 09:00"), ("the 5th of may at 3 pm", "05-05 15:00"), ("on the 30th", "03-30 09:00"),
        ("2026-12-24", "12-24 09:00"), ("next week", "03-11 09:00"), ("christmas", "12-25 09:00"),
        ("today at 3 am", "03-04 03:00"), ("alas otso ng gabi", "03-04 20:00"), ("bukas", "03-05 09:00"),
        ("bukas ng alas singko y medya ng hapon", "03-05 17:30"), ("sa Lunes ng umaga", "03-09 09:00"),
        ("mamayang gabi", "03-04 20:00"), ("kalahating oras mula ngayon", "03-04 15:30"),
    ],
)  # fmt: skip
def test_moments(text: str, moment: str) -> None:
    """Each way to name a time is read wholly and means what a person means."""
    assert at(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "buy 2 apples",
        "at 25",
        "at 7:99",
        "call the 2 of them",
        "24 hours",
        "seven",
        "at home",
        "for 5 minutes",
        "13 pm",
        "may",
        "today",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    """Bare numbers, impossible times and words that only look like days name no moment."""
    assert find_moment(tokenize(text), NOW) is None


@pytest.mark.parametrize(
    ("habit", "text", "moment"),
    [
        ("alarm", "at half past six tomorrow", "03-05 06:30"), ("alarm", "tomorrow at 3", "03-05 15:00"),
        ("wake", "at 7", "03-05 07:00"), ("wake", "tomorrow at 3", "03-05 03:00"), ("day", "tomorrow at 5", "03-05 17:00"),
    ],
)  # fmt: skip
def test_bare_hours_depend_on_what_they_are_for(habit: str, text: str, moment: str) -> None:
    """Whoever asks to be woken means the morning; a meeting at five does not."""
    found = moment_at(tokenize(text), 0, NOW, habit=habit)  # type: ignore[arg-type]
    assert found is not None
    assert found.at.strftime("%m-%d %H:%M") == moment


def test_a_passed_day_of_the_month_means_the_next_one() -> None:
    """The 3rd, said on the 4th, is next month's; 29 February is the next leap year's."""
    assert at("on the 3rd") == "04-03 09:00"
    found = moment_at(tokenize("february 29"), 0, NOW)
    assert found is not None
    assert found.at.year == 2028


@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)), st.integers(1, 10_000))
def test_in_n_minutes_is_n_minutes_from_now(now: datetime, minutes: int) -> None:
    """A relative time is exact, whatever the calendar does."""
    found = moment_at(tokenize(f"in {minutes} minutes"), 0, now)
    assert found is not None
    assert found.at == now + timedelta(minutes=minutes)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)), st.integers(0, 23), st.integers(0, 59))
def test_a_clock_time_is_the_next_such_time(now: datetime, hour: int, minute: int) -> None:
    """A digital time is at that time, later than now, and at most a day away; from 10:00 to 12:59 either half of the day may be meant."""
    found = moment_at(tokenize(f"at {hour:02}:{minute:02}"), 0, now)
    assert found is not None
    assert (found.at.minute, timedelta(0) < found.at - now <= timedelta(days=1)) == (minute, True)
    assert found.at.hour in ((hour, (hour + 12) % 24) if 10 <= hour <= 12 else (hour,))


@example("1" + 28 * "0")
@given(st.text(max_size=80))
def test_any_text_is_survived(text: str) -> None:
    """No text makes the reader fail, and spans stay within the tokens."""
    tokens = tokenize(text)
    found = find_moment(tokens, NOW)
    assert found is None or 0 <= found.start < found.end <= len(tokens)
