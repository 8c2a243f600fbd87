"""What may come in at the front door, and how urgent it is."""

from __future__ import annotations

import unicodedata

from tandem.core.errors import InvalidArguments, TooLarge
from tandem_agents.core_services.contracts import Source

MAX_REQUEST_CHARS = 20_000
"""About 5,000 tokens: more than any household question, and still inside a small model's window."""

MOST_URGENT, LEAST_URGENT = 1, 10
_BASE: dict[Source, int] = {"voice": 1, "text": 2, "background": 5}


def check_text(text: str) -> str:
    """``text`` if it is one.

    Raises :class:`TooLarge` beyond the limit and :class:`InvalidArguments` for bytes that are no text, both in words
    for a person.
    """
    if len(text) > MAX_REQUEST_CHARS:
        raise TooLarge(
            f"that is {len(text):,} characters; one request may have {MAX_REQUEST_CHARS:,}",
            hint="ask about a part of it",
        )
    for letter in text:
        if letter in "\t\n\r":
            continue
        if unicodedata.category(letter) in ("Cc", "Cs", "Cn") or letter == "�":
            raise InvalidArguments(
                f"that is not text: it contains the code point U+{ord(letter):04X}",
                hint="binary data cannot be asked about; send words",
            )
    return text


def rank(source: Source, urgent: float, waiting: int, limit: int) -> int:
    """Place in the line, 1 (first) to 10: spoken before typed before background; urgency moves forward.

    While the line is more than half full, background work moves back so that people are served.
    """
    place = _BASE[source] - round(2 * min(1.0, max(0.0, urgent)))
    if source == "background" and waiting * 2 > limit:
        place += 4
    return min(LEAST_URGENT, max(MOST_URGENT, place))
