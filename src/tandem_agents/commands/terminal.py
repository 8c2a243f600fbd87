"""What a person sees on a terminal while the assistant thinks; pipes and files get the answer alone."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PATIENCE_S = 1.0
"""Most answers are there sooner, and nothing flickers."""
CLEAR_LINE = "\r\033[K"


@asynccontextmanager
async def waiting(shown: bool = True) -> AsyncIterator[None]:
    """Count the seconds on standard error while the block takes long; the line is gone afterwards."""
    if not (shown and sys.stderr.isatty()):
        yield
        return
    counting = asyncio.create_task(_count())
    try:
        yield
    finally:
        counting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await counting


async def _count() -> None:
    await asyncio.sleep(PATIENCE_S)
    seconds = round(PATIENCE_S)
    try:
        while True:
            print(f"{CLEAR_LINE}{faint(f'thinking … {seconds} s', sys.stderr.isatty())}", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(1.0)
            seconds += 1
    finally:
        print(CLEAR_LINE, end="", file=sys.stderr, flush=True)


def faint(text: str, on_terminal: bool) -> str:
    """``text`` in the terminal's faint style."""
    return f"\033[2m{text}\033[0m" if on_terminal else text
