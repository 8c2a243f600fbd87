"""`tandem apply`: bring the running fleet to the fleet file and code as they are now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tandem.cli.fleet_file import FleetOption, JsonOption, print_json

if TYPE_CHECKING:
    from tandem.core.paths import Home
    from tandem.fleet.model import Fleet
    from tandem.release.prepare import Prepared
    from tandem.supervise.rollout_api import ReleaseStatus

app = typer.Typer(
    add_completion=False, help="Bring the running fleet to the fleet file and code as they are now."
)


@app.command()
def apply(
    fleet: FleetOption = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="rolling, blue-green (group by group) or canary.")
    ] = "rolling",
    min_healthy: Annotated[
        float, typer.Option("--min-healthy", min=0, help="Seconds a new instance has to be well.")
    ] = 5.0,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Agents at once; by default a quarter.")
    ] = None,
    max_failures: Annotated[
        int, typer.Option("--max-failures", min=0, help="Agents that may fail before everything returns.")
    ] = 0,
    canary: Annotated[
        list[str] | None,
        typer.Option("--canary", help="Agents to try first; by default one.", show_default=False),
    ] = None,
    canary_time: Annotated[
        float, typer.Option("--canary-time", min=0, help="Seconds they serve beside the old ones.")
    ] = 60.0,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Pause after the canaries until `tandem rollout resume`.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make a release of the fleet file and the code, and roll it out agent by agent while the fleet serves on.

    First every changed agent is loaded aside with the new code: what cannot be imported or configured is refused with
    status 78 before anything is touched. A new instance that does not become ready, dies, is unwell or takes far too
    much memory is removed and everything returns to the release before (exit status 1). Ctrl-C only ends the
    watching: the rollout goes on; see `tandem rollout`.

    Example: tandem apply --strategy canary --canary NLUAgent
    """
    import msgspec

    from tandem.cli.release_views import show_plan
    from tandem.cli.releasing import others, readable_fleet, refuse_during_rotation, release_statuses
    from tandem.core.paths import Home
    from tandem.release.prepare import toward
    from tandem.supervise.rollout import Strategy

    home, wanted = Home.from_environment(), readable_fleet(fleet)
    told = {
        "kind": "canary" if canary else strategy, "min_healthy_s": min_healthy, "max_failures": max_failures,
        "canary_s": canary_time, "confirm": confirm,
    }  # fmt: skip
    try:
        chosen = msgspec.convert(told, type=Strategy)
    except msgspec.ValidationError as error:
        raise typer.BadParameter(f"--strategy: {error}") from None
    statuses = release_statuses(home, all_or_none=True)
    refuse_during_rotation(home, statuses)
    found = [toward(home, wanted, s, chosen, batch, _on(canary, s.machine), keep=True) for s in statuses]
    if not json:
        show_plan(found)
    work = [one for one in found if one.changes]
    _rehearse(home, wanted, work)
    finals = _roll(home, work, quiet=json)
    _finish(home, finals, others(wanted), json=json)


def _on(canaries: list[str] | None, machine: str) -> list[str]:
    return [name for name in canaries or [] if "@" not in name or name.endswith(f"@{machine}")]


def _rehearse(home: Home, fleet: Fleet, work: list[Prepared]) -> None:
    """Exits with 78 when a changed agent cannot be loaded with the new code; nothing has been touched then."""
    from tandem.core.errors import EX_CONFIG
    from tandem.release.rehearsal import rehearse
    from tandem.supervise.boot import environment, fleet_directory

    for one in work:
        new = one.plan.new
        agents = [new.fleet.agents[c.agent] for c in one.changes if c.how not in ("stop", "adopt")]
        wrong = rehearse(agents, new.release.code, environment(home), str(fleet_directory(fleet)))
        for agent, why in wrong.items():
            typer.echo(f"Error: {agent} cannot be loaded: {why}", err=True)
        if wrong:
            typer.echo("  nothing was touched; the fleet runs on as it is", err=True)
            raise typer.Exit(EX_CONFIG)


def _roll(home: Home, work: list[Prepared], *, quiet: bool) -> list[ReleaseStatus]:
    """One machine after the other. When one returns, or is not heard of again, those before it are taken back as well."""
    from tandem.cli.release_views import LiveRollout
    from tandem.cli.releasing import carry_out, is_paused, is_through
    from tandem.core.errors import TandemError
    from tandem.release.prepare import reverse
    from tandem.supervise.rollout_api import Roll

    through: list[Prepared] = []
    finals: list[ReleaseStatus] = []

    def take_back() -> list[ReleaseStatus]:
        ways = [reverse(done) for done in reversed(through)]
        return [carry_out(home, way.machine, Roll(plan=way.plan), live.news) for way in ways]

    with LiveRollout(quiet=quiet) as live:
        for one in work:
            try:
                final = carry_out(home, one.machine, Roll(plan=one.plan), live.news)
            except TandemError:
                take_back()
                raise
            finals.append(final)
            if is_through(final, one):
                through.append(one)
                continue
            if not is_paused(final):
                finals += take_back()
            break
    return finals


def _finish(home: Home, finals: list[ReleaseStatus], notes: list[str], *, json: bool) -> None:
    from tandem.cli.release_views import status_json, verdict
    from tandem.release.store import Store
    from tandem.supervise.rollout import Course

    Store(home).prune([target.release for s in finals for target in (s.current, *s.proven)])
    views = [status.rollout for status in finals if status.rollout is not None]
    well = all(view.course in (Course.DONE, Course.PAUSED) for view in views)
    if json:
        print_json([status_json(status) for status in finals])
    else:
        for view in views:
            typer.echo(verdict(view))
        for note in notes if well else ():
            typer.echo(note)
    raise typer.Exit(0 if well else 1)
