"""What a person said of themselves, said back to them."""

from __future__ import annotations

import re

_SWAP = {
    "my": "your",
    "mine": "yours",
    "i": "you",
    "i'm": "you're",
    "i've": "you've",
    "me": "you",
    "myself": "yourself",
    "our": "your",
    "ours": "yours",
    "we": "you",
    "us": "you",
}
_BE = (
    (re.compile(r"\byou am\b", re.IGNORECASE), "you are"),
    (re.compile(r"\byou was\b", re.IGNORECASE), "you were"),
)


def yours(content: str) -> str:
    """``my keys are …`` → ``your keys are …``; case at the beginning is kept."""
    text = " ".join(_SWAP.get(word.lower(), word) for word in content.split(" "))
    for pattern, replacement in _BE:
        text = pattern.sub(replacement, text)
    return text[:1].upper() + text[1:] if content[:1].isupper() else text
