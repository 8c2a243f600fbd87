"""Sentence templates, the notation of the intent table.

``[now]`` optional · ``(stop|halt)`` alternatives · ``{label}`` a slot of any words · ``<set>`` a named fragment ·
``{kind=ringer}`` a slot that holds the fragment ``ringer``.
Words are separated by spaces, which match any run of spaces and commas, so that a speech recogniser's
punctuation does not matter. Matching ignores case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PART = re.compile(
    r"\{(?P<slot>\w+)(?:=(?P<bound>\w+))?\}|<(?P<fragment>\w+)>|(?P<sign>[\[\]()|])|(?P<word>[^\s\[\](){}<>|]+)"
)
_SIGNS = {"[": "(?:", "]": ")?", "(": "(?:", ")": ")", "|": "|"}
_GAP = r"[\s,]+"


def compile_template(template: str, fragments: Mapping[str, str]) -> re.Pattern[str]:
    """A pattern for :func:`match_template`. Raises ``KeyError`` for an unknown fragment, ``re.error`` for bad brackets."""
    return re.compile(_translate(template, fragments), re.IGNORECASE | re.DOTALL)


def match_template(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Match the whole of ``text``; the patterns expect a gap before every word, the first one too."""
    return pattern.fullmatch(f" {text}")


def _translate(template: str, fragments: Mapping[str, str]) -> str:
    out = []
    for part in _PART.finditer(template):
        if part["bound"]:
            out.append(f"(?P<{part['slot']}>{_translate(fragments[part['bound']], fragments)})")
        elif part["slot"]:
            out.append(f"{_GAP}(?P<{part['slot']}>.+?)")
        elif part["fragment"]:
            out.append(f"(?:{_translate(fragments[part['fragment']], fragments)})")
        elif part["sign"]:
            out.append(_SIGNS[part["sign"]])
        else:
            out.append(_GAP + re.escape(part["word"]))
    return "".join(out)
