"""The conversation behind ``tandem talk``: sound in, sound out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tandem.api import Connection, connect
from tandem.core.errors import InvalidArguments, NotFound, TandemError, Unavailable
from tandem_agents.audio_interface.contracts import Capture
from tandem_agents.commands.talk import TalkResult
from tandem_agents.commands.terminal import CLEAR_LINE, faint
from tandem_agents.core_services.contracts import Answer, FrontDoor
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
from tandem_agents.engines.optional import load_sounddevice

PUSH_S = 1.0
"""Seconds of sound handed in per call."""


class Conversation:
    """One spoken request and its answer. With ``narrate`` what is heard and answered is printed as it comes."""

    def __init__(self, *, session: str, wake: bool, narrate: bool):
        self._session = session
        self._wake = wake
        self._narrate = narrate

    async def hold(
        self, file: Path | None, fleet: str | None, budget_s: float
    ) -> tuple[TalkResult, Audio | None]:
        """The result and the spoken answer (None when nothing was spoken).

        Raises :class:`TandemError` for sound that cannot be used, when nothing was said, or when the fleet cannot answer.
        """
        sound = None if file is None else _read(file)
        async with connect(fleet, budget_s=budget_s) as connection:
            capture = connection.peer(Capture)
            source = await capture.open("microphone" if sound is None else "file")
            pushing = asyncio.create_task(_push(capture, source, sound))
            try:
                if sound is None and self._narrate:
                    print("Listening …", file=sys.stderr)
                return await self._follow(connection, source, whole=sound is not None)
            finally:
                pushing.cancel()
                await asyncio.gather(pushing, return_exceptions=True)
                with contextlib.suppress(TandemError):
                    await capture.close(source)

    async def _follow(
        self, connection: Connection, source: str, *, whole: bool
    ) -> tuple[TalkResult, Audio | None]:
        transcript, language, answer, timings = "", "", None, {}
        spoken: list[Audio] = []
        door = connection.peer(FrontDoor, at=str(connection.front_door))
        async for piece in door.converse(source, session=self._session, wake=self._wake, whole=whole):
            if piece.heard is not None:
                transcript, language = piece.heard.text, piece.heard.language
                self._tell("you:   ", transcript, again=not piece.heard.final)
            if piece.said is not None:
                self._tell("answer:", piece.said)
            if piece.answer is not None:
                answer = piece.answer
            if piece.sound is not None:
                spoken.append(from_pcm(piece.sound))
            if piece.timings is not None:
                timings = piece.timings
        if answer is None:
            if self._wake:
                raise NotFound("no wake phrase was heard", hint='say "hey Jarvis" first, or leave out --wake')
            raise NotFound("no speech was heard", hint="check the microphone, or the recording")
        return _result(answer, timings or answer.timings, transcript, language), concat(
            spoken
        ) if spoken else None

    def _tell(self, who: str, words: str, *, again: bool = False) -> None:
        """A line; ``again`` says that it is not final, and is shown only where it can be written over."""
        if not self._narrate or not words:
            return
        on_terminal = sys.stdout.isatty()
        if on_terminal:
            print(f"{CLEAR_LINE}{faint(who, True)} {words}", end="" if again else "\n", flush=True)
        elif not again:
            print(f"{who} {words}", flush=True)


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


def play(speech: Audio | None) -> str:
    """Play on the default output; why not, when that is not possible."""
    if speech is None:
        return "the answer was not spoken"
    try:
        sounddevice = load_sounddevice()
        sounddevice.play(speech.samples, speech.rate, blocking=True)
    except TandemError as error:
        return f"{error.message} ({error.hint})" if error.hint else error.message
    except ValueError as error:
        return str(error)
    except Exception as error:
        # PortAudioError cannot be named before the library is there, and derives from Exception itself.
        return f"{type(error).__name__}: {error}"
    return ""


def _result(answer: Answer, timings: dict[str, float], transcript: str, language: str) -> TalkResult:
    return TalkResult(
        answer=answer.answer,
        intent=answer.intent,
        turn=answer.turn,
        timings=timings,
        transcript=transcript,
        language=language,
    )


def _read(file: Path) -> Audio:
    try:
        return require_audible(read_file(file, rate=SPEECH_RATE))
    except OSError as error:
        raise InvalidArguments(f"cannot read {file}: {error.strerror}") from error
    except TandemError as error:
        raise type(error)(f"{file}: {error.message}", hint=error.hint) from error


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
