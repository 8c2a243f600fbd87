"""`tandem down`: nothing of the fleet is left on this computer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tandem.core.paths import Home

app = typer.Typer(add_completion=False, help="Stop everything on this computer and leave nothing behind.")

GONE_TIMEOUT_S = 30.0
_POLL_S = 0.01


@app.command()
def down(
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds for agents to end before everything gets KILL.")
    ] = 120.0,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Stop every agent (dependants first), then the servers, the node and the keeper, and verify that nothing is left.

    Works without the fleet file, and also when the node or the keeper has died.

    Example: tandem down
    """
    from tandem.cli.fleet_file import print_json
    from tandem.core.paths import Home
    from tandem.supervise.node_client import known_machines

    home = Home.from_environment()
    began_at = time.monotonic()
    pids = {machine: _pids(home, machine) for machine in known_machines(home)}
    running = _ask_nodes(home, timeout)
    remains = {machine: _finish(home, machine, pids[machine]) for machine in pids}
    left = {machine: what for machine, what in remains.items() if what}
    seconds = time.monotonic() - began_at
    if json:
        print_json({"ok": not left, "seconds": seconds, "stopped": running, "left": left})
    else:
        for machine, what in left.items():
            typer.echo(f"{machine}: still there: {', '.join(what)}", err=True)
        if not left:
            typer.echo(
                f"{', '.join(running) or 'Nothing'} stopped after {seconds:.2f} s; nothing is left."
                if running
                else "Nothing runs here."
            )
    raise typer.Exit(1 if left else 0)


def _ask_nodes(home: Home, timeout_s: float) -> list[str]:
    """Take down every machine whose node answers; the names of all that ran in any way."""
    from tandem.cli.local import open_all
    from tandem.core.errors import TandemError
    from tandem.supervise.api import TakeDown
    from tandem.supervise.keeper_client import ask_listing, tell
    from tandem.supervise.keeper_start import is_kept
    from tandem.supervise.leftovers import end_leftovers
    from tandem.supervise.node_client import follow, known_machines
    from tandem.supervise.wire import Shutdown

    machines = known_machines(home)
    kept = [machine for machine in machines if is_kept(home.machine(machine))]
    with_node = []
    for machine in kept:
        try:
            units = ask_listing(home.machine(machine).keeper_socket).units
        except (OSError, TandemError):
            continue
        if any(unit.kind == "node" and unit.exit is None for unit in units):
            with_node.append(machine)
    begun, _refused = open_all(home, with_node, lambda _machine: TakeDown())
    finals = follow(begun, lambda _machine, _answer: None, timeout_s)
    for machine in kept:
        if isinstance(finals.get(machine), TandemError | None):
            try:
                tell(home.machine(machine).keeper_socket, Shutdown(grace_s=5.0), GONE_TIMEOUT_S)
            except (OSError, TandemError) as error:
                typer.echo(f"{machine}: {error}", err=True)
    ended = [m for m in machines if m not in kept and end_leftovers(home.machine(m), 10.0)]
    return [*kept, *ended]


def _pids(home: Home, machine: str) -> list[tuple[int, int]]:
    """Every process the keeper has, with its start time."""
    from tandem.core.errors import TandemError
    from tandem.supervise import proc
    from tandem.supervise.keeper_client import ask_listing

    try:
        listing = ask_listing(home.machine(machine).keeper_socket)
    except (OSError, TandemError):
        return []
    living = [(unit.pid, unit.start_ticks) for unit in listing.units if unit.pid and unit.exit is None]
    return [(listing.pid, proc.start_ticks(listing.pid)), *living]


def _finish(home: Home, machine: str, pids: list[tuple[int, int]]) -> list[str]:
    """Wait until the machine is gone; what is not by then."""
    from tandem.supervise import proc
    from tandem.supervise.keeper_start import is_kept
    from tandem.supervise.leftovers import sockets_of

    dirs = home.machine(machine)
    until = time.monotonic() + GONE_TIMEOUT_S
    while True:
        left = [f"process {pid}" for pid, ticks in pids if proc.is_running(pid, ticks)]
        left += [f"socket {path}" for path in sockets_of(dirs)]
        if is_kept(dirs):
            left.append("the keeper's lock")
        if not left or time.monotonic() >= until:
            return left
        time.sleep(_POLL_S)
