"""`tandem hub`: the pages of the running fleet, and the key to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from tandem.hub.contract import Doors
    from tandem.supervise.api import AgentView

T = TypeVar("T")

ASK_S = 20.0

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The pages of the running fleet, and the key to them.")

Machine = Annotated[str, typer.Option("--machine", help="Of this machine's hub.", show_default="the first one here")]


@app.command("open")
def open_(
    machine: Machine = "",
    print_only: Annotated[bool, typer.Option("--print", help="Only print the address.")] = False,
) -> None:
    """Open the hub in a browser, signed in as the operator. The address works once, within two minutes; the session twelve hours.

    Example: tandem hub open --print
    """
    hub = _hub(machine)
    address = f"http://localhost:{hub.port}/login#{_ask(hub, lambda doors: doors.invite_browser())}"
    if print_only or not _browse(address):
        typer.echo(address)


@app.command("sign-out")
def sign_out(machine: Annotated[str, typer.Option("--machine", help="Only of this machine's hub.")] = "") -> None:
    """Sign every browser out of the hubs here, at once: of a lost laptop, or of a computer you forgot to lock.

    Example: tandem hub sign-out
    """
    for hub in _hubs(machine):
        ended = _ask(hub, lambda doors: doors.end_sessions())
        typer.echo(f"{ended} {'browser' if ended == 1 else 'browsers'} signed out of the hub of {hub.machine}.")


@app.command()
def token(machine: Machine = "") -> None:
    """Print a token for the hub's API, valid for five minutes.

    Example: curl -H "Authorization: Bearer $(tandem hub token)" -X POST localhost:9000/api/v1/agents/NLUAgent/restart
    """
    typer.echo(_token(_hub(machine)))


def _hub(machine: str) -> AgentView:
    return _hubs(machine)[0]


def _hubs(machine: str) -> list[AgentView]:
    """Raises :class:`NotFound` when no hub here serves HTTP."""
    from tandem.cli.local import require_running, statuses
    from tandem.core.errors import NotFound
    from tandem.core.paths import Home
    from tandem.hub.contract import HUB

    found, failures = statuses(Home.from_environment())
    require_running(found, failures)
    hubs = [
        view
        for status in found
        for view in status.agents
        if view.name == HUB and view.port is not None and machine in ("", view.machine)
    ]
    if not hubs:
        where = f"on {machine}" if machine else "here"
        raise NotFound(f"no {HUB} serves pages {where}", hint="give it `port: 9000` and `speaks: http` in the fleet file")
    return hubs


def _ask(hub: AgentView, question: Callable[[Doors], Awaitable[T]]) -> T:
    import asyncio

    from tandem.cli.asking import ask_hubs
    from tandem.hub.contract import Doors

    return asyncio.run(ask_hubs(Doors, question, ASK_S, hub.machine))


def _token(hub: AgentView) -> str:
    from tandem.core.paths import Home
    from tandem.security import Authority, Identity

    authority = Authority.open(Home.from_environment())
    identity = Identity(authority.machine(hub.machine).issue("operator", "operator"))
    return identity.token(f"{hub.name}@{hub.machine}")


def _browse(address: str) -> bool:
    import os
    import webbrowser

    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and webbrowser.open(address)
