"""What is kept of a file that is not Python, so that a second run need not read it again."""

from __future__ import annotations

import re

from msgspec import Struct

from tandem.audit.fleet.compose import looks_like_compose
from tandem.audit.fleet.shapes import looks_like_fleet
from tandem.audit.source import Kind, Source

_COMMAND = re.compile(
    r"(?P<file>[\w./${}-]+\.py)\b|-m[\s\",']+(?P<module>[A-Za-z_][\w.]*)"
    r"|(?P<entry>\b[A-Za-z_]\w*(?:\.\w+)+):[A-Za-z_]\w*"
)


class TextFacts(Struct):
    """``mentions``: Python files (``x/y.py``) and modules (``x.y``) a text names; the rest says what it may be."""

    mentions: list[str] = []
    may_be_fleet: bool = False
    may_be_compose: bool = False


def text_facts(source: Source) -> TextFacts:
    """The facts of one text file."""
    return TextFacts(
        mentions=mentions(source.text),
        may_be_fleet=source.kind in (Kind.YAML, Kind.JSON) and looks_like_fleet(source.text),
        may_be_compose=source.kind is Kind.YAML and looks_like_compose(source.path, source.text),
    )


def mentions(text: str) -> list[str]:
    """Everything in ``text`` that may be a Python file or module to run."""
    return sorted({match.group(match.lastgroup or 0) for match in _COMMAND.finditer(text)})
