"""`tandem ask`: ask the assistant something in writing."""

from __future__ import annotations

import asyncio
import getpass
import sys
from datetime import datetime
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from tandem.api import connect
from tandem.core.deadline import deadline_scope
from tandem.core.errors import InvalidArguments
from tandem_agents.commands.terminal import waiting
from tandem_agents.core_services.contracts import Answer, FrontDoor

app = typer.Typer(add_completion=False, help="Ask the assistant something in writing.")

DEFAULT_TIMEOUT_S = 120.0


class Printed(Struct, frozen=True):
    """What ``--json`` prints; other programs rely on these names."""

    answer: str
    intent: str
    turn: str
    timings: dict[str, float]


@app.command()
def ask(
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="What to ask; `-` reads it from standard input."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the answer with its turn and timings.")
    ] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds to wait at most.", min=0.1)
    ] = DEFAULT_TIMEOUT_S,
    session: Annotated[str, typer.Option("--session", help="The conversation this belongs to.")] = "main",
    follow: Annotated[
        bool,
        typer.Option("-f", "--follow", help="Stay until Ctrl-C, and print what is said unasked: timers that ring, reminders."),
    ] = False,
    fleet: Annotated[str | None, typer.Option("--fleet", help="The fleet file.", show_default=False)] = None,
) -> None:
    """Ask the assistant something and print its answer.

    `tandem trace TURN` shows where the time of a turn went. With --follow TEXT may be left out.

    Example: tandem ask "what is 17 plus 25"; tandem ask -f "set a timer for 10 seconds"
    """
    question = read_question(text or []) if text or not follow else ""
    asyncio.run(_ask(question, session, timeout, fleet, follow=follow, as_json=as_json))


def read_question(words: list[str]) -> str:
    """The question on the command line or, for ``-``, on standard input.

    Raises :class:`InvalidArguments` for nothing and for bytes that are no UTF-8.
    """
    question = _read_stdin() if words == ["-"] else " ".join(words)
    if not question.strip():
        raise InvalidArguments("nothing was asked", hint='tandem ask "what time is it"')
    try:
        question.encode()
    except UnicodeEncodeError as error:
        # The shell hands over bytes; Python marks those that are no UTF-8 as lone surrogates.
        raise InvalidArguments(f"that is not text: {error.reason}", hint="send UTF-8") from None
    return question


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InvalidArguments(f"that is not text: {error}", hint="send UTF-8") from None


async def _ask(
    question: str, session: str, timeout: float, fleet: str | None, *, follow: bool, as_json: bool
) -> None:
    async with connect(fleet, budget_s=timeout) as fleet_connection:
        door = fleet_connection.peer(FrontDoor, fleet_connection.front_door)
        # Whoever asks for a timer of a second must not begin to listen after it.
        listening = asyncio.create_task(_listen(door, as_json)) if follow else None
        await asyncio.sleep(0)
        try:
            if question:
                async with waiting():
                    answer = await door.ask(question, session=session, user=getpass.getuser())
                _print(answer, as_json)
            if listening is not None:
                await listening
        finally:
            if listening is not None:
                listening.cancel()


def _print(answer: Answer, as_json: bool) -> None:
    if as_json:
        printed = Printed(answer.answer, answer.intent, answer.turn, answer.timings)
        typer.echo(msgspec.json.format(msgspec.json.encode(printed), indent=2).decode())
    else:
        typer.echo(answer.answer)


async def _listen(door: FrontDoor, as_json: bool) -> None:
    """Print announcements, one a line, for as long as the front door is there."""
    with deadline_scope(None):
        async for said in door.announcements():
            if as_json:
                typer.echo(msgspec.json.encode(said).decode())
            else:
                typer.echo(f"{datetime.fromtimestamp(said.at):%H:%M:%S}  {said.text}")
