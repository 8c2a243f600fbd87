"""When a model is not sure of a fact, that is said instead of a guess sounding like knowledge."""

from __future__ import annotations

from tandem_agents.language_processing.contracts import Language, Reply

SURE = 0.72
GUESSING = 0.62
"""Certainty (geometric mean of the tokens' probabilities) from which a fact is told as it is, and below which it is not
told at all. Qwen2.5-0.5B-instruct at temperature 0 was asked 40 questions with one right answer: from 0.72 on 17 of 21
answers were right, below 0.62 one of 12, and every invented person, place and theorem was below 0.65."""


def doubted(answer: str, sure: float | None, language: Language) -> Reply | None:
    """What to say instead of ``answer``; None when it may stand, also for models that do not tell how sure they are."""
    if sure is None or sure >= SURE:
        return None
    if sure < GUESSING:
        return Reply(phrase="unknown", language=language)
    return Reply(phrase="unsure", facts={"guess": answer}, language=language)
