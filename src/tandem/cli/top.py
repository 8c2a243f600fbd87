"""`tandem top`: the fleet on one screen, live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tandem.cli.top_data import FleetSource
    from tandem.cli.top_model import Picture

app = typer.Typer(add_completion=False, help="The fleet on one screen, live.")

SECOND_LOOK_S = 1.0


@app.command()
def top(
    every: Annotated[float, typer.Option("--every", min=0.5, help="Seconds between two looks.")] = 2.0,
    json: Annotated[bool, typer.Option("--json", help="One look as JSON, without a screen.")] = False,
) -> None:
    """Show groups and agents with state, CPU, memory, request rate and restarts, and the latest incidents.

    Keys: s start, x stop, r restart, l or Enter logs, o sort, / filter, ? help, q quit. It needs a terminal and works over ssh.

    Example: tandem top
    """
    import asyncio
    import sys

    from tandem.cli.top_data import FleetSource
    from tandem.core.errors import TandemError
    from tandem.core.paths import Home

    source = FleetSource(Home.from_environment())
    if json:
        from tandem.cli.fleet_file import print_json

        print_json(asyncio.run(_one_look(source)))
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise TandemError("this needs a terminal", hint="tandem top --json, or tandem status")
    try:
        from tandem.cli.top_screen import Top
    except ModuleNotFoundError as error:
        if error.name != "textual":
            raise
        raise TandemError("the screen needs textual", hint="pip install 'tandem-fleet[tui]'") from None
    Top(source, every).run()


async def _one_look(source: FleetSource) -> Picture:
    """Rates need two looks."""
    import asyncio

    try:
        await source.look()
        await asyncio.sleep(SECOND_LOOK_S)
        return await source.look()
    finally:
        await source.close()
