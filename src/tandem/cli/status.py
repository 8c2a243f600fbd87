"""`tandem status`: one honest picture of every machine, server and agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tandem.core.errors import TandemError
    from tandem.fleet import Fleet
    from tandem.supervise.api import AgentView, LinkView, MachineStatus, ServiceView
    from tandem.supervise.made_of import MadeOf

app = typer.Typer(add_completion=False, help="Show every machine, server and agent.")

EXIT_NOT_RUNNING = 3
"""As the LSB has it for "program is not running"."""

_STYLE = {
    "healthy": "green", "degraded": "yellow", "unhealthy": "red", "starting": "cyan", "waiting": "cyan",
    "backoff": "red", "failed": "red", "invalid": "red", "draining": "magenta", "stopping": "magenta", "stopped": "dim",
}  # fmt: skip


@app.command()
def status(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these: Name or Name@machine.", metavar="[NAME]...")
    ] = None,
    group: Annotated[str | None, typer.Option("--group", help="Only this group.")] = None,
    fleet: Annotated[
        Path | None, typer.Option("--fleet", help="The fleet file, for machines that are not here.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Show every machine, server and agent. Agents in trouble come with their exit cause, last lines and what is next.

    Exit status 0 when every wanted agent is up, 1 when one is not, 3 when nothing runs.

    Example: tandem status --json
    """
    from tandem.cli.fleet_file import print_json
    from tandem.cli.local import all_agents, identify, require_running, statuses
    from tandem.core.ids import AgentId
    from tandem.core.paths import Home
    from tandem.supervise.node_client import NotRunning

    found, failures = statuses(Home.from_environment())
    written = _written(fleet, found)
    elsewhere = _elsewhere(written, found)
    views = [view for view in all_agents(found) if group in (None, view.group)]
    if names and found:
        chosen = set(identify(found, names))
        views = [view for view in views if AgentId.of(view.name, view.machine) in chosen]
    if json:
        print_json(_as_json(found, failures, elsewhere, views))
    else:
        try:
            require_running(found, failures)
        except NotRunning as error:
            typer.echo(f"Nothing runs here. Start it: {error.hint}")
            raise typer.Exit(EXIT_NOT_RUNNING) from None
        _show(found, failures, elsewhere, views, apart(found, written))
    if not found:
        raise typer.Exit(EXIT_NOT_RUNNING if all(isinstance(e, NotRunning) for e in failures.values()) else 1)
    broken = any(not isinstance(error, NotRunning) for error in failures.values())
    raise typer.Exit(
        1 if broken or any(view.verdict in ("pending", "trouble") for view in views if view.required) else 0
    )


def _written(explicit: Path | None, found: list[MachineStatus]) -> Fleet | None:
    """The fleet file as it is now, however much is wrong with it."""
    from tandem.fleet import find_fleet_file, load

    path = explicit or (Path(found[0].fleet_file) if found and found[0].fleet_file else find_fleet_file())
    return load(path).draft if path.exists() else None


def _elsewhere(fleet: Fleet | None, found: list[MachineStatus]) -> list[dict[str, Any]]:
    """Machines of the fleet file that are other computers: nobody here can tell how they are."""
    known = {status.machine for status in found}
    machines = fleet.machines.values() if fleet is not None else ()
    return [
        {"name": m.name, "host": m.host, "state": "down" if m.is_here else "remote", "pid": None}
        for m in machines
        if m.name not in known
    ]


def _as_json(
    found: list[MachineStatus],
    failures: dict[str, TandemError],
    elsewhere: list[dict[str, Any]],
    views: list[AgentView],
) -> dict[str, Any]:
    from tandem.supervise.node_client import NotRunning

    machines: list[dict[str, Any]] = [
        {"name": s.machine, "host": s.host, "state": "up", "pid": s.pid} for s in found
    ]
    listed = {s.machine for s in found} | {m["name"] for m in elsewhere}
    for name, error in failures.items():
        if name not in listed and not isinstance(error, NotRunning):
            machines.append({"name": name, "host": None, "state": "unreachable", "pid": None})
    return {
        "machines": machines + elsewhere,
        "links": [{"from": status.machine, **_row(link, "machine", "state", "since_s", "round_trip_s", "clock_ahead_s")}
                  for status in found for link in status.links],
        "services": [_row(service, "name", "machine", "state", "pid", "port", "ready_after_s", "restarts", "issues",
                          "usage")
                     for status in found for service in status.services],
        "agents": [_row(view, "name", "machine", "group", "state", "pid", "port", "ready_after_s", "restarts", "issues",
                        "note", "exit", "breaker", "usage")
                   for view in views],
    }  # fmt: skip


