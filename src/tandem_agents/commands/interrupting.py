"""Being interrupted: whoever says the wake phrase while an answer is played has it broken off, and is listened to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from tandem_agents.audio_interface.contracts import Heard, Waking
from tandem_agents.commands.sound_session import SoundSession

PHRASE_S = 0.9
"""From the beginning of the phrase until it is noticed: 0.8 to 0.95 s of "hey Jarvis" in the voices at hand. What is
listened to begins there, so that a request said in the same breath is heard whole, and little of the answer with it."""


async def called_again(
    source: SoundSession, request: asyncio.Future[Heard], said: Sequence[str]
) -> float | None:
    """Wait until the wake phrase is said after the ``request``; returns where it began, in seconds of
    ``source``, or None when that has ended.

    ``said`` are the sentences of the answer so far. Once one of them holds the assistant's name, it may be its own voice
    that says the phrase, and for the rest of this answer nothing else is believed. Raises :class:`TandemError` while the
    detector is away.
    """
    # Whoever gives this up has not heard the request any less.
    heard = await asyncio.shield(request)
    async with aclosing(source.connection.peer(Waking).detect(source.id, heard.ended_s)) as wakes:
        async for wake in wakes:
            if not any(holds_name(sentence, wake.phrase) for sentence in said):
                return max(heard.ended_s, wake.at_s - PHRASE_S)
    return None


def holds_name(sentence: str, phrase: str) -> bool:
    """Whether the name in a wake phrase, which is its last word, occurs in ``sentence``."""
    return phrase.split()[-1].casefold() in re.findall(r"\w+", sentence.casefold())


async def unless_called(
    answering: Coroutine[Any, Any, None],
    calling: Coroutine[Any, Any, float | None],
    silence: Callable[[], None],
) -> float | None:
    """Do ``answering``; when ``calling`` returns a time before, ``silence`` and cancel it, and return that time.

    Raises what either raises.
    """
    answer, call = asyncio.ensure_future(answering), asyncio.ensure_future(calling)
    try:
        await asyncio.wait((answer, call), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done() and (at_s := call.result()) is not None:
            silence()
            return at_s
        await answer
        return None
    finally:
        answer.cancel()
        call.cancel()
        await asyncio.gather(answer, call, return_exceptions=True)
