"""`tandem plan`: what a changed fleet file or new code would do, before anything is done."""

from __future__ import annotations

from typing import Annotated

import typer

from tandem.cli.fleet_file import FleetOption, JsonOption, print_json

app = typer.Typer(add_completion=False, help="What a changed fleet file or new code would do to each agent.")


@app.command()
def plan(
    fleet: FleetOption = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Agents at once; by default a quarter.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare what runs with the fleet file and the code as they are now; nothing is touched.

    For each agent: whether it starts, stops, keeps its process, or is replaced, and how: surge (the new one beside the
    old one, which goes when the new one is well), handover (the new one prepares and starts when the old one has let
    go) or stop-first, with the reason. Exit status 0, whether something would change or not.

    Example: tandem plan
    """
    from tandem.cli.release_views import plan_json, show_plan
    from tandem.cli.releasing import others, readable_fleet, release_statuses
    from tandem.core.paths import Home
    from tandem.release.prepare import toward
    from tandem.supervise.rollout import Strategy

    home, wanted = Home.from_environment(), readable_fleet(fleet)
    found = [toward(home, wanted, s, Strategy(), batch, keep=False) for s in release_statuses(home)]
    if json:
        print_json(plan_json(found))
        return
    show_plan(found)
    for note in others(wanted):
        typer.echo(note)
