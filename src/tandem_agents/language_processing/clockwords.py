"""Times of day: ``7:30 pm``, ``half past seven``, ``noon``, ``alas singko y medya ng hapon``."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tandem_agents.language_processing.durations import SECONDS
from tandem_agents.language_processing.numerals import number_at
from tandem_agents.language_processing.tokens import Token, text_at, words_at

Meridiem = Literal["", "am", "pm", "24"]


class DayPart(NamedTuple):
    """A part of the day; ``hour`` stands for it when no clock time is given."""

    name: str
    hour: int
    names_time: bool = True


DAYPARTS = {
    "day": DayPart("day", 9, names_time=False),
    "dawn": DayPart("dawn", 5),
    "morning": DayPart("morning", 9),
    "afternoon": DayPart("afternoon", 15),
    "evening": DayPart("evening", 19),
    "night": DayPart("night", 20),
}
_DAYPART_WORDS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("madaling", "araw"), "dawn"), (("dawn",), "dawn"), (("morning",), "morning"), (("umaga",), "morning"),
    (("afternoon",), "afternoon"), (("hapon",), "afternoon"), (("evening",), "evening"), (("night",), "night"),
    (("gabi",), "night"),
)  # fmt: skip
_NAMED: tuple[tuple[tuple[str, ...], int], ...] = (
    (("noon",), 12), (("midday",), 12), (("midnight",), 0), (("ng", "tanghali"), 12), (("tanghali",), 12),
    (("hatinggabi",), 0), (("hating", "gabi"), 0),
)  # fmt: skip
_PREFIXES = {
    "at",
    "by",
    "around",
    "about",
    "until",
    "till",
    "for",
    "before",
    "alas",
    "ala",
    "from",
    "bandang",
}
_SPANISH_ONLY = {"dose": 12, "una": 1}


class ClockTime(NamedTuple):
    """An hour as it was said (0..24), and what was said about which half of the day; ``24`` means unambiguous."""

    hour: int
    minute: int
    meridiem: Meridiem
    end: int

    def hours(self, part: DayPart | None, morning: bool) -> tuple[int, ...]:
        """The hours of the day it may mean, in order: one when it is settled, else morning and afternoon."""
        if self.meridiem == "24" or self.hour == 0 or self.hour > 12:
            return (self.hour % 24,)
        twelve = self.hour % 12
        if self.meridiem:
            return (twelve + (12 if self.meridiem == "pm" else 0),)
        if part is not None and part.name != "day":
            return (_by_part(twelve, part),)
        return (twelve,) if morning else (twelve, twelve + 12)


def _by_part(twelve: int, part: DayPart) -> int:
    if part.name in ("morning", "dawn"):
        return twelve if twelve else 12
    if part.name == "night" and twelve < 5:
        return twelve
    return twelve + 12


def daypart_at(tokens: list[Token], index: int) -> tuple[DayPart, int] | None:
    """``in the morning``, ``at night``, ``ng gabi``, with the index after it; the leading words are optional."""
    at = index
    while text_at(tokens, at) in ("in", "the", "at", "this", "ng", "sa"):
        at += 1
    for words, name in _DAYPART_WORDS:
        if words_at(tokens, at, *words):
            return DAYPARTS[name], at + len(words)
    return None


def clock_at(tokens: list[Token], index: int) -> ClockTime | None:
    """The time of day that starts at ``index``.

    A bare number counts only after a word such as ``at``, or with ``am``, ``o'clock`` or minutes, so that
    ``buy 2 apples`` names no time.
    """
    named = _named_at(tokens, index)
    if named:
        return named
    prefixed = text_at(tokens, index) in _PREFIXES
    at = index + prefixed
    if prefixed and text_at(tokens, at) in ("about", "around", "-", "exactly"):
        at += 1
    if prefixed and (named := _named_at(tokens, at)):
        return named
    found = _fraction_of_hour(tokens, at) or _digital(tokens, at, prefixed)
    if found is None or not _possible(found):
        return None
    return found


def _possible(clock: ClockTime) -> bool:
    if clock.meridiem in ("am", "pm"):
        return 1 <= clock.hour <= 12 and clock.minute < 60
    return 0 <= clock.hour <= 24 and clock.minute < 60 and not (clock.hour == 24 and clock.minute)


def _named_at(tokens: list[Token], index: int) -> ClockTime | None:
    for words, hour in _NAMED:
        if words_at(tokens, index, *words):
            return ClockTime(hour, 0, "24", index + len(words))
    return None


def _small(tokens: list[Token], index: int) -> tuple[int, int] | None:
    """A whole number below 100 and the index after it."""
    word = text_at(tokens, index)
    if word in _SPANISH_ONLY:
        return _SPANISH_ONLY[word], index + 1
    number = number_at(tokens, index)
    if number is None or number.value >= 100 or number.value % 1 or not (word.isdecimal() or word.isalpha()):
        return None
    return int(number.value), number.end


def _fraction_of_hour(tokens: list[Token], index: int) -> ClockTime | None:
    """``half past seven``, ``quarter to nine``, ``twenty past 4``."""
    at = index + (text_at(tokens, index) == "a")
    if text_at(tokens, at) in ("half", "quarter"):
        minutes, at = (30 if text_at(tokens, at) == "half" else 15), at + 1
    else:
        small = _small(tokens, at)
        if small is None:
            return None
        minutes, at = small
        at += text_at(tokens, at) in ("minutes", "minute")
    direction = text_at(tokens, at)
    if direction not in ("past", "to", "after", "before", "till") or not 0 < minutes < 60:
        return None
    hour = _small(tokens, at + 1)
    if hour is None or not 1 <= hour[0] <= 12:
        return None
    meridiem, end = _meridiem_at(tokens, hour[1])
    if direction in ("past", "after"):
        return ClockTime(hour[0], minutes, meridiem, end)
    return _minutes_before(hour[0], minutes, meridiem, end)


def _minutes_before(hour: int, minutes: int, meridiem: Meridiem, end: int) -> ClockTime:
    """Twenty to twelve pm is 11:40 in the *morning*: crossing twelve backwards changes the half of the day."""
    if hour == 12 and meridiem:
        meridiem = "am" if meridiem == "pm" else "pm"
    return ClockTime(12 if hour == 1 else hour - 1, 60 - minutes, meridiem, end)


def _digital(tokens: list[Token], index: int, prefixed: bool) -> ClockTime | None:
    """``7``, ``7:30``, ``7.30 pm``, ``seven thirty``, ``19:00``, ``otso y medya``."""
    decimal = _with_dot(tokens, index, prefixed)
    if decimal:
        return decimal
    hour = _small(tokens, index)
    if hour is None:
        return None
    value, at = hour
    minute, after = _minutes_at(tokens, at)
    meridiem, end = _meridiem_at(tokens, after)
    if end == after and words_at(tokens, after, "o'clock"):
        end = after + 1
    has_colon = text_at(tokens, at) == ":"
    if not (prefixed or has_colon or end > after):
        return None
    if not has_colon and (value == 0 or text_at(tokens, end) in SECONDS):
        return None  # "for zero minutes", "for 5 minutes"
    if meridiem == "" and (value > 12 or (has_colon and len(text_at(tokens, index)) == 2 and value < 10)):
        meridiem = "24"
    return ClockTime(value, minute, meridiem, end)


def _with_dot(tokens: list[Token], index: int, prefixed: bool) -> ClockTime | None:
    whole, dot, fraction = text_at(tokens, index).partition(".")
    if not dot or not whole.isdecimal() or len(fraction) != 2:
        return None
    meridiem, end = _meridiem_at(tokens, index + 1)
    if not (prefixed or end > index + 1) or int(whole) > 24:
        return None
    return ClockTime(int(whole), int(fraction), meridiem or ("24" if int(whole) > 12 else ""), end)


def _minutes_at(tokens: list[Token], at: int) -> tuple[int, int]:
    """Minutes after the hour and the index after them; 0 when none follow."""
    word = text_at(tokens, at)
    if word == ":":
        minutes = text_at(tokens, at + 1)
        return (int(minutes), at + 2) if minutes.isdecimal() and len(minutes) == 2 else (0, at)
    if words_at(tokens, at, "y", "medya") or words_at(tokens, at, "at", "kalahati"):
        return 30, at + 2
    if word == "y" and (small := _small(tokens, at + 1)):
        return small
    if word in ("oh", "o") and (small := _small(tokens, at + 1)) and small[0] < 10:
        return small
    small = _small(tokens, at)
    if small and 10 <= small[0] < 60 and not word.startswith("0"):
        return small
    return 0, at


def _meridiem_at(tokens: list[Token], at: int) -> tuple[Meridiem, int]:
    word = text_at(tokens, at)
    if word in ("am", "pm"):
        return ("am" if word == "am" else "pm"), at + 1
    if word in ("a", "p") and text_at(tokens, at + 1) == "." and text_at(tokens, at + 2) == "m":
        end = at + 3 + (text_at(tokens, at + 3) == ".")
        return ("am" if word == "a" else "pm"), end
    if word in ("a", "p") and text_at(tokens, at + 1) == "m":
        return ("am" if word == "a" else "pm"), at + 2
    return "", at
