"""A spoken turn: hear, answer, speak."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from tandem.agent import Agent
from tandem.core import clock
from tandem.core.errors import TandemError
from tandem_agents.audio_interface.contracts import Heard, Hearing, Reading
from tandem_agents.core_services.contracts import Answer, TalkPiece
from tandem_agents.core_services.turn import timed

Ask = Callable[[str, dict[str, float]], Awaitable[Answer]]
"""Answers a transcript; the timings so far become part of the answer's."""


async def converse(
    agent: Agent, ask: Ask, source: str, session: str, *, wake: bool, whole: bool
) -> AsyncGenerator[TalkPiece, None]:
    """What is heard, then the answer, then the answer's sound, each as soon as it is there.

    ``whole`` hears the sound to its end before answering, otherwise the first utterance is the request. Ends without
    an answer when nothing was said. A voice that is missing or fails leaves the answer unspoken.
    """
    timings: dict[str, float] = {}
    said: list[Heard] = []
    with timed(timings, "hear"):
        async for heard in agent.peer(Hearing).listen(source, wake):
            if not heard.final:
                yield TalkPiece(heard=_joined([*said, heard]))
                continue
            said.append(heard)
            yield TalkPiece(heard=_joined(said))
            if not whole:
                break
    request = _joined(said).text if said else ""
    if not request:
        return
    answer = await ask(request, timings)
    yield TalkPiece(answer=answer)
    timings = dict(answer.timings)
    with timed(timings, "speak"):
        async with contextlib.aclosing(_speak(agent, answer.answer, session, timings)) as sounds:
            async for sound in sounds:
                yield sound
    yield TalkPiece(timings=timings)


async def _speak(
    agent: Agent, text: str, session: str, timings: dict[str, float]
) -> AsyncGenerator[TalkPiece, None]:
    started = clock.monotonic()
    try:
        async for pcm in agent.peer(Reading).speak(text, session):
            timings.setdefault("first_sound", clock.monotonic() - started)
            yield TalkPiece(sound=pcm)
    except TandemError as error:
        agent.log.warning("the answer was not spoken to its end: %s", error)


def _joined(said: list[Heard]) -> Heard:
    """Several utterances as one."""
    return Heard(
        text=" ".join(one.text for one in said),
        language=said[-1].language,
        final=said[-1].final,
        started_s=said[0].started_s,
        ended_s=said[-1].ended_s,
        addressed=said[0].addressed,
    )
