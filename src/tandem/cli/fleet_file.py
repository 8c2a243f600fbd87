"""What the verbs that read the fleet file share: the option that names it, and how its problems are shown."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from msgspec import Struct

    from tandem.core.errors import TandemError
    from tandem.fleet import Diagnostic, Fleet, LoadResult
    from tandem.fleet.check import MissingClass

FleetOption = Annotated[
    Path | None,
    typer.Option(
        "--fleet", help="The fleet file; by default $TANDEM_FLEET, else ./fleet.yaml.", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def read_fleet(fleet: Path | None, *, strict: bool = False, classes: bool = False) -> LoadResult:
    """Load the fleet file; with ``classes`` agents are imported and their settings checked."""
    from tandem.fleet import Surroundings, find_fleet_file, load

    path = find_fleet_file(fleet)
    if classes:
        # As for the agents themselves: a fleet's own modules are beside its file.
        sys.path.insert(0, str(path.absolute().parent))
    return load(path, Surroundings(strict=strict, schemas=import_settings if classes else None))


def show_problems(diagnostics: Iterable[Diagnostic]) -> None:
    """Write all of them to stderr, in colour on a terminal."""
    from tandem.fleet.render import render_all

    color = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    if text := render_all(diagnostics, color=color):
        typer.echo(text, err=True)


def require_readable(result: LoadResult) -> Fleet:
    """Everything that could be read of the fleet; shows its problems, and exits with 78 when there is nothing."""
    from tandem.core.errors import EX_CONFIG

    show_problems(result.diagnostics)
    if result.draft is None:
        raise typer.Exit(EX_CONFIG)
    return result.draft


def fail(error: TandemError) -> typer.Exit:
    """Show ``error`` on stderr; returns the exit to raise (78 for configuration, else 1)."""
    from tandem.core.errors import EX_CONFIG, ConfigError

    hint = f"\n  {error.hint}" if error.hint else ""
    typer.echo(f"Error: {error.message}{hint}", err=True)
    return typer.Exit(EX_CONFIG if isinstance(error, ConfigError) else 1)


def print_json(value: Any) -> None:
    """``value`` (Structs welcome) as indented JSON on stdout."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def import_settings(class_path: str) -> type[Struct] | MissingClass | None:
    """The Settings of the agent class at ``pkg.mod:Class``, by importing it; None when it declares none."""
    from msgspec import Struct

    from tandem.agent.load import load_agent_class
    from tandem.core.errors import ConfigError
    from tandem.fleet.check import MissingClass

    try:
        settings = getattr(load_agent_class(class_path), "Settings", None)
    except ConfigError as error:
        return MissingClass(error.message, _nearest_class(class_path) or error.hint or "")
    except Exception as error:
        return MissingClass(f"{class_path} cannot be imported: {type(error).__name__}: {error}")
    return settings if isinstance(settings, type) and issubclass(settings, Struct) else None


def _nearest_class(class_path: str) -> str:
    """A suggestion from the names that do exist where ``class_path`` points."""
    import importlib.util
    import pkgutil

    from tandem.fleet.diagnostics import did_you_mean

    module, _, name = class_path.partition(":")
    if module in sys.modules:
        return did_you_mean(
            name, (known for known, value in vars(sys.modules[module]).items() if isinstance(value, type))
        )
    package, _, last = module.rpartition(".")
    try:
        found = importlib.util.find_spec(package) if package else None
    except ModuleNotFoundError:
        return ""
    paths = (found.submodule_search_locations if found else None) or []
    return did_you_mean(last, (info.name for info in pkgutil.iter_modules(paths)))
