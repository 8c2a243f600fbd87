"""Readers of everyday questions: later times, units, chance, spelling, saying again, and things told of oneself."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from tandem_agents.language_processing.contracts import Slots
from tandem_agents.language_processing.durations import find_duration
from tandem_agents.language_processing.moments import moment_at
from tandem_agents.language_processing.numerals import number_at
from tandem_agents.language_processing.slots import MAX_TIMER_S, SECRETS, fact
from tandem_agents.language_processing.tokens import Token, clean, tokenize
from tandem_agents.language_processing.units import read_amount, unit_named

MAX_PICKED = 1_000_000_000
LARGEST_DIE = 6

_LASTING = {
    "name", "names", "birthday", "anniversary", "address", "number", "phone", "mobile", "code", "pin", "password", "passcode",
    "passphrase", "wifi", "wi-fi", "combination", "email", "size", "shoe", "blood", "plate", "license", "licence", "locker", "seat",
    "gate", "account", "username", "login", "id", "key", "keys", "car", "bike", "bicycle", "wallet", "passport", "glasses", "charger",
    "umbrella", "doctor", "dentist", "boss", "wife", "husband", "sister", "brother", "mother", "father", "mom", "dad", "mum", "son",
    "daughter", "dog", "cat", "landlord", "neighbor", "neighbour", "teacher", "favorite", "favourite", "hobby", "job", "appointment",
}  # fmt: skip
"""What people tell of themselves so that it is known later, other than how their day is."""
_PLACED = re.compile(r"^(?:in|on|at|under|behind|inside|near|next to|by|beside|with)\b", re.IGNORECASE)
_PASSING = re.compile(
    r"^(?:not|so|very|too|really|sick|tired|late|broken|dead|empty|full|dirty|gone|lost|crazy|mean|busy|angry|sad|happy)\b",
    re.IGNORECASE,
)
_NOT_A_NAME = re.compile(
    r"^(?:a|an|the|my|your|back|later|when|if|in|at|on|tomorrow|tonight|again|now|mom|mum|dad|him|her|them)\b",
    re.IGNORECASE,
)


def time_then(match: re.Match[str], now: datetime) -> Slots | None:
    """``what time will it be in 45 minutes``; declines what is no length of time from now."""
    tokens = tokenize(match["then"])
    found = moment_at(tokens, 0, now)
    if found is None or found.end < len(tokens) or find_duration(tokens) is None:
        return None
    return Slots(at=found.at.timestamp(), label=clean(match["then"]))


def converted(match: re.Match[str], now: datetime) -> Slots | None:
    """``5 miles in kilometers`` → the amount and the unit wanted; declines when these are no units."""
    amount, unit = clean(match["amount"]), clean(match["unit"])
    return Slots(value=amount, kind=unit) if read_amount(amount) and unit_named(unit) else None


def chance(match: re.Match[str], now: datetime) -> Slots | None:
    """A coin, dice, or a number between two others; ``value`` holds the bounds, or how many dice."""
    said = match.groupdict()
    what = clean(said.get("what") or "").lower()
    if what.startswith(("coin", "heads")):
        return Slots(kind="coin")
    if what:
        two = re.search(r"\b(?:two|2)\b", match[0]) is not None
        return Slots(kind="dice", value="2" if two else "1")
    if not said.get("low"):
        return Slots(kind="number", value="1 100")
    low, high = _whole(tokenize(clean(said["low"] or ""))), _whole(tokenize(clean(said["high"] or "")))
    if low is None or high is None or low == high:
        return None
    return Slots(kind="number", value=f"{min(low, high)} {max(low, high)}")


def spelled(match: re.Match[str], now: datetime) -> Slots | None:
    word = clean(match["word"])
    return Slots(subject=word) if word and len(word.split()) <= 2 else None


def repeated(kind: str) -> Callable[[re.Match[str], datetime], Slots | None]:
    """A reader for what is to be said again: the last ``answer``, or the person's own ``question``."""

    def read(match: re.Match[str], now: datetime) -> Slots | None:
        return Slots(kind=kind)

    return read


def extended(match: re.Match[str], now: datetime) -> Slots | None:
    """``add 5 minutes to the pasta timer``; declines without a length, since then it is no timer's."""
    length = find_duration(tokenize(clean(match[0])))
    if length is None or not 0 < length.seconds <= MAX_TIMER_S:
        return None
    label = clean(match.groupdict().get("label") or "")
    return Slots(kind="timer", duration_s=length.seconds, label=label)


def named(match: re.Match[str], now: datetime) -> Slots | None:
    """``my name is Eva``, ``call me Eva``; declines what is no name (``call me a taxi``)."""
    name = clean(match["name"])
    if not name or len(name.split()) > 4 or _NOT_A_NAME.match(name) or any(char.isdigit() for char in name):
        return None
    name = name if name != name.lower() else name.title()
    return Slots(subject="name", value=name, label=f"my name is {name}")


def stated(match: re.Match[str], now: datetime) -> Slots | None:
    """Something lasting that a person says of themselves (``my shoe size is 43``); declines talk and moods."""
    said = match.groupdict()
    about, value = clean(said.get("subject") or ""), clean(said.get("value") or "")
    if about:
        words = about.lower().replace("'s", "").split()
        lasting = _LASTING.intersection(words) or _PLACED.match(value)
        if not lasting or len(words) > 6 or _PASSING.match(value):
            return None
    told = re.match(r"\s*(?P<fact>.+)", match[0], re.DOTALL)
    return fact(told, now) if told else None


def worth_keeping(subject: str) -> bool:
    """Whether people usually want to be asked later about such a thing: a code, a number, a birthday."""
    return not (_LASTING | SECRETS).isdisjoint(subject.lower().replace("'s", "").split())


def _whole(tokens: list[Token]) -> int | None:
    number = number_at(tokens, 0)
    if number is None or number.end < len(tokens) or number.value % 1 or number.value > MAX_PICKED:
        return None
    return int(number.value)
