"""What is said in fixed words."""

from __future__ import annotations

import string
from datetime import datetime, timedelta

import pytest

from tandem_agents.language_processing.calendar_words import (
    local,
    part_of_day,
    say_date,
    say_duration,
    say_moment,
    say_time,
)
from tandem_agents.language_processing.contracts import Language, Reply
from tandem_agents.language_processing.phrasebook import PHRASES, render

NOW = datetime(2026, 3, 4, 15, 5)


@pytest.mark.parametrize("phrase", PHRASES)
def test_every_phrase_exists_in_both_languages_with_the_same_facts(phrase: str) -> None:
    """A Filipino phrase never needs a fact the English one does not get."""
    fields = {
        language: {name for _, name, _, _ in string.Formatter().parse(text) if name}
        for language, text in PHRASES[phrase].items()
    }
    assert set(fields) == {"en", "fil"}
    assert fields["fil"] <= fields["en"]


@pytest.mark.parametrize(
    ("moment", "language", "style", "said"),
    [
        (NOW, "en", "12h", "3:05 PM"), (NOW, "en", "24h", "15:05"), (NOW, "fil", "12h", "3:05 ng hapon"),
        (NOW.replace(hour=0), "en", "12h", "12:05 AM"), (NOW.replace(hour=12), "en", "12h", "12:05 PM"),
        (NOW.replace(hour=12), "fil", "12h", "12:05 ng tanghali"), (NOW.replace(hour=3), "fil", "12h", "3:05 ng madaling araw"),
    ],
)  # fmt: skip
def test_times_in_words(moment: datetime, language: Language, style: str, said: str) -> None:
    """Noon and midnight are on the right side, in either language and clock."""
    assert say_time(moment, language, style) == said  # type: ignore[arg-type]


def test_days_in_words() -> None:
    """A date has its weekday, month, day and year."""
    assert say_date(NOW) == "Wednesday, March 4, 2026"
    assert say_date(NOW, "fil") == "Miyerkules, Marso 4, 2026"


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0, "at 3:05 PM"),
        (1, "tomorrow at 3:05 PM"),
        (-1, "yesterday at 3:05 PM"),
        (3, "on Saturday, March 7, 2026 at 3:05 PM"),
    ],
)
def test_moments_name_no_more_of_the_day_than_needed(days: int, said: str) -> None:
    """Today needs no day, tomorrow needs one word."""
    assert say_moment(NOW.replace(day=NOW.day + days), NOW) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (0.2, "1 second"),
        (1, "1 second"),
        (59.6, "1 minute"),
        (300, "5 minutes"),
        (5400, "1 hour and 30 minutes"),
        (90061, "1 day and 1 hour"),
    ],
)
def test_lengths_in_words(seconds: float, said: str) -> None:
    """The two largest units are said, one of a unit in the singular."""
    assert say_duration(seconds) == said


def test_facts_are_put_into_words_by_their_names() -> None:
    """Lengths, moments and lists arrive as data and leave as words."""
    now = NOW.timestamp()
    items = [
        Reply(phrase="timer_item_named", facts={"label": "pasta", "left_s": 500.0}),
        Reply(phrase="reminder_item", facts={"label": "call Mom", "due_at": now + 86_400}),
    ]
    said = render(Reply(phrase="alarms_list", facts={"count": 2}, parts=items), NOW)
    assert (
        said
        == "You have 2: the pasta timer with 8 minutes and 20 seconds left; a reminder tomorrow at 3:05 PM: call Mom."
    )


def test_what_is_near_is_said_in_seconds() -> None:
    """Forty seconds from now is not said as a time of day."""
    assert say_moment(NOW + timedelta(seconds=40), NOW) == "in 40 seconds"
    assert say_moment(NOW + timedelta(minutes=2), NOW) == "at 3:07 PM"


def test_finished_text_is_left_alone() -> None:
    """A model's answer is not touched."""
    assert render(Reply(text="as it is {really}"), NOW) == "as it is {really}"


def test_braces_in_what_a_person_said_are_only_text() -> None:
    """A fact that looks like a template is not filled again."""
    assert render(Reply(phrase="fact", facts={"fact": "the code is {value}"}), NOW) == "the code is {value}."


@pytest.mark.parametrize("reply", [Reply(phrase="no_such"), Reply(phrase="time")])
def test_mistakes_are_errors(reply: Reply) -> None:
    """An unknown phrase and a missing fact are not papered over."""
    with pytest.raises(KeyError):
        render(reply, NOW)


@pytest.mark.parametrize(
    ("hour", "part"), [(3, "evening"), (4, "morning"), (12, "afternoon"), (18, "evening")]
)
def test_parts_of_the_day(hour: int, part: str) -> None:
    """A greeting fits the hour."""
    assert part_of_day(NOW.replace(hour=hour)) == part


def test_absurd_times_do_not_fail() -> None:
    """A time beyond the calendar is shown as its end."""
    assert local(1e18).year == 9999
