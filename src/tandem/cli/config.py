"""`tandem config`: judge, show, explain, convert and describe the fleet file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tandem.cli.fleet_file import (
    FleetOption,
    JsonOption,
    fail,
    print_json,
    read_fleet,
    require_readable,
    show_problems,
)

if TYPE_CHECKING:
    from tandem.fleet import Fleet
    from tandem.fleet.explain import Explained
    from tandem.fleet.shapes import Kept

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Judge, show, explain, convert and describe the fleet file."
)


@app.command()
def validate(
    fleet: FleetOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    classes: Annotated[
        bool,
        typer.Option("--classes/--no-classes", help="Import the agents' classes and check their settings."),
    ] = True,
    json: JsonOption = False,
) -> None:
    """Report every problem of the fleet file at once. Exit status 78 when there are errors.

    Example: tandem config validate --fleet fleet.yaml
    """
    from tandem.core.errors import EX_CONFIG

    result = read_fleet(fleet, classes=classes)
    good = result.ok and not (strict and result.diagnostics)
    if json:
        print_json({"ok": good, "diagnostics": result.diagnostics, "kept": result.kept})
    else:
        show_problems(result.diagnostics)
        if good and result.draft is not None:
            typer.echo(_summary(result.draft))
        _show_kept(result.kept)
    raise typer.Exit(0 if good else EX_CONFIG)


@app.command()
def show(fleet: FleetOption = None, json: JsonOption = False) -> None:
    """Show the fleet as it is understood: every default applied, every name and port final.

    Example: tandem config show --json
    """
    result = read_fleet(fleet)
    found = require_readable(result)
    if json:
        print_json(_redacted(found))
        return
    typer.echo(_summary(found))
    for machine in found.machines.values():
        typer.echo(f"  {machine.placement()}")
    _show_table(found)


@app.command()
def explain(
    agent: Annotated[str, typer.Argument(help="Name, or Name@machine.")],
    key: Annotated[str | None, typer.Argument(help="Only this key, such as settings.max_facts.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Defaults too.")] = False,
    fleet: FleetOption = None,
    json: JsonOption = False,
) -> None:
    """Show each value of an agent and where it came from: file and line, environment, or a default.

    With the key `env` also what its process gets from Tandem and from the shell of `tandem up`, here the one you are in.

    Example: tandem config explain NLUAgent port
    """
    from tandem.cli import environment
    from tandem.core.errors import NotFound
    from tandem.fleet import explain as explaining

    result = read_fleet(fleet)
    require_readable(result)
    try:
        if key is not None and environment.is_about_environment(key):
            rows = environment.explain_environment(result, agent, key)
        else:
            rows = explaining.explain(result, agent, key)
    except NotFound as error:
        raise fail(error) from None
    if json:
        print_json(
            [{"key": row.key, "value": _safe(row.key, row.value), "source": row.source} for row in rows]
        )
        return
    _show_explained(rows, everything or key is not None)


@app.command()
def convert(
    files: Annotated[list[Path], typer.Argument(help="Fleet files of any shape; several become one fleet.")],
    name: Annotated[str, typer.Option("--name", help="Name of the fleet.")] = "household",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of stdout.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write fleet files of the older shapes in ours. Keys without a meaning are kept as x-legacy and listed.

    Example: tandem config convert mainpc.yaml pc2.yaml -o fleet.yaml
    """
    from tandem.core.errors import EX_CONFIG
    from tandem.fleet.convert import convert as converting
    from tandem.fleet.diagnostics import has_errors
    from tandem.fleet.load import read_text

    sources, problems = [], []
    for file in files:
        text, problem = read_text(file)
        if text is not None:
            sources.append((str(file), text))
        if problem is not None:
            problems.append(problem)
    result = converting(sources, name)
    problems += result.diagnostics
    if json:
        print_json({"text": result.text, "kept": result.kept, "diagnostics": problems})
    else:
        show_problems(problems)
        _show_kept(result.kept)
    if has_errors(problems):
        raise typer.Exit(EX_CONFIG)
    if output is not None:
        output.write_text(result.text, encoding="utf-8")
    elif not json:
        typer.echo(result.text, nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the fleet file, for editors.

    Example: tandem config schema > fleet.schema.json
    """
    from tandem.fleet.schema import json_schema

    print_json(json_schema())


def _summary(fleet: Fleet) -> str:
    from tandem.fleet import plan

    machines = len(fleet.machines)
    agents = len(fleet.agents)
    return (
        f"{fleet.file}: fleet {fleet.name}, {agents} agent{'' if agents == 1 else 's'} in {len(fleet.groups)} "
        f"group{'' if len(fleet.groups) == 1 else 's'} on {machines} machine{'' if machines == 1 else 's'}, "
        f"{len(plan(fleet))} start levels"
    )


def _show_kept(kept: list[Kept]) -> None:
    """List legacy keys on stderr, equal names together."""
    if not kept:
        return
    by_key: dict[str, list[Kept]] = {}
    for one in kept:
        by_key.setdefault(one.path.rpartition(".")[2], []).append(one)
    typer.echo("Kept as x-legacy, without a meaning here:", err=True)
    for key, places in by_key.items():
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        typer.echo(f"  {key} (line {places[0].line}{more})", err=True)


def _show_table(fleet: Fleet) -> None:
    from rich.table import Table
    from rich.text import Text

    from tandem.cli.views import make_console
    from tandem.core.ids import AgentId

    console = make_console()
    width = max((len(agent.name) for agent in fleet.agents.values()), default=0)
    for group in fleet.groups.values():
        console.print(Text(f"\n{group.name} on {group.machine}", style="bold"))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(min_width=width + 2, no_wrap=True)
        grid.add_column(min_width=5, justify="right", no_wrap=True)
        grid.add_column()
        for agent in (fleet.agents[identity] for identity in group.agents):
            needs = ", ".join(AgentId(need).name for need in agent.needs)
            wants = ", ".join(AgentId(want).name for want in agent.wants)
            parts = [f"needs {needs}" if needs else "", f"wants {wants}" if wants else ""]
            grid.add_row(f"  {agent.name}", str(agent.port or ""), "; ".join(filter(None, parts)))
        console.print(grid)


def _show_explained(rows: list[Explained], everything: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from tandem.cli.views import make_console

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_column(no_wrap=True, style="dim")
    shown = [row for row in rows if everything or row.source.via != "default"]
    for row in shown:
        grid.add_row(row.key, Text(_plain(row.key, row.value)), str(row.source))
    console = make_console()
    console.print(grid)
    if len(shown) < len(rows):
        console.print(f"{len(rows) - len(shown)} more are defaults; --all shows them.", style="dim")


def _plain(key: str, value: Any) -> str:
    """A value for people: text as it is, the rest as JSON; secrets hidden."""
    import msgspec

    shown = _safe(key, value)
    return shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()


def _safe(key: str, value: Any) -> Any:
    """``value`` without what looks like a secret under ``key``."""
    from tandem.core.secret_refs import is_reference
    from tandem.security import REDACTED, redact

    if isinstance(value, dict):
        return {name: _safe(name, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_safe(key, inner) for inner in value]
    if isinstance(value, str) and value and not is_reference(value):
        last = key.rpartition(".")[2]
        return REDACTED if REDACTED in redact(f"{last}={value}") else value
    return value


def _redacted(fleet: Fleet) -> Any:
    import msgspec

    return _safe("", msgspec.to_builtins(fleet))
