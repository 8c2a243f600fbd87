"""`tandem talk`: say something to the assistant, and hear its answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from tandem.core.errors import InvalidArguments

app = typer.Typer(add_completion=False, help=__doc__)


class TalkResult(Struct, frozen=True, kw_only=True):
    """What ``--json`` prints; ``timings`` are seconds by stage."""

    answer: str
    intent: str
    turn: str
    timings: dict[str, float]
    transcript: str
    language: str


@app.command("talk")
def talk(
    file: Annotated[
        Path | None, typer.Argument(help="WAV, FLAC, MP3 or Ogg, any rate; without it: the microphone.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the spoken answer to this WAV file.")
    ] = None,
    wake: Annotated[bool, typer.Option("--wake", help="Wait for the wake phrase before listening.")] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "-f",
            "--follow",
            help="Stay until Ctrl-C: answer whatever follows the wake phrase, said over an answer, too, and print what is said "
            "unasked.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    session: Annotated[str, typer.Option(help="Which conversation this belongs to.")] = "main",
    fleet: Annotated[str | None, typer.Option("--fleet", help="The fleet file.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the whole answer.", min=0.1)] = 120.0,
) -> None:
    """Say something to the assistant, and hear its answer. Without a file it listens until you pause.

    Example: tandem talk question.wav --out answer.wav; tandem talk --follow
    """
    from tandem_agents.commands.hands_free import stay
    from tandem_agents.commands.talking import Conversation, require_writable, write

    if out is not None:
        if follow:
            raise InvalidArguments("--out writes one answer, --follow gives many", hint="leave out one of them")
        require_writable(out)
    conversation = Conversation(
        session=session,
        wake=wake,
        narrate=not as_json,
        aloud=out is None and (follow or not as_json),
        instead="" if follow else "--out FILE writes the sound",
    )
    if follow:
        asyncio.run(stay(conversation, file, fleet, timeout, as_json=as_json))
        return
    result, speech = asyncio.run(conversation.hold(file, fleet, timeout))
    try:
        if out is not None:
            write(out, speech)
    finally:
        # The answer is there, whatever became of its sound; whoever reads it finds the file complete.
        if as_json:
            typer.echo(msgspec.json.encode(result).decode())
