"""`tandem start`, `stop` and `restart`: one agent or several, on whichever machine of this computer they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tandem.supervise.api import AgentView, Verb

start_app = typer.Typer(add_completion=False, help="Start agents.")
stop_app = typer.Typer(add_completion=False, help="Stop agents.")
restart_app = typer.Typer(add_completion=False, help="Restart agents.")

Names = Annotated[list[str], typer.Argument(help="Name, or Name@machine.", metavar="NAME...")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait until they are there.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]

_GOOD = {"start": ("up",), "restart": ("up",), "stop": ("off",)}


@start_app.command()
def start(names: Names, timeout: Timeout = 120.0, json: JsonFlag = False) -> None:
    """Start agents that were stopped or have failed, and wait until they are up.

    An agent whose needs are not up waits for them; they are not started for it.

    Example: tandem start Responder TTSService@mainpc
    """
    _order("start", names, timeout, json)


@stop_app.command()
def stop(names: Names, timeout: Timeout = 120.0, json: JsonFlag = False) -> None:
    """Stop agents: TERM, their grace, KILL; done when not a process of them is left. They stay stopped until started.

    Example: tandem stop ChitchatAgent
    """
    _order("stop", names, timeout, json)


@restart_app.command()
def restart(names: Names, timeout: Timeout = 120.0, json: JsonFlag = False) -> None:
    """Restart agents and wait until the new instances are up.

    Example: tandem restart NLUAgent
    """
    _order("restart", names, timeout, json)


def _order(verb: Verb, names: list[str], timeout_s: float, json: bool) -> None:
    from tandem.cli.fleet_file import print_json
    from tandem.cli.local import identify, open_all, require_running, statuses
    from tandem.core.errors import DeadlineExceeded, TandemError
    from tandem.core.paths import Home
    from tandem.supervise.api import Done, Order, Refused
    from tandem.supervise.node_client import follow

    home = Home.from_environment()
    found, failures = statuses(home)
    require_running(found, failures)
    wanted: dict[str, list[str]] = {}
    for identity in identify(found, names):
        wanted.setdefault(identity.machine, []).append(str(identity))
    begun, refused = open_all(home, wanted, lambda machine: Order(verb=verb, agents=wanted[machine]))
    finals = follow(begun, lambda _machine, _answer: None, timeout_s)
    views: list[AgentView] = []
    for machine in wanted:
        final = refused.get(machine) or finals.get(machine)
        if isinstance(final, Done):
            views += final.views
            for note in final.notes:
                typer.echo(note, err=True)
        elif isinstance(final, TandemError):
            raise final
        elif isinstance(final, Refused):
            raise TandemError(final.message, hint=final.hint or None)
        else:
            raise DeadlineExceeded(
                f"{', '.join(wanted[machine])}: not done after {timeout_s:g} s", hint="tandem status"
            )
    if json:
        print_json(
            {
                "agents": [
                    {"name": v.name, "machine": v.machine, "state": v.state, "pid": v.pid} for v in views
                ]
            }
        )
    else:
        for view in views:
            typer.echo(_line(view))
    raise typer.Exit(0 if all(view.verdict in _GOOD[verb] for view in views) else 1)


def _line(view: AgentView) -> str:
    parts = [f"{view.name}@{view.machine}: {view.state}"]
    if view.pid is not None:
        parts.append(f"pid {view.pid}")
    if view.ready_after_s is not None and view.verdict == "up":
        parts.append(f"ready after {view.ready_after_s:.2f} s")
    if view.verdict != "up" and view.note:
        parts.append(view.note)
    return ", ".join(parts)
