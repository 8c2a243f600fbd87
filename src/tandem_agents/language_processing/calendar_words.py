"""Times, days and lengths in words, English and Filipino."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from tandem_agents.language_processing.contracts import Language

ClockStyle = Literal["12h", "24h"]
SOON_S = 120.0

_WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "fil": ("Lunes", "Martes", "Miyerkules", "Huwebes", "Biyernes", "Sabado", "Linggo"),
}
_MONTHS = {
    "en": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    "fil": (
        "Enero", "Pebrero", "Marso", "Abril", "Mayo", "Hunyo", "Hulyo", "Agosto", "Setyembre", "Oktubre", "Nobyembre",
        "Disyembre",
    ),
}  # fmt: skip
_UNITS = {
    "en": (
        (86_400, "day", "days"),
        (3600, "hour", "hours"),
        (60, "minute", "minutes"),
        (1, "second", "seconds"),
    ),
    "fil": (
        (86_400, "araw", "araw"),
        (3600, "oras", "oras"),
        (60, "minuto", "minuto"),
        (1, "segundo", "segundo"),
    ),
}


def say_time(moment: datetime, language: Language = "en", style: ClockStyle = "12h") -> str:
    """``3:05 PM``, ``15:05``, ``3:05 ng hapon``."""
    if style == "24h":
        return f"{moment:%H:%M}"
    hour = moment.hour % 12 or 12
    if language == "en":
        return f"{hour}:{moment:%M} {'AM' if moment.hour < 12 else 'PM'}"
    return f"{hour}:{moment:%M} ng {_filipino_part(moment.hour)}"


def say_date(moment: datetime, language: Language = "en") -> str:
    """``Wednesday, March 4, 2026``."""
    words = "en" if language == "en" else "fil"
    return f"{_WEEKDAYS[words][moment.weekday()]}, {_MONTHS[words][moment.month - 1]} {moment.day}, {moment.year}"


def say_moment(moment: datetime, now: datetime, language: Language = "en", style: ClockStyle = "12h") -> str:
    """A time with as much of the day as is needed: ``at 3:05 PM``, ``tomorrow at 9:00 AM``, ``on Friday, …``.

    Within the next two minutes the seconds matter more than the clock: ``in 40 seconds``.
    """
    ahead = (moment - now).total_seconds()
    if 0 < ahead < SOON_S:
        return f"{'in' if language == 'en' else 'makalipas ang'} {say_duration(ahead, language)}"
    clock = say_time(moment, language, style)
    days = (moment.date() - now.date()).days
    if language == "en":
        lead = {0: "at", 1: "tomorrow at", -1: "yesterday at"}.get(days) or f"on {say_date(moment)} at"
    else:
        lead = {0: "nang", 1: "bukas nang", -1: "kahapon nang"}.get(
            days
        ) or f"sa {say_date(moment, 'fil')} nang"
    return f"{lead} {clock}"


def say_duration(seconds: float, language: Language = "en") -> str:
    """The two largest units: ``5 minutes``, ``1 hour and 30 minutes``; at least ``1 second`` unless it is zero."""
    left = max(0, round(seconds)) or int(seconds > 0)
    words = "en" if language == "en" else "fil"
    parts = []
    for size, one, many in _UNITS[words]:
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number} {one if number == 1 else many}")
    joiner = " and " if language == "en" else " at "
    return joiner.join(parts[:2]) or f"0 {_UNITS[words][-1][2]}"


def part_of_day(moment: datetime) -> str:
    """``morning``, ``afternoon`` or ``evening``, for greetings."""
    if 4 <= moment.hour < 12:
        return "morning"
    return "afternoon" if 12 <= moment.hour < 18 else "evening"


def local(seconds: float) -> datetime:
    """Unix seconds as naive local time; the year 9999 at most."""
    try:
        return datetime.fromtimestamp(seconds)
    except (OverflowError, ValueError, OSError):
        return datetime.max - timedelta(days=1)


def _filipino_part(hour: int) -> str:
    if hour < 5:
        return "madaling araw"
    if hour < 12:
        return "umaga"
    if hour == 12:
        return "tanghali"
    return "hapon" if hour < 18 else "gabi"
