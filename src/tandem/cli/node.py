"""`tandem node`: the processes that hold each machine together."""

from __future__ import annotations

from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False, help="Show the keeper, node and zygote of each machine.")


@app.command()
def node(json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False) -> None:
    """Show the keeper, node and zygote of each machine, and where their files are.

    Example: tandem node
    """
    from tandem.cli.fleet_file import print_json
    from tandem.core.errors import TandemError
    from tandem.core.paths import Home
    from tandem.supervise.keeper_link import ask_listing
    from tandem.supervise.node_client import known_machines, why_unreachable

    home = Home.from_environment()
    rows: list[dict[str, Any]] = []
    for machine in known_machines(home):
        dirs = home.machine(machine)
        row: dict[str, Any] = {"machine": machine, "state": str(dirs.root), "run": str(dirs.run)}
        try:
            listing = ask_listing(dirs.keeper_socket)
        except OSError as error:
            row["problem"] = str(why_unreachable(dirs, machine, error))
        except TandemError as error:
            row["problem"] = str(error)
        else:
            row["keeper"] = listing.pid
            for unit in listing.units:
                if unit.kind in ("node", "zygote") and unit.exit is None:
                    row[unit.kind] = unit.pid
            row["processes"] = sum(unit.exit is None for unit in listing.units)
        rows.append(row)
    if json:
        print_json(rows)
        return
    typer.echo(f"home {home.root}")
    for row in rows:
        typer.echo(" ".join(f"{key}={value}" for key, value in row.items()))
