"""A spoken turn: hear, answer, speak."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from tandem.agent import Agent
from tandem.core import clock
from tandem.core.errors import TandemError
from tandem_agents.audio_interface.contracts import Heard, Hearing, Reading
from tandem_agents.core_services.contracts import Answer, Piece, TalkPiece

AnswerInPieces = Callable[[str], AsyncGenerator[Piece, None]]
"""From a transcript to the sentences of its answer, and at last the answer as a whole."""


class Conversation:
    """One spoken turn of one session. A sentence is spoken while the next one is still being made."""

    def __init__(self, agent: Agent, answer: AnswerInPieces, session: str):
        self._agent = agent
        self._answer = answer
        self._session = session
        self._timings: dict[str, float] = {}

    async def hold(
        self, source: str, *, wake: bool, whole: bool, since_s: float = 0.0
    ) -> AsyncGenerator[TalkPiece, None]:
        """Everything that is heard and said, as soon as it is there.

        ``whole`` hears the sound to its end before answering, otherwise the first utterance that begins after
        ``since_s`` is the request. Ends without an answer when nothing was said. A voice that is missing or fails leaves
        the answer unspoken.
        """
        request: Heard | None = None
        began = None if wake else clock.monotonic()
        async with aclosing(self._hear(source, wake, whole, since_s)) as heard:
            async for request in heard:
                # Whoever is waiting to be called is not hearing a request yet.
                began = clock.monotonic() if began is None else began
                self._timings["hear"] = clock.monotonic() - began
                yield TalkPiece(heard=request)
        if request is None or not request.final or not request.text:
            return
        async with aclosing(self._reply(request.text)) as pieces:
            async for piece in pieces:
                yield piece
        yield TalkPiece(timings=self._timings)

    async def _hear(
        self, source: str, wake: bool, whole: bool, since_s: float
    ) -> AsyncGenerator[Heard, None]:
        """What was said so far; the last item is final."""
        said: list[Heard] = []
        async for heard in self._agent.peer(Hearing).listen(source, wake, since_s):
            if heard.final:
                said.append(heard)
                if not whole:
                    break
            else:
                yield _joined([*said, heard])
        if said:
            yield _joined(said)

    async def _reply(self, request: str) -> AsyncGenerator[TalkPiece, None]:
        """The answer's sentences and their sound, then the whole answer."""
        sentences: asyncio.Queue[Piece | None] = asyncio.Queue()
        thinking = asyncio.create_task(self._think(request, sentences))
        started = clock.monotonic()
        try:
            speakable = True
            while (sentence := await sentences.get()) is not None:
                yield TalkPiece(said=sentence.text)
                if not speakable:
                    continue
                try:
                    speaking = self._agent.peer(Reading).speak(
                        sentence.text, self._session, sentence.voice, sentence.speed
                    )
                    async for pcm in speaking:
                        self._timings.setdefault("first_sound", clock.monotonic() - started)
                        yield TalkPiece(sound=pcm)
                except TandemError as error:
                    speakable = False
                    self._agent.log.warning("the answer was not spoken to its end: %s", error)
            answer = await thinking
        finally:
            thinking.cancel()
            await asyncio.gather(thinking, return_exceptions=True)
        self._timings = {**answer.timings, **self._timings, "answer_and_speak": clock.monotonic() - started}
        yield TalkPiece(answer=answer)

    async def _think(self, request: str, sentences: asyncio.Queue[Piece | None]) -> Answer:
        """Feed the sentences of the answer; returns the answer. None in the queue marks the end, also of a failure."""
        answer: Answer | None = None
        try:
            async with aclosing(self._answer(request)) as pieces:
                async for piece in pieces:
                    if piece.text:
                        sentences.put_nowait(piece)
                    answer = piece.answer or answer
        finally:
            sentences.put_nowait(None)
        assert answer is not None, "the last piece carries the answer"
        return answer


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
