"""Requests that are not text: sound that is written down first, and images somebody must be able to see."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from tandem.agent import Agent
from tandem.core.errors import InvalidArguments, NotFound, TandemError, Unreachable
from tandem_agents.core_services.contracts import Request
from tandem_agents.core_services.turn import Turn
from tandem_agents.language_processing.contracts import Reply
from tandem_agents.speech_services.contracts import Dictation

EYES = "VisionProcessingAgent"
"""Who describes images; no fleet needs one."""
DEFAULT_QUESTION = "What is in this picture?"

Look = Callable[[Turn], Awaitable[Reply]]


async def transcript_of(agent: Agent, request: Request) -> str:
    """What is said in an audio request. Raises ``InvalidArguments`` without sound, and what ``Dictation`` raises."""
    if request.audio is None or not request.audio.data:
        raise InvalidArguments("an audio request needs its sound in `audio`")
    return (await agent.peer(Dictation).transcribe(request.audio)).text


def looking_at(agent: Agent, image: bytes) -> Look:
    """A skill that answers the turn's question about ``image``, or says that nobody here can see."""
    if not image:
        raise InvalidArguments("a vision request needs its picture in `image`")

    async def look(turn: Turn) -> Reply:
        turn.intent = "vision"
        question = turn.text.strip() or DEFAULT_QUESTION
        try:
            with turn.stage("vision"):
                seen = await agent.peer(EYES).describe_image(
                    image=base64.b64encode(image).decode(), prompt=question
                )
        except (NotFound, Unreachable):
            turn.answered = False
            return turn.say("cannot_see", agent=EYES)
        except TandemError as error:
            turn.answered = False
            return turn.say("unreachable", reason=error.message)
        return Reply(text=str(seen), language=turn.language)

    return look
