"""`tandem graph`: who needs whom, and in which order agents start."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tandem.cli.fleet_file import FleetOption, JsonOption, fail, print_json, read_fleet, require_readable

app = typer.Typer(add_completion=False)


class Format(StrEnum):
    """What to draw for: a terminal, Mermaid (Markdown), Graphviz, or any browser."""

    TEXT = "text"
    MERMAID = "mermaid"
    DOT = "dot"
    SVG = "svg"


@app.callback(invoke_without_command=True)
def graph(
    around: Annotated[
        str | None,
        typer.Option("--around", help="Only what this agent needs and what needs it.", metavar="AGENT"),
    ] = None,
    wants: Annotated[bool, typer.Option("--wants", help="Also what agents merely want.")] = False,
    output: Annotated[Format, typer.Option("--format", help="text, mermaid, dot or svg.")] = Format.TEXT,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> None:
    """Show the dependency graph, level by level.

    Example: tandem graph --around Responder --format svg > responder.svg
    """
    from tandem.core.errors import NotFound
    from tandem.fleet import graph as drawing

    found = require_readable(read_fleet(fleet))
    try:
        centre = found.agent(around).id if around else None
    except NotFound as error:
        raise fail(error) from None
    drawn = drawing.graph_of(found, around=centre, wants=wants)
    if json:
        print_json(drawn)
    elif output is Format.MERMAID:
        typer.echo(drawing.mermaid(drawn, found))
    elif output is Format.DOT:
        typer.echo(drawing.dot(drawn, found))
    elif output is Format.SVG:
        from tandem.fleet.graph_svg import svg

        typer.echo(svg(drawn, found))
    else:
        typer.echo(drawing.text(drawn))
