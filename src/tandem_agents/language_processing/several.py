"""Several timers in one sentence."""

from __future__ import annotations

import re
from datetime import datetime

from tandem_agents.language_processing.contracts import Slots
from tandem_agents.language_processing.durations import find_duration
from tandem_agents.language_processing.numerals import number_at
from tandem_agents.language_processing.slots import MAX_TIMER_S, label_of, without
from tandem_agents.language_processing.tokens import clean, tokenize

_TIMERS = re.compile(r"\b(?:(?:two|three|four|five|[2-5])\s+)?(?:\w+\s+)?timers\b[\s,:]*", re.IGNORECASE)
_TIMER = re.compile(r"\b(?:timer|one)\b", re.IGNORECASE)
_NEXT = re.compile(r"\s*(?:,|;|\band\b|\bat\b)+\s*(?=(?:another|a|an|one)\b)", re.IGNORECASE)
_ANY = re.compile(r"\s*(?:,\s*and\b|,|\band\b)\s*", re.IGNORECASE)
_ANOTHER = re.compile(r"^(?:another|a|an|one|also|set|start)\s+", re.IGNORECASE)
_UNIT = re.compile(r"\b(?:seconds?|minutes?|hours?|days?)\b", re.IGNORECASE)


def timers(match: re.Match[str], now: datetime) -> Slots | None:
    """``a timer for 90 seconds and another for 5 minutes``, ``timers for 5, 10 and 15 minutes``; declines a single one."""
    said = clean(match["many"])
    plural = _TIMERS.search(said)
    if plural is None and not _TIMER.search(said):
        return None
    pieces = _ANY.split(said[plural.end() :]) if plural else _NEXT.split(said)
    if len(pieces) < 2:
        return None
    read = [_one(piece) for piece in (_with_units(pieces) if plural else pieces)]
    found = [one for one in read if one is not None]
    if len(found) < len(read):
        return None
    first, *others = found
    return Slots(kind="timer", duration_s=first.duration_s, label=first.label, others=tuple(others))


def _with_units(pieces: list[str]) -> list[str]:
    """``5``, ``10 minutes`` → both in minutes."""
    unit, out = "", []
    for piece in reversed(pieces):
        named = _UNIT.search(piece)
        unit = named[0] if named else unit
        tokens = tokenize(piece)
        number = next((n for i in range(len(tokens)) if (n := number_at(tokens, i)) is not None), None)
        out.append(piece if named or number is None else f"{piece} {unit}")
    return out[::-1]


def _one(piece: str) -> Slots | None:
    text = piece
    length = find_duration(tokenize(text))
    if length is None:
        text = _ANOTHER.sub("", piece)
        length = find_duration(tokenize(text))
    if length is None or not 0 < length.seconds <= MAX_TIMER_S:
        return None
    rest = _TIMER.sub(" ; ", _ANOTHER.sub("", without(text, length)), count=1)
    label = next((label for part in reversed(rest.split(";")) if (label := label_of(part))), "")
    return Slots(kind="timer", duration_s=length.seconds, label=label)
