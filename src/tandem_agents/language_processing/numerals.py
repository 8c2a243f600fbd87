"""Numbers in digits and in words, English and Filipino (with the Spanish forms Filipino uses for the clock)."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from tandem_agents.language_processing.tokens import Token, text_at

UNITS = {
    word: value
    for value, words in enumerate(
        (
            "zero", "one isa uno una", "two dalawa dos", "three tatlo tres", "four apat kwatro kuwatro",
            "five lima singko", "six anim sais", "seven pito syete siyete", "eight walo otso",
            "nine siyam nuwebe nwebe",
        )
    )
    for word in words.split()
}  # fmt: skip
TEENS = {
    word: value
    for value, words in enumerate(
        (
            "ten sampu diyes dyes", "eleven labingisa onse", "twelve labindalawa", "thirteen labintatlo trese",
            "fourteen labingapat katorse", "fifteen labinlima kinse", "sixteen labinganim",
            "seventeen labimpito", "eighteen labingwalo", "nineteen labinsiyam",
        ),
        start=10,
    )
    for word in words.split()
}  # fmt: skip
TENS = {
    word: value * 10
    for value, words in enumerate(
        (
            "twenty dalawampu baynte beynte bente", "thirty tatlumpu treynta trenta", "forty fourty apatnapu kwarenta",
            "fifty limampu singkwenta", "sixty animnapu", "seventy pitumpu", "eighty walumpu", "ninety siyamnapu",
        ),
        start=2,
    )
    for word in words.split()
}  # fmt: skip
HUNDREDS = {"hundred": 100, "daan": 100, "raan": 100, "dozen": 12}
SCALES = {
    "thousand": 10**3,
    "libo": 10**3,
    "million": 10**6,
    "milyon": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
ORDINALS = {
    word: value
    for value, word in enumerate(
        [
            "first",
            "second",
            "third",
            "fourth",
            "fifth",
            "sixth",
            "seventh",
            "eighth",
            "ninth",
            "tenth",
            "eleventh",
            "twelfth",
            "thirteenth",
            "fourteenth",
            "fifteenth",
            "sixteenth",
            "seventeenth",
            "eighteenth",
            "nineteenth",
            "twentieth",
        ],
        start=1,
    )
} | {"thirtieth": 30}
_ONE = {"a", "an"}


class Number(NamedTuple):
    """A value and the index of the first token after it."""

    value: Decimal
    end: int


def bare(word: str) -> str:
    """A Filipino number word without its linker: ``limang`` → ``lima``, ``dalawampu't`` → ``dalawampu``."""
    for suffix in ("'t", "ng"):
        stem = word.removesuffix(suffix)
        if stem != word and any(stem in table for table in (UNITS, TEENS, TENS, HUNDREDS, SCALES)):
            return stem
    return word


def number_at(tokens: list[Token], index: int) -> Number | None:
    """The longest number that starts at ``index``: ``1,000``, ``3.5``, ``two hundred and five``, ``zero point one``."""
    text = text_at(tokens, index)
    if text[:1].isdigit() and text[0].isascii():
        value = Decimal(text.replace(",", ""))
        word = bare(text_at(tokens, index + 1))
        factor = SCALES.get(word) or (HUNDREDS.get(word) if value < 100 else None)
        return Number(value * factor, index + 2) if factor else Number(value, index + 1)
    whole = _Words(tokens, index).read()
    return _with_fraction(tokens, whole) if whole else None


def _with_fraction(tokens: list[Token], whole: Number) -> Number:
    if text_at(tokens, whole.end) != "point":
        return whole
    digits, at = "", whole.end + 1
    while (digit := _single_digit(text_at(tokens, at))) is not None:
        digits += digit
        at += 1
    return Number(whole.value + Decimal(f"0.{digits}"), at) if digits else whole


def _single_digit(word: str) -> str | None:
    if word in ("oh", "o"):
        return "0"
    if word.isdecimal() and word.isascii():
        return word
    value = UNITS.get(word)
    return None if value is None else str(value)


class _Words:
    """Reads ``two hundred and five thousand`` word by word; ``last`` says what may follow."""

    def __init__(self, tokens: list[Token], index: int):
        self.tokens, self.at = tokens, index
        self.total, self.group, self.last = 0, 0, "start"

    def read(self) -> Number | None:
        if self._word() in _ONE and bare(text_at(self.tokens, self.at + 1)) in HUNDREDS | SCALES:
            self.group, self.last, self.at = 1, "unit", self.at + 1
        while self._take():
            pass
        return None if self.last == "start" else Number(Decimal(self.total + self.group), self.at)

    def _word(self) -> str:
        return bare(text_at(self.tokens, self.at))

    def _take(self) -> bool:
        joined = self._joiner()
        word = bare(text_at(self.tokens, self.at + joined))
        value, kind = self._value(word)
        if value is None:
            return False
        if kind == "hundred":
            self.group = (self.group or 1) * value
        elif kind == "scale":
            self.total, self.group = self.total + self.group * value, 0
        else:
            self.group += value
        self.last = kind
        self.at += joined + 1
        return True

    def _joiner(self) -> int:
        """1 when the next word only links two parts of one number (``twenty-five``, ``hundred and five``)."""
        link, following = text_at(self.tokens, self.at), bare(text_at(self.tokens, self.at + 1))
        if self.last == "ten":
            return int(link in ("-", "at") and UNITS.get(following, 0) > 0)
        if self.last in ("hundred", "scale"):
            return int(link in ("and", "at") and following in UNITS | TEENS | TENS)
        return 0

    def _value(self, word: str) -> tuple[int | None, str]:
        fresh = self.last in ("start", "hundred", "scale")
        if word in UNITS and (fresh or (self.last == "ten" and UNITS[word] > 0)):
            return UNITS[word], "unit"
        if word == "labing" and fresh and (unit := UNITS.get(bare(text_at(self.tokens, self.at + 1)))):
            self.at += 1
            return 10 + unit, "teen"
        if word in TEENS and fresh:
            return TEENS[word], "teen"
        if word in TENS and fresh:
            return TENS[word], "ten"
        if word in HUNDREDS and self.last in ("unit", "teen", "ten") and self.group < 100:
            return HUNDREDS[word], "hundred"
        if word in SCALES and self.last in ("unit", "teen", "ten", "hundred"):
            return SCALES[word], "scale"
        return None, ""


def ordinal_at(tokens: list[Token], index: int) -> Number | None:
    """A day of the month: ``5th``, ``fifth``, ``twenty first``."""
    word, after = text_at(tokens, index), text_at(tokens, index + 1)
    if word.isdecimal() and word.isascii() and after in ("st", "nd", "rd", "th"):
        return Number(Decimal(word), index + 2)
    if word in ORDINALS:
        return Number(Decimal(ORDINALS[word]), index + 1)
    if word in TENS:
        skip = 2 if after == "-" else 1
        unit = ORDINALS.get(text_at(tokens, index + skip), 0)
        if 0 < unit < 10:
            return Number(Decimal(TENS[word] + unit), index + skip + 1)
    return None


def join_spelled_digits(tokens: list[Token]) -> str | None:
    """``four seven one one`` → ``4711`` when the text is nothing but three or more single digits, else None."""
    digits = [_single_digit(token.text) for token in tokens]
    known = [digit for digit in digits if digit is not None and len(digit) == 1]
    return "".join(known) if len(known) == len(tokens) >= 3 else None
