"""Text as it comes from a keyboard or a speech recogniser, made regular and cut into tokens."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_TOKEN = re.compile(
    r"\d+(?:,\d{3})+(?:\.\d+)?"  # 1,000,000.5
    r"|\d+(?:\.\d+)?"
    r"|[^\W\d_]+(?:['’][^\W\d_]+)*"
    r"|\S"
)
_SPACES = re.compile(r"\s+")
_QUOTES = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-"})
_EDGES = " \t\n.,!?;:\"'…"


class Token(NamedTuple):
    """A lower-case word, number or sign and where it stands in the text it was cut from."""

    text: str
    start: int
    end: int


def clean(text: str) -> str:
    """``text`` with one kind of quote, dash and space and without punctuation at its edges; case is kept."""
    regular = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    return _SPACES.sub(" ", regular).strip(_EDGES)


def tokenize(text: str) -> list[Token]:
    """The words, numbers and signs of ``text`` in order; white space is dropped."""
    return [Token(match[0].lower(), match.start(), match.end()) for match in _TOKEN.finditer(text)]


def words_at(tokens: list[Token], index: int, *words: str) -> bool:
    """Whether exactly ``words`` stand at ``index``."""
    found = tokens[index : index + len(words)]
    return len(found) == len(words) and all(
        token.text == word for token, word in zip(found, words, strict=True)
    )


def text_at(tokens: list[Token], index: int) -> str:
    """The token's text, or an empty string beyond the end."""
    return tokens[index].text if 0 <= index < len(tokens) else ""


def cut(text: str, start: int, end: int) -> str:
    """``text`` without the characters from ``start`` to ``end``, cleaned."""
    return clean(f"{text[:start]} {text[end:]}")
