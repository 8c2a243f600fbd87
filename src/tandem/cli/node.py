"""`tandem node`: the processes that hold each machine together, and replacing the node by a newer one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tandem.core.paths import Home
    from tandem.supervise.api import MachineStatus

app = typer.Typer(
    add_completion=False, help="Show the keeper, node and zygote of each machine.", invoke_without_command=True
)

PATIENCE_S = 60.0
_POLL_S = 0.05


@app.callback()
def node(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Show the keeper, node and zygote of each machine, and where their files are.

    Example: tandem node
    """
    if context.invoked_subcommand is None:
        _show(json)


@app.command()
def upgrade(json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False) -> None:
    """Replace the node (and the zygote) of every machine here by what is installed now. Agents serve on untouched.

    The keeper stays; agents get the new code with their next restart.

    Example: tandem node upgrade
    """
    from tandem.cli.fleet_file import print_json
    from tandem.cli.local import all_agents, require_running, statuses
    from tandem.core.paths import Home

    home = Home.from_environment()
    found, failures = statuses(home)
    require_running(found, failures)
    before = {f"{view.name}@{view.machine}": view.pid for view in all_agents(found)}
    rows = [
        {"machine": status.machine, "before": status.pid, "after": replace_node(home, status)} for status in found
    ]
    after = {f"{view.name}@{view.machine}": view.pid for view in all_agents(statuses(home)[0])}
    moved = sorted(name for name, pid in before.items() if after.get(name) != pid)
    if json:
        print_json({"machines": rows, "restarted_agents": moved})
        return
    for row in rows:
        typer.echo(f"{row['machine']}: node {row['before']} replaced by {row['after']}")
    kept = sum(pid is not None for pid in after.values()) - len(moved)
    typer.echo(f"{kept} agents serve on" + (f"; restarted meanwhile: {', '.join(moved)}" if moved else ""))


def replace_node(home: Home, status: MachineStatus) -> int:
    """Make the keeper replace the machine's node; the pid of the new one, once that answers.

    Raises :class:`~tandem.core.errors.Unreachable` when it does not.
    """
    from tandem.core.errors import TandemError, Unreachable
    from tandem.fleet import load
    from tandem.supervise.api import AskStatus, MachineStatus
    from tandem.supervise.boot import hidden_in, keeper_config
    from tandem.supervise.keeper_client import post
    from tandem.supervise.node_client import ask
    from tandem.supervise.wire import ReplaceNode

    fleet = load(Path(status.fleet_file)).fleet
    if fleet is None:
        raise Unreachable(f"{status.fleet_file} cannot be read", hint="tandem config validate")
    dirs = home.machine(status.machine)
    config = keeper_config(home, status.machine, fleet, hidden_in(fleet))
    post(dirs.keeper_socket, ReplaceNode(node=config.node, zygote=config.zygote))
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            answer = ask(dirs, status.machine, AskStatus(), 5.0)
        except TandemError:
            pass  # it is between the two
        else:
            if isinstance(answer, MachineStatus) and answer.pid != status.pid:
                return answer.pid
        time.sleep(_POLL_S)
    raise Unreachable(f"the new node of {status.machine} does not answer", hint="tandem logs node")


def _show(json: bool) -> None:
    from tandem.cli.fleet_file import print_json
    from tandem.core.errors import TandemError
    from tandem.core.paths import Home
    from tandem.supervise.keeper_client import ask_listing
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
