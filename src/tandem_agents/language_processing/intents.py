"""From an utterance to its intent and slots. What no rule of the table claims is an open question."""

from __future__ import annotations

import re
from datetime import datetime

from tandem_agents.language_processing.contracts import Analysis, Language
from tandem_agents.language_processing.fragments import FRAGMENTS
from tandem_agents.language_processing.rules import RULES
from tandem_agents.language_processing.templates import compile_template, match_template
from tandem_agents.language_processing.tokens import clean

OPEN_QUESTION_CONFIDENCE = 0.3
MAX_COMMAND_CHARS = 600
"""Longer utterances are texts, not commands; only a note to remember may be this long."""

SHORT_SENTENCE = 4
"""Words; what follows a question and is shorter is a courtesy."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

_LEAD = compile_template(
    "([hey|hi|ok|okay|hello] <name>|please|kindly|can you|could you|would you|will you|i would like you to"
    "|i'd like you to|i want you to|i need you to|go ahead and|just|um|uh|so|well|paki|pwede mo bang|pwede mo ba"
    "|puwede mo bang|maaari mo bang)",
    FRAGMENTS,
)
_HESITATION = re.compile(r"^(?:actually|wait|sorry|oh|no|listen|excuse me|by the way|hmm+)\b[\s,.!]+", re.IGNORECASE)
"""How people begin who have thought of something else; what corrects begins so too and is read first."""
_TAIL = compile_template("(please|for me|po|naman|nga|<name>)", FRAGMENTS)
_THANKS = compile_template("(thanks|thank you)", FRAGMENTS)
_EXPAND = (
    (re.compile(r"\b(what|where|who|when|how)'s\b", re.IGNORECASE), r"\1 is"),
    (re.compile(r"\b(what|where|who)s\b(?= )", re.IGNORECASE), r"\1 is"),
    (re.compile(r"(?<=[a-z]):\s+", re.IGNORECASE), ", "),
    (re.compile(r"\ba\.m\.?(?=\W|$)", re.IGNORECASE), "am"),
    (re.compile(r"\bp\.m\.?(?=\W|$)", re.IGNORECASE), "pm"),
)


def understand(text: str, now: datetime, language: Language = "en") -> Analysis:
    """The intent of ``text`` with its slots; ``now`` is the local time points in time are resolved against."""
    meant = regular(text)
    if not meant:
        return Analysis(intent="empty", confidence=1.0, text="", language=language)
    short = len(meant) <= MAX_COMMAND_CHARS
    asked = _asks(text)
    for rule in RULES:
        if (not short and rule.intent != "remember") or (rule.intent == "statement" and asked):
            continue
        match = match_template(rule.pattern, meant)
        filled = rule.read(match, now) if match else None
        if filled is not None:
            return Analysis(
                intent=rule.intent, confidence=rule.confidence, text=meant, language=language, slots=filled
            )
    rest = _HESITATION.sub("", meant)
    if rest and rest != meant:
        meaning = understand(rest, now, language)
        if meaning.confidence > OPEN_QUESTION_CONFIDENCE:
            return meaning
    return Analysis(intent="question", confidence=OPEN_QUESTION_CONFIDENCE, text=meant, language=language)


def regular(text: str) -> str:
    """``text`` without the assistant's name, politeness and contractions around what is meant; case is kept."""
    meant = clean(text)
    for pattern, replacement in _EXPAND:
        meant = pattern.sub(replacement, meant)
    return _without_tail(_without_lead(meant))


def _asks(text: str) -> bool:
    """Whether there is a question mark, other than in the middle of a speech that goes on after it."""
    last = _SENTENCE_END.split(text.strip())[-1]
    return "?" in text and ("?" in last or len(last.split()) < SHORT_SENTENCE)


def _without_lead(text: str) -> str:
    while (match := _LEAD.match(f" {text}")) and _word_ends(f" {text}", match.end()):
        shorter = clean(f" {text}"[match.end() :])
        if not shorter:
            return text
        text = shorter
    return text


def _without_tail(text: str) -> str:
    while (match := _last(text)) is not None:
        text = match
    return text


def _last(text: str) -> str | None:
    """``text`` without one polite word or name at its end, or None when there is none or nothing would be left."""
    for gap in re.finditer(r"[\s,]+", text[-24:] if len(text) > 24 else text):
        start = max(0, len(text) - 24) + gap.start()
        rest = clean(text[:start])
        # "ok thank you" is thanks, not "ok".
        if _TAIL.fullmatch(text, start) or (" " in rest and _THANKS.fullmatch(text, start)):
            return rest or None
    return None


def _word_ends(text: str, at: int) -> bool:
    return at == len(text) or not (text[at].isalnum() or text[at] == "'")