def _row(view: AgentView | ServiceView | LinkView, *fields: str) -> dict[str, Any]:
    return {field: getattr(view, field) for field in fields}


def _show(
    found: list[MachineStatus],
    failures: dict[str, TandemError],
    elsewhere: list[dict[str, Any]],
    views: list[AgentView],
    differing: list[str],
) -> None:
    from tandem.cli.security_trail import refused_lately
    from tandem.cli.views import agent_table, make_console, show_servers, show_troubles
    from tandem.core.paths import Home
    from tandem.supervise.node_client import NotRunning

    console = make_console()
    for status in found:
        servers = ", ".join(f"{s.name} [{_STYLE.get(s.state, '')}]{s.state}[/]" for s in status.services)
        console.print(
            f"[bold]{status.machine}[/] node {status.pid}, keeper {status.keeper_pid}, up {_age(status.up_s)}; {servers}"
        )
        if status.note:
            console.print(f"  [yellow]{status.note}[/]")
        for link in status.links:
            console.print(f"  {_describe(link)}")
    for machine in elsewhere:
        where = f"on {machine['host']}" if machine["host"] else "here"
        console.print(f"[bold]{machine['name']}[/] {machine['state']} ({where})")
    for name, error in failures.items():
        if not isinstance(error, NotRunning):
            console.print(f"[bold]{name}[/] [red]{error}[/]")
    for line in differing:
        console.print(f"[yellow]{line}[/]")
    console.print(agent_table(views, _STYLE, console.width))
    counts: dict[str, int] = {}
    for view in views:
        counts[view.state] = counts.get(view.state, 0) + 1
    console.print(", ".join(f"{count} {state}" for state, count in counts.items()) or "no agents")
    show_troubles(console, [view for view in views if view.verdict == "trouble" or view.issues])
    show_servers(console, [server for status in found for server in status.services])
    if refused := refused_lately(Home.from_environment()):
        console.print(f"[yellow]{refused} refused within the last hour[/]: tandem machine trail --denied")


def apart(found: list[MachineStatus], fleet: Fleet | None) -> list[str]:
    """A line for each machine that is made of something else than the first one here, and what mends it.

    Nothing of a machine that cannot be asked, and nothing while a rollout is under way.
    """
    if any(status.busy for status in found):
        return []
    made = {status.machine: status.made for status in found}
    here = set(made)
    for link in (link for status in found for link in status.links):
        if link.made is not None:
            made.setdefault(link.machine, link.made)
    names = list(made)
    return [line for other in names[1:] if (line := _difference(names[0], other, made, here, fleet))]


def _difference(one: str, other: str, made: dict[str, MadeOf], here: set[str], fleet: Fleet | None) -> str:
    """How two machines differ and what to do about it; empty when they do not."""
    from tandem.supervise.made_of import differences

    differing = differences(made[one], made[other])
    if not differing:
        return ""
    founder = next(iter(fleet.machines), one) if fleet is not None else one
    behind = one if other == founder else other
    if other in here:
        way = "both become what the fleet file and the code are now: tandem plan, then tandem apply"
    else:
        at = "" if founder in here else f" on {founder}"
        there = ("here", "tandem apply") if behind in here else ("over there", "tandem apply there")
        way = f"to bring {behind} the same: tandem machine invite {behind}{at}, its command {there[0]}, then {there[1]}"
    runs = " and ".join(f"{name} (release {made[name].release})" for name in (one, other))
    return f"{runs} differ in {', '.join(differing)}; {way}"


_LINK = {
    "up": "[green]linked[/]",
    "silent": "[yellow]silent: the computer is there, its node says nothing[/]",
    "cut": "[red]cut off[/]",
    "never": "[dim]not heard of yet[/]",
}


def _describe(link: LinkView) -> str:
    from tandem.supervise.link_state import SKEW_S

    words = f"{link.machine}: {_LINK[link.state]} for {_age(link.since_s)}"
    if link.round_trip_s is not None:
        words += f", round trip {link.round_trip_s * 1e3:.1f} ms"
    if link.clock_ahead_s is not None and abs(link.clock_ahead_s) > SKEW_S:
        side = "ahead of" if link.clock_ahead_s > 0 else "behind"
        words += f", [yellow]its clock is {abs(link.clock_ahead_s):.1f} s {side} ours: synchronise both (NTP)[/]"
    return words


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
