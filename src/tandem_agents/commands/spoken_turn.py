"""One spoken request and its answer: how it is listened for, and what becomes of it."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from tandem.core.errors import NotFound
from tandem_agents.audio_interface.contracts import Heard
from tandem_agents.commands.talk import TalkResult
from tandem_agents.core_services.contracts import Answer, TalkPiece
from tandem_agents.engines.audio import from_pcm
from tandem_agents.engines.kinds import Audio

ANSWER_WITHIN_S = 8.0
"""How long whoever called, or was asked something, has to begin to speak."""
LISTENING = "Listening …"


class NothingHeard(NotFound):
    """Nobody said anything, or nobody called the assistant."""


class Listening(Struct, frozen=True, kw_only=True):
    """How a request is listened for: with ``wake`` it must follow the wake phrase, otherwise whatever is said is one.

    It begins after ``since_s`` seconds of the sound, and within ``patience_s`` (None: some day). ``prompt`` is shown.
    """

    wake: bool
    prompt: str = ""
    patience_s: float | None = None
    since_s: float = 0.0


class Turn:
    """What has been heard and said of one request so far. ``request`` is set once it has been heard to its end."""

    def __init__(self) -> None:
        self._heard: Heard | None = None
        self.request: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        self.said: list[str] = []
        self.spoken: list[Audio] = []
        self.answer: Answer | None = None
        self.timings: dict[str, float] = {}

    def take(self, piece: TalkPiece) -> None:
        if piece.heard is not None:
            self._heard = piece.heard
            if piece.heard.final and not self.request.done():
                self.request.set_result(piece.heard)
        if piece.said is not None:
            self.said.append(piece.said)
        if piece.sound is not None:
            self.spoken.append(from_pcm(piece.sound))
        self.answer = piece.answer or self.answer
        self.timings = piece.timings or self.timings

    def called_s(self) -> float | None:
        """Where the assistant's name ended, when nothing else was said."""
        heard = self._heard
        return heard.ended_s if heard and heard.final and heard.addressed and not heard.text else None

    def result(self) -> TalkResult | None:
        """None when there was no request, or the answer was broken off before it began. Without intent and turn when
        it was broken off later."""
        if self.answer is None and not self.said:
            return None
        answer = self.answer or Answer(answer=" ".join(self.said), intent="", turn="", timings={})
        return TalkResult(
            answer=answer.answer,
            intent=answer.intent,
            turn=answer.turn,
            timings=self.timings or answer.timings,
            transcript=self._heard.text if self._heard else "",
            language=self._heard.language if self._heard else "",
        )


def after_calling(called_s: float) -> Listening:
    """Whoever has called need not call again."""
    return Listening(wake=False, prompt=LISTENING, patience_s=ANSWER_WITHIN_S, since_s=called_s)


def nothing_heard(listening: Listening) -> NothingHeard:
    if listening.wake:
        return NothingHeard("no wake phrase was heard", hint='say "hey Jarvis" first, or leave out --wake')
    return NothingHeard("no speech was heard", hint="check the microphone, or the recording")
