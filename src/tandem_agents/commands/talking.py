"""The conversation behind ``tandem talk``: sound in, sound out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from tandem.api import Connection, connect
from tandem.core.errors import DeadlineExceeded, InvalidArguments, NotFound, TandemError, Unavailable
from tandem_agents.audio_interface.contracts import Capture
from tandem_agents.audio_interface.loudspeaker import Loudspeaker, Playback
from tandem_agents.audio_interface.sound_device import SoundDevice
from tandem_agents.commands.talk import TalkResult
from tandem_agents.commands.terminal import CLEAR_LINE, faint
from tandem_agents.core_services.contracts import Answer, FrontDoor, TalkPiece
from tandem_agents.engines.audio import (
    SPEECH_RATE,
    concat,
    from_pcm,
    read_file,
    require_audible,
    to_pcm,
    to_wav,
)
from tandem_agents.engines.kinds import Audio, Pcm

PUSH_S = 1.0
"""Seconds of sound handed in per call."""


class NothingHeard(NotFound):
    """Nobody said anything, or nobody called the assistant."""


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
        self._told = ""

    async def hold(
        self, file: Path | None, fleet: str | None, budget_s: float
    ) -> tuple[TalkResult, Audio | None]:
        """One request and its spoken answer (None when nothing was spoken); returns when that was heard.

        Raises :class:`TandemError` for sound that cannot be used, when nothing was said, or when the fleet cannot answer.
        """
        sound = None if file is None else read(file)
        async with connect(fleet, budget_s=budget_s) as connection:
            return await self.turn(connection, sound, wake=self.wake, prompt="Listening …")

    async def turn(
        self,
        connection: Connection,
        sound: Audio | None,
        *,
        wake: bool,
        prompt: str = "",
        patience_s: float | None = None,
        answer_s: float | None = None,
    ) -> tuple[TalkResult, Audio | None]:
        """The same on an open connection; ``prompt`` is printed once the microphone is open, which it is no more while
        the answer is heard.

        Raises :class:`NothingHeard` also when nothing has been said after ``patience_s`` seconds, and ``DeadlineExceeded``
        when the answer does not go on for ``answer_s``.
        """
        # First of all: while PortAudio looks for devices, whatever is written to standard error is lost.
        playback = await self._open_mouth() if self._aloud else None
        try:
            async with _listening(connection, sound) as source:
                if sound is None and prompt:
                    self.remark(prompt)
                door = connection.peer(FrontDoor, at=str(connection.front_door))
                pieces = door.converse(source, session=self._session, wake=wake, whole=sound is not None)
                result, spoken = await self._follow(
                    pieces, playback, wake=wake, patience_s=patience_s, answer_s=answer_s
                )
            if playback is not None:
                self._explain(await _heard(playback) if spoken else "the answer was not spoken")
        finally:
            if playback is not None:
                playback.silence()
        return result, concat(spoken) if spoken else None

    async def _open_mouth(self) -> Playback | None:
        try:
            return Playback(await self._loudspeaker.get())
        except TandemError as error:
            self._explain(in_words(error))
            return None

    def remark(self, words: str) -> None:
        """Something about the conversation, for who reads along."""
        if self._narrate:
            print(words, file=sys.stderr, flush=True)

    async def _follow(
        self,
        pieces: AsyncGenerator[TalkPiece, None],
        playback: Playback | None,
        *,
        wake: bool,
        patience_s: float | None,
        answer_s: float | None,
    ) -> tuple[TalkResult, list[Audio]]:
        transcript, language, answer, timings = "", "", None, {}
        spoken: list[Audio] = []
        async for piece in _patiently(pieces, patience_s, answer_s):
            if piece.heard is not None:
                transcript, language = piece.heard.text, piece.heard.language
                self._tell("you:   ", transcript, again=not piece.heard.final)
            if piece.said is not None:
                self._tell("answer:", piece.said)
            if piece.answer is not None:
                answer = piece.answer
            if piece.sound is not None:
                spoken.append(from_pcm(piece.sound))
                if playback is not None:
                    playback.add(piece.sound)
            if piece.timings is not None:
                timings = piece.timings
        if answer is None:
            if wake:
                raise NothingHeard("no wake phrase was heard", hint='say "hey Jarvis" first, or leave out --wake')
            raise NothingHeard("no speech was heard", hint="check the microphone, or the recording")
        return _result(answer, timings or answer.timings, transcript, language), spoken

    def _tell(self, who: str, words: str, *, again: bool = False) -> None:
        """A line; ``again`` says that it is not final, and is shown only where it can be written over."""
        if not self._narrate or not words:
            return
        on_terminal = sys.stdout.isatty()
        if on_terminal:
            print(f"{CLEAR_LINE}{faint(who, True)} {words}", end="" if again else "\n", flush=True)
        elif not again:
            print(f"{who} {words}", flush=True)

    def _explain(self, problem: str) -> None:
        """Why nothing was to be heard, once for each reason."""
        if problem and problem != self._told:
            self._told = problem
            self.remark(f"(not played aloud: {problem}{self._instead})")


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


def _result(answer: Answer, timings: dict[str, float], transcript: str, language: str) -> TalkResult:
    return TalkResult(
        answer=answer.answer,
        intent=answer.intent,
        turn=answer.turn,
        timings=timings,
        transcript=transcript,
        language=language,
    )


@asynccontextmanager
async def _listening(connection: Connection, sound: Audio | None) -> AsyncIterator[str]:
    """A sound session of the microphone, or of ``sound``."""
    capture = connection.peer(Capture)
    source = await capture.open("microphone" if sound is None else "file")
    pushing = asyncio.create_task(_push(capture, source, sound))
    try:
        yield source
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        with contextlib.suppress(TandemError):
            await capture.close(source)


async def _push(capture: Capture, source: str, sound: Audio | None) -> None:
    if sound is None:
        return
    for pcm, last in _pieces(sound):
        await capture.push(source, pcm, last)


def _pieces(sound: Audio) -> Iterator[tuple[Pcm, bool]]:
    step = int(PUSH_S * sound.rate)
    for at in range(0, len(sound.samples), step):
        part = Audio(sound.samples[at : at + step], sound.rate)
        yield to_pcm(part), at + step >= len(sound.samples)


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
