"""The conversation behind ``tandem talk``: sound in, sound out."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from tandem.api import Connection, connect
from tandem.core.errors import DeadlineExceeded, InvalidArguments, TandemError, Unavailable
from tandem_agents.audio_interface.loudspeaker import Loudspeaker, Playback
from tandem_agents.audio_interface.sound_device import SoundDevice
from tandem_agents.commands.interrupting import called_again, unless_called
from tandem_agents.commands.sound_session import SoundSession, hearing
from tandem_agents.commands.spoken_turn import LISTENING, Listening, Turn, after_calling, nothing_heard
from tandem_agents.commands.talk import TalkResult
from tandem_agents.commands.terminal import CLEAR_LINE, faint
from tandem_agents.core_services.contracts import FrontDoor, TalkPiece
from tandem_agents.engines.audio import (
    SPEECH_RATE,
    concat,
    read_file,
    require_audible,
    to_wav,
)
from tandem_agents.engines.kinds import Audio

AGAIN_S = 3.0
"""Until somebody who was away, or a microphone, is tried again."""


class Conversation:
    """Spoken requests and their answers. With ``narrate`` what is heard and answered is printed as it comes, with
    ``aloud`` the answer is played as it comes; ``instead`` tells what can be done where that is not possible."""

    def __init__(self, *, session: str, wake: bool, narrate: bool, aloud: bool, instead: str = ""):
        self._session = session
        self.wake = wake
        self._narrate = narrate
        self._aloud = aloud
        self._loudspeaker = SoundDevice(Loudspeaker.find)
        self._instead = f"; {instead}" if instead else ""
        self._prompted = self._told = ""

    async def hold(
        self, file: Path | None, fleet: str | None, budget_s: float
    ) -> tuple[TalkResult, Audio | None]:
        """One request and its spoken answer (None when nothing was spoken); returns when that was heard.

        Raises :class:`TandemError` for sound that cannot be used, when nothing was said, or when the fleet cannot answer.
        """
        sound = None if file is None else read(file)
        listening = Listening(wake=self.wake, prompt=LISTENING)
        turn = Turn()
        async with connect(fleet, budget_s=budget_s) as connection:
            with _mouth(await self._find_loudspeaker()) as playback:
                async with hearing(connection, sound) as source:
                    await self._follow(source, listening, turn, playback)
                await self._until_heard(turn, playback)
        if (result := turn.result()) is None:
            raise nothing_heard(listening)
        return result, concat(turn.spoken) if turn.spoken else None

    async def exchange(
        self, connection: Connection, sound: Audio | None, listening: Listening, *, answer_s: float | None = None
    ) -> AsyncGenerator[TalkResult, None]:
        """One request and its answer on an open connection, and those of whoever calls the assistant while it answers.

        The microphone stays open until the last answer was heard. Whoever only calls is listened to again.

        Raises :class:`NothingHeard` when nothing is said at all, and ``DeadlineExceeded`` when an answer does not go on
        for ``answer_s`` seconds.
        """
        follows: Listening | None = listening
        loudspeaker = await self._find_loudspeaker()
        async with hearing(connection, sound) as source:
            while follows is not None:
                turn = Turn()
                with _mouth(loudspeaker) as playback:
                    answering = self._answer(source, follows, turn, playback, answer_s)
                    called_s = await self._unless_called(answering, source, turn, playback)
                if (result := turn.result()) is not None:
                    yield result
                elif called_s is None and follows is listening:
                    raise nothing_heard(listening)
                follows = None if called_s is None else after_calling(called_s)

    async def _answer(
        self,
        source: SoundSession,
        listening: Listening,
        turn: Turn,
        playback: Playback | None,
        answer_s: float | None,
    ) -> None:
        """Until the answer was heard."""
        await self._follow(source, listening, turn, playback, answer_s)
        await self._until_heard(turn, playback)

    async def _unless_called(
        self,
        answering: Coroutine[Any, Any, None],
        source: SoundSession,
        turn: Turn,
        playback: Playback | None,
    ) -> float | None:
        """Where in the sound the assistant was called, again or without a request; None when all was said."""
        if playback is None:
            await answering
            return turn.called_s()

        async def calling() -> float | None:
            while True:
                try:
                    return await called_again(source, turn.request, turn.said)
                except TandemError as error:
                    self._explain(f"(the answer cannot be interrupted: {in_words(error)})")
                    await asyncio.sleep(AGAIN_S)

        at_s = await unless_called(answering, calling(), playback.silence)
        return turn.called_s() if at_s is None else at_s

    async def _find_loudspeaker(self) -> Loudspeaker | None:
        """Before anything else: while PortAudio looks for devices, whatever is written to standard error is lost."""
        if not self._aloud:
            return None
        try:
            return await self._loudspeaker.get()
        except TandemError as error:
            self._not_heard(in_words(error))
            return None

    def remark(self, words: str) -> None:
        """Something about the conversation, for who reads along."""
        if self._narrate:
            print(words, file=sys.stderr, flush=True)

    def _prompt(self, words: str) -> None:
        """Say that somebody is listened to, unless that was the last thing to be said."""
        if words and words != self._prompted:
            self._prompted = words
            self.remark(words)

    async def _follow(
        self,
        source: SoundSession,
        listening: Listening,
        turn: Turn,
        playback: Playback | None,
        answer_s: float | None = None,
    ) -> None:
        """One request and its answer, as they come."""
        if not source.recorded:
            self._prompt(listening.prompt)
        door = source.connection.peer(FrontDoor, at=str(source.connection.front_door))
        pieces = door.converse(
            source.id,
            session=self._session,
            wake=listening.wake,
            whole=source.recorded,
            since_s=listening.since_s,
        )
        async for piece in _patiently(pieces, listening.patience_s, answer_s):
            turn.take(piece)
            if piece.heard is not None:
                self._tell("you:   ", piece.heard.text, again=not piece.heard.final)
            if piece.said is not None:
                self._tell("answer:", piece.said)
            if piece.sound is not None and playback is not None:
                playback.add(piece.sound)

    async def _until_heard(self, turn: Turn, playback: Playback | None) -> None:
        if playback is not None and turn.answer is not None:
            self._not_heard(await _heard(playback) if turn.spoken else "the answer was not spoken")

    def _tell(self, who: str, words: str, *, again: bool = False) -> None:
        """A line; ``again`` says that it is not final, and is shown only where it can be written over."""
        if not self._narrate or not words:
            return
        on_terminal = sys.stdout.isatty()
        if on_terminal:
            print(f"{CLEAR_LINE}{faint(who, True)} {words}", end="" if again else "\n", flush=True)
        elif not again:
            print(f"{who} {words}", flush=True)

    def _not_heard(self, problem: str) -> None:
        if problem:
            self._explain(f"(not played aloud: {problem}{self._instead})")

    def _explain(self, problem: str) -> None:
        """Why something cannot be, unless that was the last thing to be explained."""
        if problem != self._told:
            self._told = problem
            self.remark(problem)


def read(file: Path) -> Audio:
    """Raises :class:`TandemError` naming the file for one that cannot be read or holds nothing to hear."""
    try:
        return require_audible(read_file(file, rate=SPEECH_RATE))
    except OSError as error:
        raise InvalidArguments(f"cannot read {file}: {error.strerror}") from error
    except TandemError as error:
        raise type(error)(f"{file}: {error.message}", hint=error.hint) from error


def require_writable(path: Path) -> None:
    """Raises ``InvalidArguments`` when no file can be written there, before anything is asked."""
    target = path if path.exists() else path.parent
    if path.is_dir():
        code = errno.EISDIR
    elif not target.exists():
        code = errno.ENOENT
    elif target is not path and not target.is_dir():
        code = errno.ENOTDIR
    elif not os.access(target, os.W_OK):
        code = errno.EACCES
    else:
        return
    raise InvalidArguments(f"cannot write {path}: {os.strerror(code)}")


def write(path: Path, speech: Audio | None) -> None:
    """Raises ``Unavailable`` when there is nothing to write, and ``InvalidArguments`` when it cannot be written."""
    if speech is None:
        raise Unavailable("the answer was not spoken", hint="tandem status TTSService")
    try:
        path.write_bytes(to_wav(speech))
    except OSError as error:
        raise InvalidArguments(f"cannot write {path}: {error.strerror}") from error


async def _patiently(
    pieces: AsyncGenerator[TalkPiece, None], first_s: float | None, next_s: float | None
) -> AsyncGenerator[TalkPiece, None]:
    """``pieces``; nothing when the first has not come after ``first_s``.

    Raises ``DeadlineExceeded`` when a later one has not come ``next_s`` after the one before it.
    """
    limit_s, begun = first_s, False
    async with aclosing(pieces):
        while True:
            try:
                async with asyncio.timeout(limit_s):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not begun:
                    return
                raise DeadlineExceeded(f"the answer did not go on for {next_s:g} s") from None
            yield piece
            limit_s, begun = next_s, True


@contextmanager
def _mouth(loudspeaker: Loudspeaker | None) -> Iterator[Playback | None]:
    """What plays one answer, if it can be; silent at the end, however that comes."""
    playback = None if loudspeaker is None else Playback(loudspeaker)
    try:
        yield playback
    finally:
        if playback is not None:
            playback.silence()


async def _heard(playback: Playback) -> str:
    """Wait until all was heard; why not, when that is not possible."""
    try:
        await playback.finish()
    except TandemError as error:
        return in_words(error)
    return ""


def in_words(error: TandemError) -> str:
    """Its message, and the hint if it has one."""
    return f"{error.message} ({error.hint})" if error.hint else error.message
