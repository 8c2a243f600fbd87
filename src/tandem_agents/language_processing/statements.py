"""What somebody tells without asking for anything: a correction of something remembered, or just talk."""

from __future__ import annotations

import re
from datetime import datetime

from tandem_agents.language_processing import slots
from tandem_agents.language_processing.contracts import Slots
from tandem_agents.language_processing.rule import Rule, rules
from tandem_agents.language_processing.tokens import clean

CORRECTS = "corrects"
MAX_WORDS = 40
"""Longer ones are texts that somebody wants something done with."""

_TELLS = re.compile(
    r"^(?:(?:well|so|and|but|oh|wow|yes|yeah|today|yesterday|tonight|tomorrow|actually|by the way|guess what)[\s,]+)*"
    r"(?:(?:i|we|he|she|they|it|you)(?:'m|'ve|'ll|'d|'re|'s)?\s+\w|(?:this|that|these|those|there|here)(?:'s|\s+\w)"
    r"|(?:my|our|his|her|their|the|some|someone's|no|every|all)\s+\w|(?:somebody|someone|everybody|everyone|nobody)\s+\w"
    r"|[A-Z][a-z]+(?:'s)?\s+(?:is|was|has|had|got|came|went|said|told|will)\s)"
)
_VERB = re.compile(
    r"\b(?:is|are|was|were|am|has|have|had|will|would|can|cannot|can't|could|went|came|got|did|does|do|made|said|told|saw|took|gave"
    r"|found|rang|lost|left|ate|slept|broke|bought|felt|won|met|ran|works?|seems?|looks?|feels?|smells?|tastes?|sounds?|hurts?|\w+ed"
    r"|\w+n't|love|like|hate|miss|hope|think|guess|feel|live|go|see|\w+'(?:s|m|re|ve|ll|d))\b",
    re.IGNORECASE,
)
_WANTS = re.compile(
    r"\b(?:i|we)(?:'d|'m| am| would| do| just| really)*\s+(?:want|need|wonder|wondering|like to|love to|wish|have (?:a|one|another) question"
    r"|(?:don't|do not|can't|cannot) (?:know|understand|remember|find|figure)|am looking|looking for|forgot|require)\b"
    r"|\byou\s+(?:should|must|need|have to|are supposed)\b|\b(?:tell|explain|describe|write|give|show) (?:me|us)\b",
    re.IGNORECASE,
)
"""Said as a statement, meant as a request."""
_ASKS = re.compile(
    r"^(?:(?:well|so|and|but|oh|ok|okay)[\s,]+)*(?:what|who|whom|whose|which|where|when|why|how|is|are|was|were|do|does|did|can|could|will"
    r"|would|should|has|have|had|may|must|ano|anong|sino|saan|nasaan|kailan|bakit|paano|ilan|ilang|alin|tell|explain|describe|define|write"
    r"|give|show|name|list|compare|translate|summari[sz]e|help|let|imagine|suppose|if)\b",
    re.IGNORECASE,
)
"""How questions and orders begin, also those written without a question mark."""
_POINTS = re.compile(r"^(?:it|that|this|he|she|they|there|these|those|i|we|you)\b", re.IGNORECASE)


def corrected(match: re.Match[str], now: datetime) -> Slots | None:
    """``no, the boiler code is 5000``; ``it is 5000`` says not of what, so that its subject is empty."""
    said = re.sub(r"^(it|that)'s\b", r"\1 is", clean(match["fact"]), flags=re.IGNORECASE)
    found = _fact(re.sub(r"\b(is|are) now\b", r"\1", said, flags=re.IGNORECASE), now)
    if found is None or not found.subject or _WANTS.search(said) or _ASKS.match(said):
        return None
    subject = "" if _POINTS.match(found.subject) else found.subject
    return Slots(kind=CORRECTS, subject=subject, value=found.value, label=found.label)


def changed(match: re.Match[str], now: datetime) -> Slots | None:
    """``change the boiler code to 5000``."""
    subject, value = clean(match["subject"]), clean(match["value"])
    if not subject or not value or len(subject.split()) > slots.MAX_SUBJECT_WORDS:
        return None
    return Slots(kind=CORRECTS, subject=subject, value=value, label=f"the {subject} is {value}")


def told(match: re.Match[str], now: datetime) -> Slots | None:
    """Any other statement; declines what asks for something or has no verb."""
    said = clean(match["said"])
    if len(said.split()) > MAX_WORDS or _ASKS.match(said) or not _TELLS.match(_lowered(said)) or not _VERB.search(said) or _WANTS.search(said):
        return None
    found = _fact(said, now)
    if found is None or not found.subject or _POINTS.match(found.subject):
        return Slots(label=said)
    return Slots(subject=found.subject, value=found.value, label=said)


def _fact(said: str, now: datetime) -> Slots | None:
    whole = re.match(r"(?P<fact>.+)", said, re.DOTALL)
    return slots.fact(whole, now) if whole else None


def _lowered(said: str) -> str:
    """With a small first letter where the word is none of a name, as sentences begin with a capital anyway."""
    first, _, rest = said.partition(" ")
    return said if (first.isupper() and len(first) > 1) or _is_name(first) else f"{first.lower()} {rest}"


def _is_name(word: str) -> bool:
    return word[:1].isupper() and word.lower().split("'")[0] not in _SENTENCE_STARTS


_SENTENCE_STARTS = {"i", "we", "he", "she", "they", "it", "you", "this", "that", "these", "those", "there", "here", "my", "our", "his", "her", "their", "the", "some", "no", "every", "all", "somebody", "someone", "everybody", "everyone", "nobody", "well", "so", "and", "but", "oh", "wow", "yes", "yeah", "today", "yesterday", "tonight", "tomorrow", "actually", "by", "guess"}

CORRECTIONS: tuple[Rule, ...] = (
    *rules(
        "statement", 0.9, corrected,
        "(actually|no|nope|wait|sorry|correction|wrong|not anymore|i mean|i meant|that is wrong|that's wrong|that is not right|that's not right) "
        "[no|actually|sorry|i mean|i meant] [that] {fact}",
    ),
    *rules(
        "unsupported", 0.9, slots.request("reschedule"),
        "(change|move|reschedule|shift|update|postpone) [the|my|our] [{which}] <ringer> (to|from|by|until) {rest}",
        "(postpone|snooze|reschedule) [the|my|our] [{which}] <ringer> [{rest}]", "snooze [{rest}]",
    ),
    *rules(
        "statement", 0.85, changed,
        "(change|update|correct) [the|my|our] {subject} to {value}", "[the|my|our] {subject} (has changed to|changed to|is now) {value}",
    ),
)  # fmt: skip
STATEMENTS: tuple[Rule, ...] = (*rules("statement", 0.6, told, "{said}"),)
