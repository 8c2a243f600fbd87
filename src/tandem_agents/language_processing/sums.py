"""Sums, written (``(3+4)*2``) or spoken (``fifteen percent of eighty``), worked out exactly in decimal."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from decimal import (
    Context,
    Decimal,
    DecimalException,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    localcontext,
)

from msgspec import Struct

from tandem.core.errors import InvalidArguments
from tandem_agents.language_processing.numerals import number_at
from tandem_agents.language_processing.tokens import Token, clean, text_at, tokenize, words_at

MAX_TOKENS = 120
MAX_EXPONENT = 1000
_PRECISE = Context(prec=50, Emax=3000, Emin=-3000, traps=[DivisionByZero, InvalidOperation, Overflow])
_FEWEST_DIGITS, _MOST_DIGITS, _DECIMALS = 6, 15, 4
"""Of a result that is not exact: enough to be useful, few enough to be heard."""
_EXACT_DIGITS = 30
"""An exact result is shown whole up to here."""

_LEAD = re.compile(
    r"^(?:(?:so|and|now|ok|okay)\s+)?(?:what\s+(?:is|are|do|does)|what's|whats|how\s+much\s+(?:is|are|do|does)|calculate|compute|work\s+out"
    r"|solve|evaluate|tell\s+me|ano\s+ang|ilan\s+ang|magkano\s+ang)\s+",
    re.IGNORECASE,
)
_ISO_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")
_TAIL = re.compile(
    r"\s*(?:=|\bequals?(?:\s+to)?|\bmakes?|\bcome\s+to|\bgive)?\s*(?:what|ano)?\s*\??$", re.IGNORECASE
)

# Spoken operators, longest first. "%of" binds like multiplication, after turning its left side into hundredths.
_OPERATORS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("multiplied", "by"), "*"), (("divided", "by"), "/"), (("to", "the", "power", "of"), "**"),
    (("raised", "to"), "**"), (("percent", "of"), "%of"), (("per", "cent", "of"), "%of"), (("%", "of"), "%of"),
    (("porsyento", "ng"), "%of"), (("*", "*"), "**"), (("plus",), "+"), (("add",), "+"), (("dagdagan", "ng"), "+"),
    (("minus",), "-"), (("less",), "-"), (("bawasan", "ng"), "-"), (("times",), "*"), (("over",), "/"), (("x",), "*"),
    (("×",), "*"), (("÷",), "/"), (("^",), "**"), (("+",), "+"), (("-",), "-"), (("*",), "*"), (("/",), "/"),
)  # fmt: skip
_POSTFIX = {"squared": "**2", "cubed": "**3", "percent": "%", "%": "%", "porsyento": "%"}
_PREFIXES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("the", "square", "root", "of"), "sqrt"), (("square", "root", "of"), "sqrt"), (("root", "of"), "sqrt"),
    (("√",), "sqrt"), (("half", "of"), "half"), (("half",), "half"), (("twice",), "twice"), (("double",), "twice"),
    (("negative",), "-"), (("minus",), "-"), (("-",), "-"),
)  # fmt: skip
_PAIRS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), shape)
    for pattern, shape in (
        (r"^(?:the )?sum of (.+) and (.+)$", r"\1 + \2"),
        (r"^(?:the )?difference (?:between|of) (.+) and (.+)$", r"\1 - \2"),
        (r"^(?:the )?product of (.+) and (.+)$", r"\1 * \2"),
        (r"^(?:the )?quotient of (.+) and (.+)$", r"\1 / \2"),
        (r"^(.+?)\s*(?:%|percent|per cent) off (?:of )?(.+)$", r"\2 - \1 percent"),
        (r"^(?:a |the )?(.+?)\s*(?:%|percent|per cent) tip (?:on|of|for) (.+?)(?: (?:dollars|euros|pesos|pounds))?$", r"\1 percent of \2"),
        (r"^(?:a |one |the )third of (.+)$", r"\1 / 3"),
        (r"^(?:a |one |the )quarter of (.+)$", r"\1 / 4"),
        (r"^(?:a |one |the )fifth of (.+)$", r"\1 / 5"),
        (r"^(?:a |one |the )tenth of (.+)$", r"\1 / 10"),
        (r"^two thirds of (.+)$", r"\1 * 2 / 3"),
        (r"^three quarters of (.+)$", r"\1 * 3 / 4"),
        (r"^split (.+) (?:by|between|among|into) (.+?)(?: (?:people|ways|parts|of us))?$", r"\1 / \2"),
        (r"^add (.+) (?:and|to) (.+)$", r"\1 + \2"),
        (r"^subtract (.+) from (.+)$", r"\2 - \1"),
        (r"^multiply (.+) (?:by|and|with) (.+)$", r"\1 * \2"),
        (r"^divide (.+) by (.+)$", r"\1 / \2"),
    )
)
_LIST = re.compile(r"^(?:add(?: up| together)?|(?:the )?(?:sum|total) of)\s+(.+,\s.+)$", re.IGNORECASE)
_BETWEEN = re.compile(r",\s+(?:and\s+)?|\s+and\s+", re.IGNORECASE)
_BINARY: dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Sum(Struct, frozen=True):
    """A sum in written form and its value as text; ``rounded`` names the digits kept, 0 when exact."""

    expression: str
    value: str
    rounded: int = 0


def read_sum(text: str) -> str | None:
    """The written expression a question asks for, or None when it is not wholly a sum.

    Every token must be a number, an operator or a bracket, and at least one operator must be there, so
    ``what is 42`` and ``what is one of them`` are not sums.
    """
    asked = _TAIL.sub("", _LEAD.sub("", clean(text)))
    if listed := _LIST.match(asked):
        asked = " + ".join(_BETWEEN.split(listed[1]))
    for pattern, shape in _PAIRS:
        if pattern.match(asked):
            asked = pattern.sub(shape, asked)
            break
    tokens = tokenize(asked)
    if not tokens or len(tokens) > MAX_TOKENS or _ISO_DATE.match(asked):
        return None
    expression = _Translation(tokens).read()
    if expression is None:
        return None
    try:
        _check(ast.parse(expression, mode="eval").body)
    except (SyntaxError, InvalidArguments, RecursionError, MemoryError):
        return None
    return expression


def work_out(expression: str) -> Sum:
    """The value of a written expression of numbers, ``+ - * / **``, brackets, ``percent(n)`` and ``sqrt(n)``.

    Raises :class:`InvalidArguments`, in words for a person, for anything else, for a division by zero and
    for results beyond 10^3000.
    """
    try:
        tree = ast.parse(expression, mode="eval").body
        with localcontext(_PRECISE) as context:
            value = _value(tree, expression)
            inexact = context.flags[Inexact]
        return _shown(expression, value, inexact=bool(inexact))
    except DivisionByZero:
        raise InvalidArguments("I cannot divide by zero.") from None
    except Overflow:
        raise InvalidArguments("That number is too large for me.") from None
    except (DecimalException, SyntaxError, RecursionError, MemoryError):
        raise InvalidArguments("That is not a sum I can work out.") from None


def _shown(expression: str, value: Decimal, *, inexact: bool) -> Sum:
    kept = max(_FEWEST_DIGITS, min(_MOST_DIGITS, value.adjusted() + 1 + _DECIMALS))
    rounded = kept if inexact or len(value.as_tuple().digits) > _EXACT_DIGITS else 0
    short = Context(prec=rounded or _EXACT_DIGITS).plus(value)
    if abs(short.adjusted()) >= _EXACT_DIGITS:
        return Sum(readable(expression), f"{short.normalize():e}", rounded)
    shown = f"{short:f}"
    if "." in shown:
        shown = shown.rstrip("0").rstrip(".")
    return Sum(readable(expression), "0" if shown in ("-0", "") else shown, rounded)


def readable(expression: str) -> str:
    """The expression with the signs people write."""
    shown = re.sub(r"percent\(([\d.]+)\) \* (?=[\d(])", r"\1% of ", expression)
    shown = re.sub(r"percent\(([\d.]+)\)", r"\1%", shown)
    shown = re.sub(r"sqrt\(([\d.]+)\)", r"√\1", shown)
    shown = shown.replace(" ** ", "^").replace("*", "×").replace("/", "÷")
    return re.sub(r"(?<=\() | (?=\))|(?<=^-) ", "", shown)


class _Translation:
    """Turns tokens into an expression, value and operator in turn."""

    def __init__(self, tokens: list[Token]):
        self.tokens, self.at, self.operators, self.depth = tokens, 0, 0, 0
        self.out: list[str] = []

    def read(self) -> str | None:
        while self._operand():
            if self.at >= len(self.tokens):
                return " ".join(self.out) if self.operators and self.depth == 0 else None
            if not self._operator():
                return None
        return None

    def _operand(self) -> bool:
        prefix = self._match(_PREFIXES)
        if prefix is not None:
            return self._prefixed(prefix)
        if text_at(self.tokens, self.at) == "(":
            self.out.append("(")
            self.depth += 1
            self.at += 1
            return self._operand()
        if text_at(self.tokens, self.at) == "the":
            self.at += 1
        number = number_at(self.tokens, self.at)
        if number is None:
            return False
        self.at = number.end
        self.out.append(format(number.value, "f"))
        self._postfixes()
        return True

    def _prefixed(self, prefix: str) -> bool:
        if prefix == "-":
            self.out.append("-")
            return self._operand()
        self.operators += 1
        if prefix == "sqrt":
            number = number_at(self.tokens, self.at)
            if number is None:
                return False
            self.at = number.end
            self.out.append(f"sqrt({number.value:f})")
            self._postfixes()
            return True
        self.out.extend(("0.5", "*") if prefix == "half" else ("2", "*"))
        return self._operand()

    def _postfixes(self) -> None:
        while self.at < len(self.tokens):
            sign = _POSTFIX.get(text_at(self.tokens, self.at))
            if text_at(self.tokens, self.at) == ")" and self.depth:
                self.out.append(")")
                self.depth -= 1
            elif (
                sign == "%" and text_at(self.tokens, self.at + 1) not in ("of", "ng") and self.out[-1] != ")"
            ):
                self.out[-1] = f"percent({self.out[-1]})"
            elif sign and sign != "%":
                self.out.extend(("**", sign[-1]))
                self.operators += 1
            else:
                return
            self.at += 1

    def _operator(self) -> bool:
        sign = self._match(_OPERATORS)
        if sign is None:
            return False
        if sign == "%of":
            self.out[-1] = f"percent({self.out[-1]})"
            sign = "*"
        self.out.append(sign)
        self.operators += 1
        return True

    def _match(self, table: tuple[tuple[tuple[str, ...], str], ...]) -> str | None:
        for words, sign in table:
            if words_at(self.tokens, self.at, *words):
                self.at += len(words)
                return sign
        return None


def _check(node: ast.expr) -> None:
    """Raise unless the tree holds only what :func:`work_out` understands."""
    match node:
        case ast.BinOp(left, op, right) if type(op) in _BINARY or isinstance(op, ast.Pow):
            _check(left)
            _check(right)
        case ast.UnaryOp(ast.USub() | ast.UAdd(), operand):
            _check(operand)
        case ast.Call(ast.Name("percent" | "sqrt"), [argument], []):
            _check(argument)
        case ast.Constant(int() | float()) if not isinstance(node.value, bool):
            return
        case _:
            raise InvalidArguments("That is not a sum I can work out.")


def _value(node: ast.expr, source: str) -> Decimal:
    _check(node)
    match node:
        case ast.Constant():
            # The literal's own text: a float would have lost digits already.
            return Decimal((ast.get_source_segment(source, node) or "").replace("_", ""))
        case ast.UnaryOp(op, operand):
            inner = _value(operand, source)
            return -inner if isinstance(op, ast.USub) else inner
        case ast.Call(ast.Name(name), [argument]):
            inner = _value(argument, source)
            if name == "percent":
                return inner / 100
            if inner < 0:
                raise InvalidArguments("A negative number has no real square root.")
            return inner.sqrt()
        case ast.BinOp(left, ast.Pow(), right):
            return _power(_value(left, source), _value(right, source))
        case ast.BinOp(left, ast.Add() | ast.Sub() as op, ast.Call(ast.Name("percent"))):
            # "80 plus 10 percent" means ten percent of the 80, as on a pocket calculator.
            base, share = _value(left, source), _value(node.right, source)
            return base * (1 + share if isinstance(op, ast.Add) else 1 - share)
        case ast.BinOp(left, op, right):
            a, b = _value(left, source), _value(right, source)
            if isinstance(op, ast.Div) and b == 0:
                raise InvalidArguments("I cannot divide by zero.")
            return _BINARY[type(op)](a, b)
    raise InvalidArguments("That is not a sum I can work out.")


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if abs(exponent) > MAX_EXPONENT:
        raise InvalidArguments(f"I only work out powers up to {MAX_EXPONENT}.")
    if base == 0 and exponent < 0:
        raise InvalidArguments("I cannot divide by zero.")
    if base < 0 and exponent % 1:
        raise InvalidArguments("That power has no real value.")
    return Decimal(1) if exponent == 0 else base**exponent
