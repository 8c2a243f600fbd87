"""`tandem rollout`: follow, pause, resume or abort what `tandem apply` has begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tandem.cli.fleet_file import JsonOption, print_json

if TYPE_CHECKING:
    from tandem.supervise.rollout_api import ReleaseStatus, Steering

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Follow, pause, resume or abort what `tandem apply` has begun.",
)


@app.command()
def status(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until it is over or paused.")] = False,
    json: JsonOption = False,
) -> None:
    """Show which release each machine runs, how far its rollout is, and where it could return to.

    Exit status 1 when the last rollout had to return or is stuck.

    Example: tandem rollout status --follow
    """
    from tandem.cli.releasing import release_statuses
    from tandem.core.paths import Home

    home = Home.from_environment()
    found = release_statuses(home)
    if follow:
        found = _follow([one.machine for one in found], quiet=json)
    _show(found, json=json)


@app.command()
def pause(json: JsonOption = False) -> None:
    """Stop after the batch that is under way; what is done stays.

    Example: tandem rollout pause
    """
    _steer("pause", json=json)


@app.command()
def resume(json: JsonOption = False) -> None:
    """Go on, and follow it to the end.

    Example: tandem rollout resume
    """
    _steer("resume", json=json)


@app.command()
def abort(json: JsonOption = False) -> None:
    """Break off at once and return everything to the release before; follow it to the end.

    Example: tandem rollout abort
    """
    _steer("abort", json=json)


def _steer(verb: Steering, *, json: bool) -> None:
    from tandem.cli.releasing import release_statuses
    from tandem.core.errors import TandemError
    from tandem.core.paths import Home
    from tandem.supervise.api import Refused
    from tandem.supervise.node_client import ask
    from tandem.supervise.rollout import ACTIVE
    from tandem.supervise.rollout_api import Steer

    home = Home.from_environment()
    machines = [one.machine for one in release_statuses(home) if one.rollout and one.rollout.course in ACTIVE]
    if not machines:
        raise TandemError("no rollout is under way", hint="tandem rollout status")
    for machine in machines:
        answer = ask(home.machine(machine), machine, Steer(verb=verb))
        if isinstance(answer, Refused):
            raise TandemError(answer.message, hint=answer.hint or None)
    found = release_statuses(home) if verb == "pause" else _follow(machines, quiet=json)
    _show(
        [one for one in found if one.machine in machines],
        json=json,
        wanted="returned" if verb == "abort" else "",
    )


def _follow(machines: list[str], *, quiet: bool) -> list[ReleaseStatus]:
    from tandem.cli.release_views import LiveRollout
    from tandem.cli.releasing import carry_out
    from tandem.core.paths import Home
    from tandem.supervise.rollout_api import Follow

    home = Home.from_environment()
    with LiveRollout(quiet=quiet) as live:
        return [carry_out(home, machine, Follow(), live.news) for machine in machines]


def _show(found: list[ReleaseStatus], *, json: bool, wanted: str = "") -> None:
    from tandem.cli.release_views import show_status, status_json
    from tandem.core.paths import Home
    from tandem.release.store import Store
    from tandem.supervise.rollout import Course

    stored = Store(Home.from_environment()).names()
    if json:
        print_json({"machines": [status_json(one) for one in found], "releases": stored})
    else:
        for one in found:
            show_status(one)
        if stored:
            typer.echo(f"releases on disk, newest first: {', '.join(stored)}")
    bad = {Course.RETURNED, Course.STUCK} - {wanted}
    raise typer.Exit(1 if any(one.rollout and one.rollout.course in bad for one in found) else 0)
