"""Lengths of time: ``an hour and a half``, ``2 hours 30 minutes``, ``90 s``, ``limang minuto``."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from tandem_agents.language_processing.numerals import Number, number_at
from tandem_agents.language_processing.tokens import Token, text_at, words_at

MINUTE, HOUR, DAY = 60, 3600, 86400
SECONDS = {
    word: seconds
    for seconds, words in (
        (1, "second seconds sec secs s segundo segundos"),
        (MINUTE, "minute minutes min mins m minuto minutos"),
        (HOUR, "hour hours hr hrs h oras"),
        (DAY, "day days d araw"),
        (7 * DAY, "week weeks wk wks linggo"),
    )
    for word in words.split()
}
_FRACTIONS = (
    (("half", "an"), Decimal("0.5")),
    (("half", "a"), Decimal("0.5")),
    (("half",), Decimal("0.5")),
    (("kalahating",), Decimal("0.5")),
    (("a", "quarter", "of", "an"), Decimal("0.25")),
    (("quarter", "of", "an"), Decimal("0.25")),
    (("a", "quarter", "of", "a"), Decimal("0.25")),
    (("three", "quarters", "of", "an"), Decimal("0.75")),
    (("three", "quarters", "of", "a"), Decimal("0.75")),
    (("a", "couple", "of"), Decimal(2)),
    (("a", "couple"), Decimal(2)),
    (("couple", "of"), Decimal(2)),
    (("an",), Decimal(1)),
)
_TAILS = (
    (("and", "a", "half"), Decimal("0.5")),
    (("and", "half"), Decimal("0.5")),
    (("at", "kalahati"), Decimal("0.5")),
    (("and", "a", "quarter"), Decimal("0.25")),
    (("and", "three", "quarters"), Decimal("0.75")),
)


class Duration(NamedTuple):
    """A length in seconds and the tokens ``start``..``end`` it was read from."""

    seconds: float
    start: int
    end: int


class _Part(NamedTuple):
    amount: Decimal
    unit_s: int
    end: int


def duration_at(tokens: list[Token], index: int) -> Duration | None:
    """The longest duration that starts at ``index``; parts must get smaller (``1 hour 30 minutes 5 s``)."""
    part = _part_at(tokens, index)
    if part is None:
        return None
    total = Decimal(0)
    while part is not None:
        smallest, end = part.unit_s, part.end
        total += part.amount * part.unit_s
        following = _part_at(tokens, _after_joiner(tokens, end))
        part = following if following and following.unit_s < smallest else None
    if smallest == HOUR:
        total, end = _bare_minutes(tokens, total, end)
    return Duration(float(total), index, end)


def find_duration(tokens: list[Token]) -> Duration | None:
    """The first duration anywhere in the tokens."""
    return next((found for index in range(len(tokens)) if (found := duration_at(tokens, index))), None)


def _part_at(tokens: list[Token], index: int) -> _Part | None:
    amount = _amount_at(tokens, index)
    if amount is None:
        return None
    value, at = amount
    tail = _tail_at(tokens, at)  # "two and a half hours"
    if tail:
        value, at = value + tail.value, tail.end
    if text_at(tokens, at) in ("-", "na"):
        at += 1
    unit_s = SECONDS.get(_unlinked(text_at(tokens, at)))
    if unit_s is None:
        return None
    at += 1
    if not tail and (tail := _tail_at(tokens, at)):  # "an hour and a half"
        value, at = value + tail.value, tail.end
    return _Part(value, unit_s, at)


def _amount_at(tokens: list[Token], index: int) -> Number | None:
    # Fractions first: "three quarters of an hour" begins with a number, too.
    fractions = (
        Number(value, index + len(words)) for words, value in _FRACTIONS if words_at(tokens, index, *words)
    )
    found = next(fractions, None) or number_at(tokens, index)
    if found is None and text_at(tokens, index) == "a":
        return Number(Decimal(1), index + 1)
    return found


def _tail_at(tokens: list[Token], index: int) -> Number | None:
    return next(
        (Number(value, index + len(words)) for words, value in _TAILS if words_at(tokens, index, *words)),
        None,
    )


def _after_joiner(tokens: list[Token], index: int) -> int:
    while text_at(tokens, index) in (",", "and", "at"):
        index += 1
    return index


def _bare_minutes(tokens: list[Token], total: Decimal, end: int) -> tuple[Decimal, int]:
    """``1h30`` and ``an hour thirty``: a bare number below 60 after whole hours counts minutes."""
    number = number_at(tokens, end)
    if number is None or not 0 < number.value < 60 or number.value % 1:
        return total, end
    if number.end < len(tokens) and text_at(tokens, number.end) not in (
        ",",
        "from",
        "timer",
        "for",
        "please",
    ):
        return total, end
    return total + number.value * MINUTE, number.end


def _unlinked(word: str) -> str:
    """A Filipino unit without its linker: ``minutong`` → ``minuto``."""
    return word if word in SECONDS else word.removesuffix("ng")
