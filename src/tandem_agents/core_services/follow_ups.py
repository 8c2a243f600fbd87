"""Questions asked back: the next utterance of the session may be their answer."""

from __future__ import annotations

import re

from msgspec import Struct, structs

from tandem_agents.language_processing.contracts import Analysis, Intent, Slots

FORGET_AFTER_S = 60.0
_OPEN_INTENTS: frozenset[Intent] = frozenset({"question", "detail", "small_talk", "statement"})


_DEEDS: frozenset[Intent] = frozenset({"unsupported", "device"})
"""What the house cannot do is what people want to be reminded of: ``call mom``, ``water the plants``."""


class _Open(Struct, frozen=True):
    analysis: Analysis
    until: float


class FollowUps:
    """One open question per session."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def ask(self, session: str, analysis: Analysis, now: float) -> None:
        """Remember what is missing of this request."""
        self._open[session] = _Open(analysis, now + FORGET_AFTER_S)

    def complete(self, session: str, said: Analysis, now: float) -> Analysis:
        """``said``, or the open request completed by it. Any other command drops the open request."""
        waiting = self._open.pop(session, None)
        if waiting is None or now > waiting.until:
            return said
        filled = _filled(waiting.analysis.slots, said)
        return (
            said
            if filled is None
            else structs.replace(waiting.analysis, slots=filled, language=said.language)
        )


def _filled(wanted: Slots, said: Analysis) -> Slots | None:
    given = said.slots
    if wanted.missing == "duration" and given.duration_s is not None and said.intent == "detail":
        return structs.replace(wanted, missing="", duration_s=given.duration_s)
    if wanted.missing == "duration" and given.at is not None and said.intent == "detail":
        return structs.replace(wanted, missing="", at=given.at)
    if wanted.missing == "moment" and said.intent == "detail":
        return structs.replace(wanted, missing="", at=given.at, duration_s=given.duration_s)
    if wanted.missing == "choice" and said.intent in _OPEN_INTENTS:
        return _chosen(wanted, said)
    if wanted.missing == "consent":
        # Whatever else is said, nothing is done without a clear yes.
        if _YES.match(said.text):
            return structs.replace(wanted, missing="", kind="yes")
        return structs.replace(wanted, missing="", kind="no") if _NO.match(said.text) else None
    if wanted.missing == "text" and said.intent in _OPEN_INTENTS | _DEEDS:
        known = wanted.at is not None or wanted.duration_s is not None
        return structs.replace(wanted, label=said.text, missing="" if known else "moment")
    return None


_ALL = re.compile(r"^(?:all|both|everything|every one|each|lahat)\b(?: of (?:them|these|those))?$", re.IGNORECASE)
_YES = re.compile(r"^(?:yes|yeah|yep|sure|do it|i am sure|i'm sure|go ahead|oo|opo|sige)\b", re.IGNORECASE)
_NO = re.compile(r"^(?:no|nope|don't|do not|better not|hindi|huwag|wag)\b", re.IGNORECASE)
_IN_LINE = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1, "una": 1, "huli": -1}
_ONE = re.compile(r"^(?:the|ang|that|my)\s+|\s+(?:one|timer|alarm|reminder|please)$", re.IGNORECASE)
MAX_CHOICE_WORDS = 5


def _chosen(wanted: Slots, said: Analysis) -> Slots | None:
    """Which of several: ``all of them``, ``the second one``, ``20 minutes``, ``at 7``, ``the laundry one``."""
    text, given = said.text, said.slots
    if given.duration_s is not None or given.at is not None:
        if wanted.duration_s is not None:
            return wanted  # it says already how much longer; asked again, it may be said by name
        return structs.replace(wanted, missing="", duration_s=given.duration_s, at=given.at)
    if _ALL.match(text):
        return structs.replace(wanted, missing="", everything="all")
    while (shorter := _ONE.sub("", text)) != text:
        text = shorter
    if (place := _IN_LINE.get(text.lower())) is not None:
        return structs.replace(wanted, missing="", place_in_line=place)
    if not text or len(text.split()) > MAX_CHOICE_WORDS or said.intent == "statement":
        return None
    return structs.replace(wanted, missing="", label=text)
