"""What background jobs do: one coroutine per kind, each from a mapping of strings to a mapping of strings."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from tandem.core import clock
from tandem.core.errors import InvalidArguments
from tandem_agents.memory_services.contracts import MemoryUpkeep
from tandem_agents.memory_services.words import content_words

Work = Callable[[dict[str, str]], Awaitable[dict[str, str]]]

MAX_LOG_BYTES = 8 << 20
TOP_WORDS = 10
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)")


def memory_upkeep(store: MemoryUpkeep) -> Work:
    """Have the memory store do its upkeep now."""

    async def work(data: dict[str, str]) -> dict[str, str]:
        report = msgspec.to_builtins(await store.upkeep())
        return {name: str(value) for name, value in report.items()}

    return work


async def analyse_text(data: dict[str, str]) -> dict[str, str]:
    """Words, sentences and the most frequent meaningful words of ``text``."""
    text = data.get("text", "")
    if not text.strip():
        raise InvalidArguments("an analysis job needs a text")
    words = content_words(text)
    frequent = Counter(words).most_common(TOP_WORDS)
    return {
        "words": str(len(text.split())),
        "sentences": str(max(1, len(_SENTENCE.findall(text)))),
        "keywords": ", ".join(word for word, _ in frequent),
    }


def append_log(path: Path) -> Work:
    """Append ``data`` as one JSON line; on disk when done. The file is renamed to ``.1`` when it has grown large."""

    async def work(data: dict[str, str]) -> dict[str, str]:
        line = msgspec.json.encode({"ts": clock.wall(), **data}) + b"\n"
        await asyncio.to_thread(_append, path, line)
        return {"bytes": str(len(line))}

    return work


def _append(path: Path, line: bytes) -> None:
    if path.exists() and path.stat().st_size + len(line) > MAX_LOG_BYTES:
        path.replace(path.with_suffix(path.suffix + ".1"))
    with path.open("ab") as log:
        log.write(line)
        log.flush()
        os.fsync(log.fileno())
