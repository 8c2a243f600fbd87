"""What a model says is not always passed on: guesses that sound like knowledge, deeds it has not done, and half sentences."""

from __future__ import annotations

import re

from msgspec import Struct

from tandem_agents.language_processing.contracts import Language, Reply, TaskKind


class Limits(Struct, frozen=True):
    """Certainty (geometric mean of the tokens' probabilities, 0..1) from which an answer is told as it is, and below
    which it is not told at all."""

    sure: float
    guessing: float


FACTS = Limits(sure=0.83, guessing=0.72)
EXPLANATIONS = Limits(sure=0.55, guessing=0.42)
"""Chosen on one half of ``benchmarks/facts.yaml`` with Qwen2.5-0.5B-instruct at temperature 0: ``sure`` is the lowest
at which four of five answers told were right, ``guessing`` the lowest at which half of those told as guesses were.
``tandem bench doubt`` chooses them anew and judges them on the other half."""
_YES = re.compile(r"\s*yes\b", re.IGNORECASE)
_LOOPS = re.compile(r"\b(\w+)(?:\W+\1\b){3,}", re.IGNORECASE)
"""What a small model falls into in a language it hardly knows."""
_NO_ORDER = re.compile(
    r"\?|^\W*(?:what|who|whom|whose|which|where|when|why|how|is|are|was|were|am|do|does|did|can|could|will|would|should|may|might|have|has|had"
    r"|i|i'\w+|we|you|he|she|it|they|this|that|there|the|a|an|my|our|your|if|and|but|so|or|no|yes|not"
    r"|tell|say|explain|describe|write|name|list|give|define|compare|translate|summari[sz]e|suggest|recommend|imagine|count|recite|spell|help"
    r"|show|think|let|let's|teach|answer|continue|go|discuss|complete|finish|rewrite|calculate|solve|pretend|talk"
    r"|pick|choose|guess|decide|play|repeat|read|try|be|act|respond|reply|speak|introduce|greet|wish|thank|remember|check|look|consider|convert|add"
    r"|improve|correct|shorten|draft|compose|generate|create|invent|outline|ano|sino|saan|bakit|paano)\b",
    re.IGNORECASE,
)
"""Questions, statements, and orders to say something: an answer to those that begins with "I will" claims nothing."""
_CLAIM = re.compile(
    r"^\W*(?:(?:sure|certainly|of course|okay|ok|yes|alright|all right|done|absolutely)\b[\s,.!]*)*"
    r"(?:i(?:'ll| will|'m going to| am going to|'ve| have| just)\b(?! (?:be (?:happy|glad|unable)|not\b|to\b|no\b|never))|i \w+ed\b)",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_FUNCTION_WORDS = frozenset({
    "a", "an", "the", "this", "that", "these", "those", "there", "it", "its", "he", "she", "his", "her", "they", "them", "their",
    "is", "are", "was", "were", "be", "been", "being", "am", "has", "have", "had", "do", "does", "did", "can", "will",
    "because", "so", "since", "due", "of", "to", "in", "on", "at", "by", "for", "with", "from", "as", "and", "or", "but", "if",
    "not", "very", "just", "too", "also", "when", "which", "who", "what", "why", "how",
})  # fmt: skip
_WHOLE = re.compile(r".*[.!?…][\"')\]]*(?=\s|$)", re.DOTALL)
"""Up to the end of the last whole sentence."""


def limits_of(kind: TaskKind, language: Language) -> Limits | None:
    """How sure a model must be of an answer; None where its words are its own, as in a story.

    A small model hardly knows any language but English, so there everything it says is held to what a fact is.
    """
    if language != "en" and kind != "code":
        return FACTS
    return {"fact": FACTS, "explanation": EXPLANATIONS}.get(kind)


def doubted(answer: str, sure: float | None, limits: Limits, language: Language) -> Reply | None:
    """What to say instead of ``answer``; None when it may stand, also for models that do not tell how sure they are.

    A "yes" is never believed: a small model says it to whatever it is asked, of spiders being insects as surely as of
    the sun being a star (right four times in twelve, at a certainty of 0.77 to 0.93).
    """
    if _LOOPS.search(answer):
        return Reply(phrase="unknown", language=language)
    if sure is None:
        return None
    if sure < limits.guessing or _YES.match(answer):
        return Reply(phrase="unknown", language=language)
    if sure < limits.sure:
        return Reply(phrase="unsure", facts={"guess": answer}, language=language)
    return None


def echoed(asked: str, answer: str, language: Language) -> Reply | None:
    """What to say instead of an explanation that has no word but those of the question ("The sky is blue."); None otherwise."""
    known = set(_WORD.findall(asked.casefold()))
    news = {word for word in _WORD.findall(answer.casefold()) if word not in _FUNCTION_WORDS and word not in known}
    return None if news else Reply(phrase="unknown", language=language)


def pretended(asked: str, answer: str, language: Language) -> Reply | None:
    """What to say instead of ``answer`` when it claims that something ordered was or will be done; None otherwise.

    A model can only talk, and a small one promises whatever it is told to do ("I'll drive you to work").
    """
    if _NO_ORDER.search(asked.strip()) or not _CLAIM.match(answer):
        return None
    return Reply(phrase="chore", language=language)


def sentences_end(text: str) -> int:
    """Where the last whole sentence of ``text`` ends; 0 when there is none."""
    match = _WHOLE.match(text)
    return match.end() if match else 0
