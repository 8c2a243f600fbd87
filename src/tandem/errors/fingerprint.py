"""Which errors are the same one, however their numbers, names and addresses differ."""

from __future__ import annotations

import hashlib
import re

from tandem.errors.report import ErrorReport

_VARIABLE = re.compile(
    r"""
    (?P<quoted>'[^'\n]{1,200}'|"[^"\n]{1,200}")
  | (?P<path>(?<![\w.:/])(?:/[\w.@%+~-]+){2,}/?)
  | (?P<address>\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b)
  | (?P<id>\b0x[0-9a-fA-F]+\b|\b(?=\w*\d)[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,})*\b|\b(?=[0-9a-z]*\d)[0-9a-hjkmnp-tv-z]{26}\b)
  | (?P<number>(?<![A-Za-z_])[-+]?\d+(?:[.,:]\d+)*(?:e[-+]?\d+)?)
    """,
    re.VERBOSE,
)
KINDS_KEPT = 300
"""Characters of a normalised message that count; the end of a long one is mostly data."""


def normalised(message: str) -> str:
    """``message`` with what varies from one time to the next replaced by what kind of thing it is.

    A quoted word that is a name (no digit, no slash) stays: "no agent 'X'" and "no agent 'Y'" are two errors.
    """
    return _VARIABLE.sub(_kind, message[: 4 * KINDS_KEPT])[:KINDS_KEPT].strip()


def fingerprint(report: ErrorReport) -> str:
    """16 hexadecimal digits of type, agent, normalised message and top frames (without lines, which releases move)."""
    frames = [frame.rpartition(":")[0] for frame in report.frames]
    return _digest(report.type, report.origin, normalised(report.message), *frames)


def likeness(report: ErrorReport) -> str:
    """The same whoever reports it: 16 hexadecimal digits of type and normalised message."""
    return _digest(report.type, normalised(report.message))


def _kind(match: re.Match[str]) -> str:
    kind, text = str(match.lastgroup), match[0]
    if kind == "quoted" and not re.search(r"[\d/]", text):
        return text
    return f"<{kind}>"


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
