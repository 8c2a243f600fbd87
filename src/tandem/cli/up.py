"""`tandem up`: from nothing to a healthy fleet."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tandem.cli.main import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from tandem.cli.bringing_up import Outcome
    from tandem.fleet import Fleet

app = typer.Typer(add_completion=False, help="Start the fleet, or what of it is not running.")

DEFAULT_TIMEOUT_S = 180.0


@app.command()
def up(
    group: Annotated[str | None, typer.Option("--group", help="Only this group, and what it needs.")] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.0, help="Seconds until it gives up waiting.")
    ] = DEFAULT_TIMEOUT_S,
    fleet: Annotated[
        Path | None,
        typer.Option("--fleet", help="The fleet file; by default $TANDEM_FLEET, else ./fleet.yaml."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="One bad agent makes the whole fleet unusable.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Start every machine of the fleet that is this computer, and wait until its agents are up.

    Running agents are left alone, so calling it twice does no harm. Ctrl-C ends what this call has started. Agents
    that cannot come up are listed with the reason; the others run on, and the exit status is 1.

    Example: tandem up --group speech_services
    """
    began_at = time.monotonic()
    from tandem.cli.fleet_file import read_fleet, show_problems
    from tandem.core.errors import EX_CONFIG
    from tandem.supervise import prestart

    try:
        result = read_fleet(fleet, strict=strict)
        show_problems(result.diagnostics)
        if result.fleet is None:
            raise typer.Exit(EX_CONFIG)
        outcome = _bring_up(result.fleet, group, timeout, began_at, quiet=json)
    finally:
        prestart.let_go()
    from tandem.cli import up_report

    if json:
        up_report.print_result(outcome)
    else:
        up_report.show(outcome)
    raise typer.Exit(0 if outcome.ok else 1)


def _bring_up(fleet: Fleet, group: str | None, timeout: float, began_at: float, *, quiet: bool) -> Outcome:
    from tandem.cli.bringing_up import BringingUp
    from tandem.cli.up_report import Display

    work = BringingUp(fleet, group, began_at, timeout)
    display = Display(fleet, quiet=quiet)
    try:
        work.start()
        display.begin(work)
        return work.follow(display.progress)
    except KeyboardInterrupt:
        display.end()
        typer.echo(f"\nInterrupted: {work.undo()}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        display.end()
