"""When a model is not sure of a fact, that is said instead of a guess sounding like knowledge."""

from __future__ import annotations

import re

from tandem_agents.language_processing.contracts import Language, Reply

SURE = 0.83
GUESSING = 0.72
"""Certainty (geometric mean of the tokens' probabilities) from which a fact is told as it is, and below which it is not
told at all. Chosen on one half of ``benchmarks/facts.yaml`` with Qwen2.5-0.5B-instruct at temperature 0: ``SURE`` is the
lowest at which four of five answers told were right, ``GUESSING`` the lowest at which half of those told as guesses were.
``tandem bench doubt`` chooses them anew and judges them on the other half."""
_YES = re.compile(r"\s*yes\b", re.IGNORECASE)


def doubted(answer: str, sure: float | None, language: Language) -> Reply | None:
    """What to say instead of ``answer``; None when it may stand, also for models that do not tell how sure they are.

    A "yes" is never believed: a small model says it to whatever it is asked, of spiders being insects as surely as of
    the sun being a star (right four times in twelve, at a certainty of 0.77 to 0.93).
    """
    if sure is None:
        return None
    if sure < GUESSING or _YES.match(answer):
        return Reply(phrase="unknown", language=language)
    if sure < SURE:
        return Reply(phrase="unsure", facts={"guess": answer}, language=language)
    return None
