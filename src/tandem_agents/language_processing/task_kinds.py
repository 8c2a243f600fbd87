"""What kind of work an open question is: chat, reasoning, code, or one that needs a tool."""

from __future__ import annotations

import re

from tandem_agents.language_processing.contracts import TaskKind

_SIGNS: dict[TaskKind, tuple[tuple[float, str], ...]] = {
    "code": (
        (2.0, r"```|\bdef \w+\(|\bimport \w+\b|\bfunction\s*\(|[;{}]\s*$"),
        (
            2.0,
            r"\b(?:write|fix|debug|refactor|explain|review)\b.{0,40}\b(?:code|function|script|program|regex|query|bug)\b",
        ),
        (
            1.0,
            r"\b(?:python|javascript|typescript|java|rust|c\+\+|sql|bash|html|css|algorithm|compile|stack trace)\b",
        ),
    ),
    "reasoning": (
        (1.5, r"\b(?:step by step|prove|derive|pros and cons|trade-?offs?|compare|analy[sz]e|plan)\b"),
        (1.0, r"\b(?:why|how come|what if|which is better|should i|cause)\b"),
        (1.5, r"\b(?:if|suppose|given)\b.+\b(?:then|how many|how much|how long|what)\b"),
    ),
    "tool": (
        (
            2.0,
            r"\b(?:today's news|latest|current price|stock price|search the web|look up online|exchange rate)\b",
        ),
    ),
    "chat": ((1.0, r"\b(?:tell me (?:a|about)|story|poem|joke|feel|think of|favou?rite|chat)\b"),),
}
_COMPILED = {
    kind: [(weight, re.compile(pattern, re.IGNORECASE)) for weight, pattern in signs]
    for kind, signs in _SIGNS.items()
}
NEEDED = 1.0


def classify(text: str) -> TaskKind:
    """The kind with the most signs; ``chat`` when nothing points elsewhere."""
    scores: dict[TaskKind, float] = {"chat": 0.5, "reasoning": 0.0, "code": 0.0, "tool": 0.0}
    for kind, signs in _COMPILED.items():
        scores[kind] += sum(weight for weight, sign in signs if sign.search(text))
    best = max(scores, key=lambda kind: scores[kind])
    return best if scores[best] >= NEEDED else "chat"
