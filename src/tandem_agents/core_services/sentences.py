"""From a stream of text pieces to whole sentences, so that speaking can begin with the first."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+|\n+")
_NOT_AN_END = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|vs|etc|e\.g|i\.e|No)\.|\b[A-Z]\.|\d\.)$")
SHORTEST = 12
"""Characters; a shorter sentence is joined to the next, since speaking many tiny ones sounds chopped."""


async def sentences(pieces: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """Sentences as soon as they are complete, the rest at the end. Closing it closes ``pieces``."""
    pending = ""
    async with aclosing(pieces):
        async for piece in pieces:
            pending += piece
            ready, pending = split_ready(pending)
            for sentence in ready:
                yield sentence
    if pending.strip():
        yield pending.strip()


def split_ready(text: str) -> tuple[list[str], str]:
    """The complete sentences of ``text``, and what may still go on."""
    ready: list[str] = []
    start = 0
    for end in _END.finditer(text):
        sentence = text[start : end.start()].strip()
        if len(sentence) < SHORTEST or _NOT_AN_END.search(sentence):
            continue
        ready.append(text[start : end.end()].strip())
        start = end.end()
    return ready, text[start:]
