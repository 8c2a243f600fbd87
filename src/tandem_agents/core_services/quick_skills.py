"""What can be answered on the spot: time, date, sums, and honest words about what cannot be done."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime
from functools import cache

from tandem.core import clock
from tandem.core.errors import InvalidArguments
from tandem_agents.core_services.turn import Turn
from tandem_agents.language_processing.contracts import Reply
from tandem_agents.language_processing.sums import work_out

_COUNTRIES = {
    "philippines": "Asia/Manila", "the philippines": "Asia/Manila", "japan": "Asia/Tokyo", "england": "Europe/London",
    "uk": "Europe/London", "the uk": "Europe/London", "germany": "Europe/Berlin", "france": "Europe/Paris",
    "china": "Asia/Shanghai", "india": "Asia/Kolkata", "san francisco": "America/Los_Angeles", "utc": "UTC", "gmt": "UTC",
    "washington": "America/New_York", "boston": "America/New_York", "seattle": "America/Los_Angeles",
    "beijing": "Asia/Shanghai", "mumbai": "Asia/Kolkata", "delhi": "Asia/Kolkata", "cebu": "Asia/Manila",
    "davao": "Asia/Manila", "quezon city": "Asia/Manila", "makati": "Asia/Manila", "munich": "Europe/Berlin",
}  # fmt: skip


async def tell_time(turn: Turn) -> Reply:
    place = turn.analysis.slots.place
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
    return turn.say("date_of", name=slots.label, day_date=slots.at)


async def tell_sum(turn: Turn) -> Reply:
    try:
        done = work_out(turn.analysis.slots.expression)
    except InvalidArguments as error:
        return turn.say("refused", reason=error.message)
    return turn.say("sum_rounded" if done.rounded else "sum", expression=done.expression, value=done.value)


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
