"""Questions asked back: the next utterance of the session may be their answer."""

from __future__ import annotations

from msgspec import Struct, structs

from tandem_agents.language_processing.contracts import Analysis, Intent, Slots

FORGET_AFTER_S = 60.0
_OPEN_INTENTS: frozenset[Intent] = frozenset({"question", "detail", "small_talk"})


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
    if wanted.missing == "text" and said.intent in _OPEN_INTENTS:
        known = wanted.at is not None or wanted.duration_s is not None
        return structs.replace(wanted, label=said.text, missing="" if known else "moment")
    return None
