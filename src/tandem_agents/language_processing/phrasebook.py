"""Everything the assistant says in fixed words, in English and Filipino.

A fact whose name ends with ``_s`` is a length in seconds, with ``_at`` a moment in Unix seconds, with ``_time`` or
``_date`` the time or day of such a moment; they are put into words before the phrase is filled.
"""

from __future__ import annotations

from datetime import datetime

from tandem_agents.language_processing.calendar_words import (
    ClockStyle,
    local,
    say_date,
    say_duration,
    say_moment,
    say_time,
)
from tandem_agents.language_processing.contracts import Language, Reply, Value
from tandem_agents.language_processing.phrases import SKILLS
from tandem_agents.language_processing.phrases_talk import TALK

PHRASES = SKILLS | TALK
DAYPARTS_FIL = {"morning": "umaga", "afternoon": "hapon", "evening": "gabi"}


def render(reply: Reply, now: datetime, style: ClockStyle = "12h") -> str:
    """The words of a reply in its language. Raises ``KeyError`` for a phrase or fact that does not exist."""
    if not reply.phrase:
        return reply.text
    language: Language = "en" if reply.language == "en" else "fil"
    facts = {name: _word(name, value, language, now, style) for name, value in reply.facts.items()}
    if reply.parts:
        facts["parts"] = "; ".join(render(part, now, style).rstrip(".") for part in reply.parts)
        if reply.phrase == "rang_late":
            facts["parts"] += "."
    if language == "fil" and facts.get("part") in DAYPARTS_FIL:
        facts["part"] = DAYPARTS_FIL[facts["part"]]
    text = PHRASES[reply.phrase][language].format(**facts)
    return text[:1].upper() + text[1:] if reply.phrase not in _INSIDE else text


_INSIDE = {name for name in PHRASES if name.endswith(("_item", "_item_named"))} | {"fact"}


def _word(name: str, value: Value, language: Language, now: datetime, style: ClockStyle) -> str:
    if isinstance(value, str):
        return value
    kind = name.rpartition("_")[2]
    if kind == "s":
        return say_duration(value, language)
    if kind == "at":
        return say_moment(local(value), now, language, style)
    if kind == "time":
        return say_time(local(value), language, style)
    if kind == "date":
        return say_date(local(value), language)
    return f"{value:g}" if isinstance(value, float) else str(value)
