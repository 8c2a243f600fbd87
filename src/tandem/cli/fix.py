"""`tandem fix`: careful mends for what `tandem audit` finds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tandem.audit.fix.plan import Plan

app = typer.Typer(add_completion=False)


@app.command()
def fix(
    path: Annotated[Path, typer.Argument(help="The tree to mend, or one file.")] = Path(),
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="Only mends for this rule. May be repeated.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the certain changes.")] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Show the changes and suggestions; this is the default.")
    ] = False,
    bus_only: Annotated[
        bool,
        typer.Option(
            "--bus-only", help="Second step for errors: drop ZeroMQ sends that reach the bus as well."
        ),
    ] = False,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Leave out paths of this pattern. May be repeated.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 when there is a certain change to make.")
    ] = False,
) -> None:
    """Show what can be mended safely, and with --write do it. Suggestions are never written.

    Example: tandem fix old-fleet --rule hardcoded-address --write
    """
    from tandem.cli.fleet_file import fail
    from tandem.core.errors import ConfigError, TandemError, Unavailable

    try:
        from tandem.audit.fix.plan import FIXABLE, plan
    except ModuleNotFoundError as error:
        missing = Unavailable(f"tandem fix needs {error.name}", hint="pip install 'tandem-fleet[audit]'")
        raise fail(missing) from None
    try:
        if not path.exists():
            raise ConfigError(f"there is no {path}")
        found = plan(path, rule or FIXABLE, exclude=tuple(exclude or ()), bus_only=bus_only)
    except TandemError as error:
        raise fail(error) from None
    for notice in found.notices:
        typer.echo(f"Note: {notice}", err=True)
    if diff or not write:
        _show(found)
    if write:
        _write(found)
    raise typer.Exit(1 if check and found.changes else 0)


def _show(found: Plan) -> None:
    """The certain changes as a patch; suggestions behind it, as comments that ``git apply`` skips."""
    from tandem.audit.fix.patch import diff as render

    for change in found.changes:
        typer.echo(f"# {', '.join(change.rules)}")
        typer.echo(render(change), nl=False)
    for change in found.suggestions:
        typer.echo(f"# suggestion, never written: {', '.join(change.rules)}")
        for line in render(change).splitlines():
            typer.echo(f"#   {line}")
    words = f"{len(found.changes)} files with certain changes, {len(found.suggestions)} with suggestions"
    typer.echo(words, err=True)


def _write(found: Plan) -> None:
    from tandem.audit.fix import patch

    if not found.changes:
        typer.echo("Nothing to write.", err=True)
        return
    undo = patch.undo_file(found.root)
    undo.write_bytes(patch.patch(found.changes))
    try:
        patch.write(found.root, found.changes)
    except (OSError, RuntimeError) as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    typer.echo(
        f"Changed {len(found.changes)} files. Undo with: git -C {found.root} apply -R {undo}", err=True
    )
