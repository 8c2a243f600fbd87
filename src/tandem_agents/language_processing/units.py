"""Units of everyday life and how to get from one to another, exactly in decimal."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from tandem.core.errors import InvalidArguments
from tandem_agents.language_processing.numerals import number_at
from tandem_agents.language_processing.tokens import Token, clean, text_at, tokenize


class Unit(NamedTuple):
    """``size`` in the measure's base unit (m, g, l, s, m², byte); temperatures have none."""

    measure: str
    size: Decimal
    one: str
    many: str


def _units() -> dict[str, Unit]:
    """Every spelling of every unit. Sizes: the international yard and pound (1959), US liquid measures, SI."""
    table = (
        ("length", "0.001", "millimeter", "millimeters", "mm millimetre millimetres"),
        ("length", "0.01", "centimeter", "centimeters", "cm centimetre centimetres"),
        ("length", "1", "meter", "meters", "m metre metres metro"),
        ("length", "1000", "kilometer", "kilometers", "km kilometre kilometres kms kilometro"),
        ("length", "0.0254", "inch", "inches", "pulgada"),
        ("length", "0.3048", "foot", "feet", "ft"),
        ("length", "0.9144", "yard", "yards", "yd yds"),
        ("length", "1609.344", "mile", "miles", "mi milya"),
        ("weight", "0.001", "milligram", "milligrams", "mg"),
        ("weight", "1", "gram", "grams", "g gramo"),
        ("weight", "1000", "kilogram", "kilograms", "kg kgs kilo kilos"),
        ("weight", "1000000", "ton", "tons", "tonne tonnes"),
        ("weight", "28.349523125", "ounce", "ounces", "oz"),
        ("weight", "453.59237", "pound", "pounds", "lb lbs libra"),
        ("weight", "6350.29318", "stone", "stones", "st"),
        ("volume", "0.001", "milliliter", "milliliters", "ml millilitre millilitres"),
        ("volume", "1", "liter", "liters", "l litre litres litro"),
        ("volume", "3.785411784", "gallon", "gallons", "gal galon"),
        ("volume", "0.473176473", "pint", "pints", "pt"),
        ("volume", "0.946352946", "quart", "quarts", "qt"),
        ("volume", "0.2365882365", "cup", "cups", "tasa"),
        ("volume", "0.01478676478125", "tablespoon", "tablespoons", "tbsp kutsara"),
        ("volume", "0.00492892159375", "teaspoon", "teaspoons", "tsp kutsarita"),
        ("time", "1", "second", "seconds", "sec secs segundo"),
        ("time", "60", "minute", "minutes", "min mins minuto"),
        ("time", "3600", "hour", "hours", "hr hrs oras"),
        ("time", "86400", "day", "days", "araw"),
        ("time", "604800", "week", "weeks", "linggo"),
        ("area", "1", "square meter", "square meters", "sqm"),
        ("area", "10000", "hectare", "hectares", "ha ektarya"),
        ("area", "4046.8564224", "acre", "acres", ""),
        ("data", "1000", "kilobyte", "kilobytes", "kb"),
        ("data", "1000000", "megabyte", "megabytes", "mb"),
        ("data", "1000000000", "gigabyte", "gigabytes", "gb"),
        ("data", "1000000000000", "terabyte", "terabytes", "tb"),
        ("temperature", "0", "degree Celsius", "degrees Celsius", "celsius centigrade c"),
        ("temperature", "0", "degree Fahrenheit", "degrees Fahrenheit", "fahrenheit f"),
    )
    found: dict[str, Unit] = {}
    for measure, size, one, many, others in table:
        unit = Unit(measure, Decimal(size), one, many)
        found |= {name.lower(): unit for name in (one, many, *others.split())}
    return found


UNITS = _units()
MAX_CHARS = 80
_DEGREES = re.compile(r"^(?:degrees?|°)\s*", re.IGNORECASE)
_FAHRENHEIT = "degree Fahrenheit"


