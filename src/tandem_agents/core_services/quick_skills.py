"""What can be answered on the spot: time, date, sums, and honest words about what cannot be done."""

from __future__ import annotations

import secrets
import zoneinfo
from datetime import UTC, datetime
from functools import cache

from tandem.core import clock
from tandem.core.errors import InvalidArguments
from tandem_agents.core_services.turn import Turn
from tandem_agents.language_processing import units
from tandem_agents.language_processing.calendar_words import local
from tandem_agents.language_processing.contracts import Reply, Value
from tandem_agents.language_processing.everyday import LARGEST_DIE
from tandem_agents.language_processing.sums import work_out

_TOMORROW = {"tomorrow", "bukas"}
_SIDES = {"en": ("Heads", "Tails"), "fil": ("Tao", "Ibon")}
_COUNTRIES = {
    "philippines": "Asia/Manila", "the philippines": "Asia/Manila", "japan": "Asia/Tokyo", "england": "Europe/London",
    "uk": "Europe/London", "the uk": "Europe/London", "germany": "Europe/Berlin", "france": "Europe/Paris",
    "china": "Asia/Shanghai", "india": "Asia/Kolkata", "san francisco": "America/Los_Angeles", "utc": "UTC", "gmt": "UTC",
    "washington": "America/New_York", "boston": "America/New_York", "seattle": "America/Los_Angeles",
    "beijing": "Asia/Shanghai", "mumbai": "Asia/Kolkata", "delhi": "Asia/Kolkata", "cebu": "Asia/Manila",
    "davao": "Asia/Manila", "quezon city": "Asia/Manila", "makati": "Asia/Manila", "munich": "Europe/Berlin",
}  # fmt: skip


async def tell_time(turn: Turn) -> Reply:
    slots = turn.analysis.slots
    if slots.at is not None:
        return turn.say("time_then", now_time=slots.at, then=slots.label)
    place = slots.place
    if not place:
        return turn.say("time", now_time=clock.wall())
    zone = _zone_of(place)
    if zone is None:
        return turn.say("place_unknown", place=place)
    there = datetime.fromtimestamp(clock.wall(), UTC).astimezone(zone).replace(tzinfo=None)
    return turn.say(
        "time_there", now_time=there.timestamp(), place=place.title() if place.islower() else place
    )


async def tell_date(turn: Turn) -> Reply:
    slots = turn.analysis.slots
    if slots.at is None:
        return turn.say("date", now_date=clock.wall())
    past = local(slots.at).date() < local(clock.wall()).date()
    if any(char.isdigit() for char in slots.label):
        return turn.say("that_was" if past else "that_is", day_date=slots.at)
    return turn.say("date_was" if past else "date_of", name=slots.label, day_date=slots.at)


async def tell_days_until(turn: Turn) -> Reply:
    slots = turn.analysis.slots
    if slots.duration_s is not None:
        return turn.say("time_until", length_s=max(60.0, round(slots.duration_s, -1) // 60 * 60), name=slots.label)
    then, today = local(slots.at or 0.0).date(), local(clock.wall()).date()
    days = (then - today).days
    facts: dict[str, Value] = {"name": slots.label, "day_date": slots.at or 0.0, "count": abs(days)}
    phrase = {0: "day_is_today", 1: "one_day_until"}.get(days, "days_until" if days > 0 else "days_since")
    if slots.label.lower() in _TOMORROW:
        phrase = "date_of"
    return turn.say(phrase, **facts)


async def convert_units(turn: Turn) -> Reply:
    slots = turn.analysis.slots
    try:
        asked = units.conversion(slots.value, slots.kind)
        value = units.convert(asked)
    except InvalidArguments as error:
        return turn.say("refused", reason=error.message)
    amount = " ".join(units.say_amount(number, unit) for number, unit in asked.parts)
    phrase = "converted" if units.is_exact(value) else "converted_about"
    return turn.say(phrase, amount=amount, result=units.say_amount(value, asked.target))


async def try_luck(turn: Turn) -> Reply:
    """A coin, dice or a number, from the operating system's random source."""
    slots = turn.analysis.slots
    if slots.kind == "coin":
        return turn.say("coin", side=secrets.choice(_SIDES["en" if turn.language == "en" else "fil"]))
    if slots.kind == "dice":
        points = [1 + secrets.randbelow(LARGEST_DIE) for _ in range(int(slots.value))]
        return turn.say("dice", points=" and ".join(str(point) for point in points))
    low, high = (int(bound) for bound in slots.value.split())
    return turn.say("number_picked", number=low + secrets.randbelow(high - low + 1))


async def spell(turn: Turn) -> Reply:
    word = turn.analysis.slots.subject
    letters = ", ".join(letter.upper() for letter in word if not letter.isspace())
    return turn.say("spelled", word=word, letters=letters)


async def not_understood(turn: Turn) -> Reply:
    return turn.say("unclear")


async def tell_sum(turn: Turn) -> Reply:
    try:
        done = work_out(turn.analysis.slots.expression)
    except InvalidArguments as error:
        return turn.say("refused", reason=error.message)
    shown = done.expression if turn.language == "en" else done.expression.replace("% of ", "% ng ")
    return turn.say("sum_rounded" if done.rounded else "sum", expression=shown, value=done.value)


async def cannot(turn: Turn) -> Reply:
    """What the house or the assistant cannot do yet: never claim that it was done."""
    slots = turn.analysis.slots
    return turn.say(slots.kind, subject=slots.subject)


async def tell_help(turn: Turn) -> Reply:
    return turn.say("help")


async def heard_nothing(turn: Turn) -> Reply:
    return turn.say("empty")


def _zone_of(place: str) -> zoneinfo.ZoneInfo | None:
    name = _zones().get(" ".join(place.lower().split()).replace(".", ""))
    return zoneinfo.ZoneInfo(name) if name else None


@cache
def _zones() -> dict[str, str]:
    """Time zones by the city or country they are known for."""
    found = {}
    for name in sorted(zoneinfo.available_timezones()):
        area, _, city = name.rpartition("/")
        if area and not area.startswith(("Etc", "posix", "right")):
            found[city.replace("_", " ").lower()] = name
    return found | _COUNTRIES
