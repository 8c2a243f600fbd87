"""Days as people name them: ``tomorrow``, ``next friday``, ``the 5th of March``, ``sa Lunes``."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

from tandem_agents.language_processing.clockwords import DAYPARTS, DayPart
from tandem_agents.language_processing.numerals import number_at, ordinal_at
from tandem_agents.language_processing.tokens import Token, text_at, words_at

WEEKDAYS = {
    word: day
    for day, words in enumerate(
        (
            "monday mon lunes", "tuesday tue tues martes", "wednesday wed miyerkules", "thursday thu thurs huwebes",
            "friday fri biyernes", "saturday sabado", "sunday linggo",
        )
    )
    for word in words.split()
}  # fmt: skip
MONTHS = {
    word: month
    for month, words in enumerate(
        (
            "january jan enero", "february feb pebrero", "march mar marso", "april apr abril", "may mayo",
            "june jun hunyo", "july jul hulyo", "august aug agosto", "september sep sept setyembre",
            "october oct oktubre", "november nov nobyembre", "december dec disyembre",
        ),
        start=1,
    )
    for word in words.split()
}  # fmt: skip
_RELATIVE: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("the", "day", "after", "tomorrow"), 2, ""), (("day", "after", "tomorrow"), 2, ""), (("samakalawa",), 2, ""),
    (("sa", "makalawa"), 2, ""), (("the", "day", "before", "yesterday"), -2, ""), (("day", "before", "yesterday"), -2, ""),
    (("yesterday",), -1, ""), (("kahapon",), -1, ""),
    (("tomorrow", "night"), 1, "night"), (("tomorrow", "morning"), 1, "morning"), (("tomorrow",), 1, ""),
    (("bukas",), 1, ""), (("tonight",), 0, "night"), (("mamayang", "gabi"), 0, "night"),
    (("ngayong", "gabi"), 0, "night"), (("mamayang", "hapon"), 0, "afternoon"), (("ngayong", "hapon"), 0, "afternoon"),
    (("today",), 0, ""), (("ngayon",), 0, ""), (("mamaya",), 0, ""),
)  # fmt: skip
_FEASTS: tuple[tuple[tuple[str, ...], tuple[int, int]], ...] = (
    (("christmas", "eve"), (12, 24)), (("christmas", "day"), (12, 25)), (("christmas",), (12, 25)), (("pasko",), (12, 25)),
    (("new", "year's", "eve"), (12, 31)), (("new", "year's", "day"), (1, 1)), (("new", "year"), (1, 1)),
    (("valentine's", "day"), (2, 14)), (("halloween",), (10, 31)),
)  # fmt: skip
_THIS: tuple[str, ...] = ("morning", "afternoon", "evening", "night")
_WEEK_AMBIGUOUS = {"linggo", "mon", "tue", "wed", "thu", "fri", "may", "mar"}


class Day(NamedTuple):
    """A calendar day, the part of it that was named along (``tonight``), and the index after it.

    ``every_days`` is 7 for a weekday: once its time is past today, the next one is meant.
    """

    date: date
    part: DayPart | None
    end: int
    every_days: int = 0


def day_at(tokens: list[Token], index: int, today: date) -> Day | None:
    """The day named at ``index``, seen from ``today``."""
    for words, days, part in _RELATIVE:
        if words_at(tokens, index, *words):
            return Day(today + timedelta(days=days), DAYPARTS[part] if part else None, index + len(words))
    if text_at(tokens, index) == "this" and text_at(tokens, index + 1) in _THIS:
        return Day(today, DAYPARTS[text_at(tokens, index + 1)], index + 2)
    if words_at(tokens, index, "next", "week"):
        return Day(today + timedelta(days=7), None, index + 2)
    for words, (month, number) in _FEASTS:
        if words_at(tokens, index, *words):
            return _dated(tokens, index + len(words), today, month, number)
    return _weekday_at(tokens, index, today) or _iso_at(tokens, index) or _month_day_at(tokens, index, today)


def _weekday_at(tokens: list[Token], index: int, today: date) -> Day | None:
    at, led = index, False
    while text_at(tokens, at) in ("on", "this", "next", "coming", "sa", "ngayong", "darating", "na", "every"):
        led, at = True, at + 1
    word = text_at(tokens, at)
    if word not in WEEKDAYS or (word in _WEEK_AMBIGUOUS and not led):
        return None
    ahead = (WEEKDAYS[word] - today.weekday()) % 7
    if any(token.text == "next" for token in tokens[index:at]):
        # "next friday" is the one of the coming calendar week, which starts on Monday.
        ahead = 7 - today.weekday() + WEEKDAYS[word]
    return Day(today + timedelta(days=ahead), None, at + 1, every_days=7)


def _iso_at(tokens: list[Token], index: int) -> Day | None:
    """``2026-12-24``."""
    parts = [text_at(tokens, index + offset) for offset in range(5)]
    if len(parts[0]) != 4 or parts[1] != "-" or parts[3] != "-":
        return None
    if not (parts[0].isdecimal() and parts[2].isdecimal() and parts[4].isdecimal()):
        return None
    found = _date(int(parts[0]), int(parts[2]), int(parts[4]))
    return Day(found, None, index + 5) if found else None


def _month_day_at(tokens: list[Token], index: int, today: date) -> Day | None:
    at, led = index, False
    while text_at(tokens, at) in ("on", "the", "sa", "ika", "-"):
        led, at = True, at + 1
    month = MONTHS.get(text_at(tokens, at), 0)
    if month:
        day = ordinal_at(tokens, at + 1 + (text_at(tokens, at + 1) == "the")) or number_at(tokens, at + 1)
        if day is None or not 1 <= day.value <= 31:
            return None
        return _dated(tokens, day.end, today, month, int(day.value))
    day = ordinal_at(tokens, at)
    plain = day is None
    day = day or number_at(tokens, at)
    if day is None or not 1 <= day.value <= 31 or day.value % 1:
        return None
    month = MONTHS.get(text_at(tokens, day.end + (text_at(tokens, day.end) in ("of", "ng"))), 0)
    if month:
        end = day.end + (text_at(tokens, day.end) in ("of", "ng")) + 1
        return _dated(tokens, end, today, month, int(day.value))
    return _this_or_next_month(today, int(day.value), day.end) if led and not plain else None


def _dated(tokens: list[Token], end: int, today: date, month: int, day: int) -> Day | None:
    at = end + (text_at(tokens, end) == ",")
    year = text_at(tokens, at)
    if len(year) == 4 and year.isdecimal() and 1900 <= int(year) < 2200 and text_at(tokens, at + 1) != ":":
        found = _date(int(year), month, day)
        return Day(found, None, at + 1) if found else None
    upcoming = (_date(today.year + ahead, month, day) for ahead in range(9))  # 9: the next 29 February
    found = next((candidate for candidate in upcoming if candidate and candidate >= today), None)
    return Day(found, None, end) if found else None


def _this_or_next_month(today: date, day: int, end: int) -> Day | None:
    for ahead in range(13):
        month = today.month + ahead
        found = _date(today.year + (month - 1) // 12, (month - 1) % 12 + 1, day)
        if found and found >= today:
            return Day(found, None, end)
    return None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
