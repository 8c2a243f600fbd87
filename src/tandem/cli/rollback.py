"""`tandem rollback`: return to an earlier release."""

from __future__ import annotations

from typing import Annotated

import typer

from tandem.cli.fleet_file import JsonOption, print_json

app = typer.Typer(add_completion=False, help="Return to an earlier release.")


@app.command()
def rollback(
    release: Annotated[
        str | None, typer.Argument(help="Its name or the beginning of it; by default the last proven one.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Bring every machine back to the release before, code and fleet file: the same path as `apply`, only faster.

    A release that has served well need not prove itself again. Once back, the same command goes one further.

    Example: tandem rollback
    """
    from tandem.cli.release_views import LiveRollout, show_plan, status_json, verdict
    from tandem.cli.releasing import carry_out, release_statuses
    from tandem.core.paths import Home
    from tandem.release.prepare import back
    from tandem.supervise.rollout import Course
    from tandem.supervise.rollout_api import Roll

    home = Home.from_environment()
    work = [back(home, status, release or "") for status in release_statuses(home, all_or_none=True)]
    if not json:
        show_plan(work)
    with LiveRollout(quiet=json) as live:
        finals = [carry_out(home, one.machine, Roll(plan=one.plan), live.news) for one in work]
    views = [final.rollout for final in finals if final.rollout is not None]
    if json:
        print_json([status_json(final) for final in finals])
    else:
        for view in views:
            typer.echo(verdict(view))
    raise typer.Exit(
        0
        if all(view.course is Course.DONE and not any(s.remark for s in view.steps) for view in views)
        else 1
    )
