"""`tandem ports`: who listens where, how full the ranges are, and what clashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tandem.cli.fleet_file import FleetOption, JsonOption, fail, print_json, read_fleet, show_problems

if TYPE_CHECKING:
    from tandem.core.errors import NotFound
    from tandem.fleet import Fleet, LoadResult
    from tandem.fleet.ports import Listener

app = typer.Typer(add_completion=False)

_CODES = ("port-conflict", "port-range", "port-offset")


@app.callback(invoke_without_command=True)
def ports(
    context: typer.Context,
    fleet: FleetOption = None,
    machine: Annotated[str | None, typer.Option("--machine", help="Only this machine.")] = None,
    json: JsonOption = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="A page for the documentation, without offset and addresses.")
    ] = False,
) -> None:
    """Show the port matrix of every host. Exit status 78 when ports clash or leave their ranges.

    Example: tandem ports --machine pc2
    """
    if context.invoked_subcommand is not None:
        return
    result = read_fleet(fleet)
    found = _readable(result)
    if machine is not None and machine not in found.machines:
        raise fail(_no_machine(machine, found))
    if json:
        print_json(_matrix(found, result))
    elif markdown:
        from tandem.fleet.ports_doc import render

        typer.echo(render(found), nl=False)
    else:
        _show(found, machine)
    _finish(result, quiet=json or markdown)


@app.command()
def check(fleet: FleetOption = None, json: JsonOption = False) -> None:
    """Judge only the ports. Exit status 78 when any clash or leave their machine's ranges.

    Example: tandem ports check --fleet fleet.yaml
    """
    from tandem.fleet.ports import listeners

    result = read_fleet(fleet)
    found = _readable(result)
    if json:
        print_json(_matrix(found, result))
    _finish(result, quiet=json)
    if not json:
        taken = listeners(found)
        hosts = len({listener.host for listener in taken})
        typer.echo(f"{len(taken)} ports on {hosts} host{'' if hosts == 1 else 's'}, none clashes.")


def _readable(result: LoadResult) -> Fleet:
    from tandem.core.errors import EX_CONFIG

    if result.draft is None:
        show_problems(result.diagnostics)
        raise typer.Exit(EX_CONFIG)
    return result.draft


def _no_machine(name: str, fleet: Fleet) -> NotFound:
    from tandem.core.errors import NotFound
    from tandem.fleet.diagnostics import did_you_mean

    return NotFound(f'there is no machine "{name}"', hint=did_you_mean(name, fleet.machines) or None)


def _finish(result: LoadResult, *, quiet: bool) -> None:
    from tandem.core.errors import EX_CONFIG

    problems = [found for found in result.diagnostics if found.code in _CODES]
    if problems and not quiet:
        show_problems(problems)
    if problems:
        raise typer.Exit(EX_CONFIG)


def _matrix(fleet: Fleet, result: LoadResult) -> dict[str, Any]:
    from tandem.fleet.ports import listeners, usage

    return {
        "port_offset": fleet.port_offset,
        "listeners": sorted(listeners(fleet)),
        "ranges": [
            {"machine": found.machine, "range": str(found.range), "used": found.used, "free": found.free}
            for found in usage(fleet)
        ],
        "problems": [found for found in result.diagnostics if found.code in _CODES],
    }


def _show(fleet: Fleet, machine: str | None) -> None:
    from tandem.cli.views import make_console
    from tandem.fleet.model import HERE
    from tandem.fleet.ports import listeners

    by_host: dict[str, list[Listener]] = {}
    for listener in sorted(listeners(fleet)):
        if machine in (None, listener.machine):
            by_host.setdefault(listener.host, []).append(listener)
    console = make_console()
    if fleet.port_offset:
        console.print(f"PORT_OFFSET moves every port by {fleet.port_offset}.")
    for host, found in by_host.items():
        machines = ", ".join(dict.fromkeys(listener.machine for listener in found))
        console.print(f"\n[bold]{'this computer' if host == HERE else host}[/bold] ({machines})")
        console.print(_table(found))
    _show_ranges(fleet, machine)


def _table(found: list[Listener]) -> Any:
    from collections import Counter

    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    counts = Counter(listener.port for listener in found)
    table = Table("port", "owner", "machine", "for", box=SIMPLE_HEAD, pad_edge=False)
    for listener in found:
        style = "bold red" if counts[listener.port] > 1 else None
        owner = listener.agent.partition("@")[0] or "(server)"
        table.add_row(str(listener.port), owner, listener.machine, listener.purpose, style=style)
    return table


def _show_ranges(fleet: Fleet, machine: str | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tandem.cli.views import make_console
    from tandem.fleet.ports import usage

    table = Table("machine", "range", "used", "free", "gaps", box=SIMPLE_HEAD, pad_edge=False)
    for found in usage(fleet):
        if machine in (None, found.machine):
            gaps = [str(gap) for gap in found.gaps()]
            shown = ", ".join(gaps[:6]) + (f", {len(gaps) - 6} more" if len(gaps) > 6 else "")
            table.add_row(found.machine, str(found.range), str(len(found.used)), str(found.free), shown)
    if table.row_count:
        make_console().print(table)
