"""Points in time as people name them: ``in 5 minutes``, ``at half past seven``, ``tomorrow at 9``, ``bukas ng alas otso``.

All times are naive and local; whoever stores one converts it with ``.timestamp()``, which knows the
computer's time zone and its daylight saving.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Literal, NamedTuple

from tandem_agents.language_processing.clockwords import (
    DAYPARTS,
    ClockTime,
    DayPart,
    clock_at,
    daypart_at,
)
from tandem_agents.language_processing.dates import day_at
from tandem_agents.language_processing.durations import DAY, duration_at
from tandem_agents.language_processing.tokens import Token, text_at, words_at

Habit = Literal["day", "alarm", "wake"]
"""What the moment is for. On another day a bare hour means morning from 7 (alarms: from 4) to 11; whoever asks to be
woken means the morning at any hour."""

_FIRST_MORNING_HOUR: dict[Habit, int] = {"day": 7, "alarm": 4, "wake": 0}
_CONNECTORS = {"at", "on", "by", "in", "the", "this", "of", ",", "around", "sa", "ng", "nang", "na", "for"}
_FROM_NOW = (("from", "now"), ("later",), ("hence",), ("from", "today"), ("mula", "ngayon"))
_AFTER = (("in",), ("after",), ("within",), ("sa", "loob", "ng"), ("pagkatapos", "ng"), ("makalipas", "ang"))


class Moment(NamedTuple):
    """A local point in time and the tokens ``start``..``end`` that named it."""

    at: datetime
    start: int
    end: int


class _Draft:
    """What has been read so far of one point in time."""

    def __init__(self) -> None:
        self.delay: timedelta | None = None
        self.day: date | None = None
        self.clock: ClockTime | None = None
        self.part: DayPart | None = None
        self.every = timedelta()

    def complete(self) -> bool:
        return bool(self.delay or self.clock or self.day or (self.part and self.part.names_time))


def find_moment(tokens: list[Token], now: datetime, *, habit: Habit = "day") -> Moment | None:
    """The first point in time named in the tokens; ``habit`` settles bare hours.

    The result may lie in the past when the words say so (``today at 3 am`` said at 5).
    """
    for index in range(len(tokens)):
        found = moment_at(tokens, index, now, habit=habit)
        if found:
            return found
    return None


def moment_at(tokens: list[Token], index: int, now: datetime, *, habit: Habit = "day") -> Moment | None:
    """The longest point in time that starts at ``index``."""
    draft, end = _Draft(), index
    at = index
    while at < len(tokens):
        following = _piece(tokens, at, draft, now)
        if following is not None:
            end = at = following
        elif text_at(tokens, at) in _CONNECTORS:
            at += 1
        else:
            break
    if end == index or not draft.complete():
        return None
    resolved = _resolve(draft, now, habit)
    return Moment(resolved, index, end) if resolved else None


def _piece(tokens: list[Token], at: int, draft: _Draft, now: datetime) -> int | None:
    """Read one piece into the draft and return where it ends; None when none starts here."""
    if draft.delay is None and draft.clock is None and (found := _delay_at(tokens, at)):
        draft.delay, end = found
        return end
    if draft.day is None and draft.delay is None and (day := day_at(tokens, at, now.date())):
        draft.day, draft.part = day.date, day.part or draft.part
        draft.every = timedelta(days=day.every_days)
        return day.end
    if draft.clock is None and (clock := clock_at(tokens, at)):
        draft.clock = clock
        return clock.end
    if draft.part is None and (part := daypart_at(tokens, at)):
        draft.part, end = part
        return end
    return None


def _delay_at(tokens: list[Token], at: int) -> tuple[timedelta, int] | None:
    for words in _AFTER:
        if words_at(tokens, at, *words) and (length := duration_at(tokens, at + len(words))):
            return timedelta(seconds=length.seconds), length.end
    length = duration_at(tokens, at)
    if length:
        for words in _FROM_NOW:
            if words_at(tokens, length.end, *words):
                return timedelta(seconds=length.seconds), length.end + len(words)
    return None


def _resolve(draft: _Draft, now: datetime, habit: Habit) -> datetime | None:
    try:
        if draft.delay is not None:
            moment = now + draft.delay
            whole_days = draft.delay.total_seconds() % DAY == 0
            if draft.clock and whole_days:
                return datetime.combine(moment.date(), _on_day(draft.clock, draft.part, habit))
            return moment
        if draft.clock:
            return _clock_moment(draft, now, habit)
        part = draft.part or DAYPARTS["day"]
        moment = datetime.combine(draft.day or now.date(), time(part.hour))
    except OverflowError:
        return None
    if draft.day is None and moment <= now:
        moment += timedelta(days=1)
    if draft.day == now.date() and moment <= now:
        if draft.every:
            return moment + draft.every
        # "today" alone names no time that is still to come.
        return None
    return moment


def _clock_moment(draft: _Draft, now: datetime, habit: Habit) -> datetime:
    clock = draft.clock
    assert clock is not None
    if draft.day is not None and draft.day != now.date():
        moment = datetime.combine(draft.day, _on_day(clock, draft.part, habit))
        return moment + timedelta(days=1) if _past_midnight(clock, draft.part) else moment
    candidates = [
        datetime.combine(now.date(), time(hour, clock.minute))
        for hour in clock.hours(draft.part, habit == "wake")
    ]
    if _past_midnight(clock, draft.part):
        candidates = [candidate + timedelta(days=1) for candidate in candidates]
    upcoming = [candidate for candidate in candidates if candidate > now]
    if upcoming:
        return upcoming[0]
    if draft.day is None:
        return candidates[0] + timedelta(days=1)
    if draft.every:
        return datetime.combine(draft.day + draft.every, _on_day(clock, draft.part, habit))
    return candidates[0]


def _on_day(clock: ClockTime, part: DayPart | None, habit: Habit) -> time:
    """The clock time on a day other than today."""
    hours = clock.hours(part, habit == "wake")
    if len(hours) == 1:
        return time(hours[0], clock.minute)
    early, late = hours
    return time(early if _FIRST_MORNING_HOUR[habit] <= early else late, clock.minute)


def _past_midnight(clock: ClockTime, part: DayPart | None) -> bool:
    """``tonight at 12`` and ``at 1 at night`` belong to the following calendar day."""
    return part is DAYPARTS["night"] and clock.meridiem == "" and (clock.hour == 12 or clock.hour < 5)
