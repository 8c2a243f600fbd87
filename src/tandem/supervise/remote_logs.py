"""Logs of a machine that is another computer: its node reads them for whoever may speak as a node there.

On ``logs.<machine>`` a question is answered once. Who follows asks again under the same mark: the node keeps the reader
of that mark, so each answer goes on where the last one ended.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from tandem.core import clock
from tandem.core.errors import InvalidArguments, TandemError, Unreachable
from tandem.core.paths import Home
from tandem.events import Connection
from tandem.supervise.log_reader import Line, LogReader

log = logging.getLogger("tandem.node")

ANSWER_BYTES = 512 * 1024
"""Most an answer carries, half of what the server takes in a message; the newest lines win."""
ANSWER_S = 10.0
READERS = 16
READER_IDLE_S = 60.0
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class LogFilter(Struct, frozen=True, kw_only=True):
    """Which lines: at least of ``level``, matching the regular expression ``grep``; empty: all."""

    level: str = ""
    grep: str = ""

    def compiled(self) -> Callable[[Line], bool]:
        """Whether a line passes. Raises :class:`InvalidArguments` for a wrong expression or an unknown level."""
        try:
            pattern = re.compile(self.grep) if self.grep else None
        except re.error as error:
            raise InvalidArguments(f"--grep {self.grep!r} is no regular expression: {error}") from error
        if self.level and self.level.upper() not in LEVELS:
            raise InvalidArguments(f"--level {self.level!r} is none of {', '.join(LEVELS)}")
        least = LEVELS.index(self.level.upper()) if self.level else 0

        def passes(line: Line) -> bool:
            rank = LEVELS.index(line.level) if line.level in LEVELS else 1
            return rank >= least and (pattern is None or pattern.search(line.text) is not None)

        return passes


class LogQuestion(Struct, frozen=True, kw_only=True):
    """The newest ``lines`` (0: all that fit) of ``names`` (None: everybody) since ``earliest``, RFC 3339.

    With a ``mark`` that was used before: what was written since then.
    """

    names: list[str] | None = None
    earliest: str | None = None
    passing: LogFilter = LogFilter()
    lines: int = 0
    mark: str = ""


class LogAnswer(Struct, frozen=True, kw_only=True):
    """``left_out``: lines that did not fit. ``known``: names that have ever written there. ``error``: why there is nothing."""

    lines: list[Line] = []
    left_out: int = 0
    known: list[str] = []
    error: str = ""


class _Following(Struct):
    reader: LogReader
    used_at: float


def subject(machine: str) -> str:
    """Where a machine's node is asked for its logs. Agents may not publish there."""
    return f"logs.{machine}"


class LogService:
    """The answering side, in a node."""

    def __init__(self, connection: Connection, home: Home, machine: str):
        self._home = home
        self._machine = machine
        self._following: dict[str, _Following] = {}
        self._decode = msgspec.msgpack.Decoder(LogQuestion).decode
        connection.listen(self._listen)

    async def _listen(self, client: Client) -> None:
        try:
            await client.subscribe(subject(self._machine), cb=self._asked)
        except (nats.errors.Error, OSError) as error:
            log.warning("nobody can ask for logs: %s", error)

    async def _asked(self, message: Msg) -> None:
        try:
            answer = await asyncio.to_thread(self.answer, self._decode(message.data))
        except (TandemError, msgspec.MsgspecError, OSError) as error:
            answer = LogAnswer(error=str(error))
        try:
            await message.respond(msgspec.msgpack.encode(answer))
        except (nats.errors.Error, OSError) as error:
            log.warning("an answer about logs was lost: %s", error)

    def answer(self, question: LogQuestion) -> LogAnswer:
        """Read and choose. Raises :class:`InvalidArguments` for a filter that cannot be."""
        passes = question.passing.compiled()
        chosen = None if question.names is None else set(question.names)
        known = self._following.get(question.mark)
        if known is not None:
            known.used_at = clock.monotonic()
            found: Iterable[Line] = known.reader.read_new()
            reader = known.reader
        else:
            reader = LogReader(self._home, chosen, machines=[self._machine])
            found = reader.read(question.earliest)
            self._keep(question.mark, reader)
        lines = [line for line in found if passes(line)]
        wanted = lines[-question.lines :] if question.lines else lines
        fitting = _newest_that_fit(wanted)
        return LogAnswer(lines=fitting, left_out=len(wanted) - len(fitting), known=reader.names())

    def _keep(self, mark: str, reader: LogReader) -> None:
        """Remember a follower; forget those that went away without a word."""
        now = clock.monotonic()
        for old in [m for m, kept in self._following.items() if now - kept.used_at > READER_IDLE_S]:
            del self._following[old]
        if mark and len(self._following) < READERS:
            self._following[mark] = _Following(reader, now)


def _newest_that_fit(lines: list[Line]) -> list[Line]:
    room, at = ANSWER_BYTES, len(lines)
    while at and room >= (size := len(lines[at - 1].text.encode()) + 64):
        room -= size
        at -= 1
    return lines[at:]


async def ask_for_logs(client: Client, machine: str, question: LogQuestion, timeout_s: float = ANSWER_S) -> LogAnswer:
    """What the node of ``machine`` answers. Raises :class:`Unreachable` when it is out of reach or refuses."""
    try:
        message = await client.request(subject(machine), msgspec.msgpack.encode(question), timeout=timeout_s)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise Unreachable(f"the logs of {machine} cannot be read from here: {error or 'no answer'}") from error
    answer = msgspec.msgpack.decode(message.data, type=LogAnswer)
    if answer.error:
        raise Unreachable(f"the logs of {machine}: {answer.error}")
    return answer
