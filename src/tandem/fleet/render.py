"""Diagnostics in words, in the manner of HCL and rustc: what, where, the line with a caret, what to do."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from tandem.fleet.diagnostics import Diagnostic, Severity

_WIDTH = 100
"""Longer source lines are cropped around the caret."""

_RED, _YELLOW, _BOLD, _DIM, _RESET = "\033[1;31m", "\033[1;33m", "\033[1m", "\033[2m", "\033[0m"


def render(found: Diagnostic, *, color: bool = False) -> str:
    """One diagnostic as several lines without a trailing newline; ``color`` adds ANSI codes."""
    hue = (_RED if found.severity is Severity.ERROR else _YELLOW) if color else ""
    bold, dim, reset = (_BOLD, _DIM, _RESET) if color else ("", "", "")
    head = f"{hue}{found.severity.capitalize()}:{reset} {bold}{_printable(found.message)}{reset}"
    where = f", in {_printable(found.where)}" if found.where else ""
    if not found.line:
        lines = [head, f"{dim}  on {found.file}{where}{reset}"] if found.file else [head]
    else:
        lines = [head, f"{dim}  on {found.file} line {found.line}, column {found.column}{where}:{reset}"]
        lines += _excerpt(found.line, found.column, found.end_column, found.source_line, "^", hue, reset)
    for other in found.related:
        lines.append(f"{dim}  {_printable(other.message)}, line {other.line}:{reset}")
        lines += _excerpt(other.line, other.column, other.end_column, other.source_line, "-", dim, reset)
    if found.suggestion:
        lines.append(f"  {_printable(found.suggestion)}")
    return "\n".join(lines)


def render_all(diagnostics: Iterable[Diagnostic], *, color: bool = False) -> str:
    """All of them, an empty line between, and a count at the end; empty text for none."""
    listed = list(diagnostics)
    if not listed:
        return ""
    errors = sum(found.severity is Severity.ERROR for found in listed)
    parts = [_count(errors, "error"), _count(len(listed) - errors, "warning")]
    blocks = [render(found, color=color) for found in listed]
    return "\n\n".join([*blocks, " and ".join(part for part in parts if part) + "."])


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}" if number else ""


def _excerpt(
    number: int, column: int, end_column: int, text: str, sign: str, hue: str, reset: str
) -> list[str]:
    """The source line with its number, and a line of ``sign`` under columns ``column`` to ``end_column``."""
    start, end = column - 1, max(end_column - 1, column)
    cut = max(0, min(start - _WIDTH // 3, len(text) - _WIDTH)) if len(text) > _WIDTH else 0
    shown = text[cut : cut + _WIDTH]
    ahead, marked = shown[: start - cut], shown[start - cut : end - cut]
    left = "..." if cut else ""
    right = "..." if len(text) > cut + _WIDTH else ""
    gutter = f"{number:5} | "
    pad = "".join("\t" if letter == "\t" else " " * _cells(letter) for letter in ahead)
    caret = sign * max(1, sum(_cells(letter) for letter in marked))
    return [
        f"{gutter}{left}{_printable(shown)}{right}",
        f"{' ' * (len(gutter) - 2)}| {' ' * len(left)}{pad}{hue}{caret}{reset}",
    ]


def _cells(letter: str) -> int:
    """Terminal columns a character takes."""
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _printable(text: str) -> str:
    """``text`` with control characters replaced, so that a file cannot write escape sequences to a terminal."""
    return "".join(
        letter if letter.isprintable() or letter == "\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
