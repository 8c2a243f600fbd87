"""When a model is not sure of a fact, that is said instead of a guess sounding like knowledge."""

from __future__ import annotations

from tandem_agents.language_processing.contracts import Language, Reply

SURE = 0.72
GUESSING = 0.62
"""Certainty (geometric mean of the tokens' probabilities) from which a fact is told as it is, and below which it is not
told at all. Chosen by hand on Qwen2.5-0.5B-instruct at temperature 0: they sort out much that is invented, not all."""


def doubted(answer: str, sure: float | None, language: Language) -> Reply | None:
    """What to say instead of ``answer``; None when it may stand, also for models that do not tell how sure they are."""
    if sure is None or sure >= SURE:
        return None
    if sure < GUESSING:
        return Reply(phrase="unknown", language=language)
    return Reply(phrase="unsure", facts={"guess": answer}, language=language)