class Conversion(NamedTuple):
    """``parts`` are amounts of units that are added up (5 feet 10 inches)."""

    parts: tuple[tuple[Decimal, Unit], ...]
    target: Unit


def unit_named(text: str) -> Unit | None:
    """The unit a word or two name, with or without ``degrees``."""
    return UNITS.get(_DEGREES.sub("", clean(text)).lower())


def read_amount(text: str) -> tuple[tuple[Decimal, Unit], ...]:
    """``5 feet 10 inches`` as amounts and units, ``a day`` as one; empty when it is no amount of anything.

    A bare number after feet is inches, as people say their height.
    """
    tokens = tokenize(clean(text)) if len(text) <= MAX_CHARS else []
    parts: list[tuple[Decimal, Unit]] = []
    at = 0
    while at < len(tokens):
        at += text_at(tokens, at) == "and" and bool(parts)
        sign = -1 if text_at(tokens, at) in ("minus", "negative", "-") else 1
        at += sign < 0
        number = number_at(tokens, at)
        amount, after = (number.value, number.end) if number else (Decimal(1), at + 1)
        if number is None and text_at(tokens, at) not in ("a", "an", "one"):
            return ()
        if after >= len(tokens) and parts and parts[-1][1] is UNITS["foot"]:
            return (*parts, (amount, UNITS["inch"]))
        unit, end = _unit_at(tokens, after)
        if unit is None:
            return ()
        parts.append((sign * amount, unit))
        at = end
    measures = {unit.measure for _, unit in parts}
    mixed = len(measures) > 1 or ("temperature" in measures and len(parts) > 1)
    return () if mixed else tuple(parts)


def conversion(amount: str, target: str) -> Conversion:
    """What is to be converted. Raises ``InvalidArguments`` when the words name no amount and unit of one measure."""
    parts, unit = read_amount(amount), unit_named(target)
    if not parts or unit is None:
        raise InvalidArguments(f"I cannot convert {amount} to {target}.")
    if any(part.measure != unit.measure for _, part in parts):
        raise InvalidArguments(f"{_capital(parts[0][1].many)} cannot be converted into {unit.many}.")
    return Conversion(parts, unit)


def convert(asked: Conversion) -> Decimal:
    """The amount in the target's unit. Raises ``InvalidArguments`` for a temperature below absolute zero."""
    if asked.target.measure == "temperature":
        return _temperature(*asked.parts[0], asked.target)
    base = sum((amount * unit.size for amount, unit in asked.parts), Decimal(0))
    return base / asked.target.size


def say_amount(amount: Decimal, unit: Unit) -> str:
    """``8.047 kilometers``; four significant digits, or all of a whole number."""
    rounded = round(amount) if abs(amount) >= 1000 or amount == amount.to_integral() else None
    shown = f"{rounded:,}" if rounded is not None else f"{float(amount):.4g}"
    return f"{shown} {unit.one if shown == '1' else unit.many}"


def is_exact(amount: Decimal) -> bool:
    """Whether :func:`say_amount` says all of it."""
    return amount == (round(amount) if abs(amount) >= 1000 else Decimal(f"{float(amount):.4g}"))


def _unit_at(tokens: list[Token], at: int) -> tuple[Unit | None, int]:
    """The longest unit name at ``at``, and where it ends."""
    for end in (at + 2, at + 1):
        words = [token.text for token in tokens[at:end]]
        if len(words) == end - at and (unit := unit_named(" ".join(words))):
            return unit, end
    return None, at


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _temperature(amount: Decimal, unit: Unit, target: Unit) -> Decimal:
    celsius = (amount - 32) * 5 / 9 if unit.one == _FAHRENHEIT else amount
    if celsius < Decimal("-273.15"):
        raise InvalidArguments("Nothing can be colder than absolute zero, -273.15 degrees Celsius.")
    return celsius * 9 / 5 + 32 if target.one == _FAHRENHEIT else celsius
