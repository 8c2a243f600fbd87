"""The logs of machines that are other computers, asked of their nodes over the link."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import typer

from tandem.core.errors import TandemError
from tandem.core.ids import new_id

if TYPE_CHECKING:
    from tandem.events import Connection
    from tandem.supervise.log_reader import Line
    from tandem.supervise.remote_logs import LogFilter

T = TypeVar("T")

CONNECT_S = 5.0


class RemoteLogs:
    """A connection for as long as the block lasts; what cannot be asked is said once and left out.

    ``known``: names that ever wrote anything on the machines that answered.
    """

    def __init__(self, machines: Iterable[str], chosen: set[str] | None, passing: LogFilter):
        self.known: set[str] = set()
        self._machines = list(machines)
        self._chosen = chosen
        self._passing = passing
        self._mark = new_id()
        self._silent: set[str] = set()
        self._runner: asyncio.Runner | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._connection is not None:
            self._run(self._connection.close())
        if self._runner is not None:
            self._runner.close()

    def read(self, earliest: str | None, lines: int) -> list[Line]:
        """The newest ``lines`` of every machine since ``earliest``, in order of time."""
        return self._ask(earliest, lines)

    def read_new(self) -> list[Line]:
        """What came since the last question."""
        return self._ask(None, 0)

    def _ask(self, earliest: str | None, lines: int) -> list[Line]:
        if not self._machines:
            return []
        return self._run(self._ask_all(earliest, lines))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(work)

    async def _ask_all(self, earliest: str | None, lines: int) -> list[Line]:
        answers = await asyncio.gather(*(self._ask_one(machine, earliest, lines) for machine in self._machines))
        return sorted((line for answer in answers for line in answer), key=lambda line: line.ts)

    async def _ask_one(self, machine: str, earliest: str | None, lines: int) -> list[Line]:
        from tandem.supervise.remote_logs import LogQuestion, ask_for_logs

        names = None if self._chosen is None else sorted(self._chosen)
        question = LogQuestion(names=names, earliest=earliest, passing=self._passing, lines=lines, mark=self._mark)
        try:
            answer = await ask_for_logs(await (await self._connected()).client(CONNECT_S), machine, question)
        except TandemError as error:
            self._say_once(machine, str(error))
            return []
        self._silent.discard(machine)
        self.known.update(answer.known)
        if answer.left_out:
            typer.echo(f"{machine}: {answer.left_out} older lines are left out; narrow it with --since or --grep", err=True)
        return answer.lines

    async def _connected(self) -> Connection:
        from tandem.cli.nats_link import nats_accesses
        from tandem.events import Connection

        if self._connection is None:
            self._connection = Connection(nats_accesses()[0], "logs")
            self._connection.start()
        return self._connection

    def _say_once(self, machine: str, why: str) -> None:
        if machine not in self._silent:
            self._silent.add(machine)
            typer.echo(f"{machine} is left out: {why}", err=True)
