"""`tandem logs`: what every agent wrote, merged by time, whichever computer it runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tandem.core.paths import Home
    from tandem.fleet import Fleet
    from tandem.supervise.log_reader import Line

app = typer.Typer(add_completion=False, help="Show log lines of all agents, merged by time.")

FOLLOW_POLL_S = 0.2
REMOTE_POLL_S = 1.0


@app.command()
def logs(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Only these: Name or Name@machine; also nats, node, keeper.", metavar="[NAME]..."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what is written from now on.")
    ] = False,
    agent: Annotated[
        list[str] | None,
        typer.Option("--agent", help="The same as NAME, for scripts. Repeatable."),
    ] = None,
    group: Annotated[str | None, typer.Option("--group", help="Only agents of this group.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="10m, 2h, 1d, or a time such as 2026-01-31T12:00.")
    ] = None,
    grep: Annotated[
        str | None, typer.Option("--grep", help="Only lines that match this regular expression.")
    ] = None,
    level: Annotated[
        str | None, typer.Option("--level", help="At least DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    ] = None,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, help="At most so many of the newest lines; 0: all.")
    ] = 1000,
    local: Annotated[bool, typer.Option("--local", help="Leave other computers out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The stored JSON lines.")] = False,
) -> None:
    """Show log lines of all agents and servers, merged by time; of dead ones and rotated files too.

    Logs of a machine that is another computer come from its node, which has to run and be linked; one that cannot be
    asked is named on standard error, and the others are shown.

    Example: tandem logs NLUAgent; tandem logs -f --group speech_services --level WARNING
    """
    import heapq
    import sys
    import time
    from collections import deque

    from tandem.cli.elsewhere import RemoteLogs
    from tandem.core.paths import Home
    from tandem.supervise.log_reader import LogReader, parse_since
    from tandem.supervise.remote_logs import LogFilter

    home = Home.from_environment()
    passing = LogFilter(grep=grep or "", level=level or "")
    passes = passing.compiled()
    fleet = None if local and group is None else _fleet(home)
    chosen = _chosen([*(names or ()), *(agent or ())], group, fleet)
    earliest = parse_since(since) if since else None
    reader = LogReader(home, chosen)
    color = sys.stdout.isatty() and not json
    with RemoteLogs([] if local else _other_computers(fleet), chosen, passing) as others:
        far = others.read(earliest, lines)
        silent = {name: advice for name, advice in reader.silent().items() if name not in others.known}
        for name, advice in silent.items():
            typer.echo(f"{name!r} never wrote anything here. {advice}".rstrip(), err=True)
        near = (line for line in reader.read(earliest) if passes(line))
        found = deque(heapq.merge(near, far, key=lambda line: line.ts), lines or None)
        _print(found, json=json, color=color)
        if not (found or follow or silent):
            typer.echo("No line matches." if grep or level or since or chosen else "Nothing was logged yet.", err=True)
        asked_at = time.monotonic()
        while follow:
            new = [line for line in reader.read_new() if passes(line)]
            if time.monotonic() - asked_at >= REMOTE_POLL_S:
                new = sorted([*new, *others.read_new()], key=lambda line: line.ts)
                asked_at = time.monotonic()
            _print(new, json=json, color=color)
            time.sleep(FOLLOW_POLL_S)
    if silent.keys() - _names(fleet):
        raise typer.Exit(1)


def _print(lines: Iterable[Line], *, json: bool, color: bool) -> None:
    from tandem.telemetry.logs import render_plain

    for line in lines:
        typer.echo(line.text if json else render_plain(line.text, color=color))


def _fleet(home: Home) -> Fleet | None:
    """What the fleet file says, else what the running fleet's does; None without either, since logs outlive both."""
    from tandem.fleet import find_fleet_file, load
    from tandem.supervise.node_client import running_fleet_file

    path = find_fleet_file()
    found = path if path.exists() else running_fleet_file(home)
    return None if found is None else load(found).draft


def _names(fleet: Fleet | None) -> set[str]:
    """Of agents that may have had nothing to say yet, bare and with their machine."""
    return {name for agent in fleet.agents.values() for name in (agent.name, str(agent.id))} if fleet is not None else set()


def _other_computers(fleet: Fleet | None) -> list[str]:
    return [machine.name for machine in fleet.machines.values() if not machine.is_here] if fleet is not None else []


def _chosen(agents: list[str], group: str | None, fleet: Fleet | None) -> set[str] | None:
    """Names (bare or with their machine) to show; None means all."""
    if group is None:
        return set(agents) if agents else None
    from tandem.core.errors import NotFound
    from tandem.fleet.diagnostics import did_you_mean

    groups = fleet.groups if fleet is not None else {}
    if group not in groups:
        raise NotFound(f"there is no group {group!r}", hint=did_you_mean(group, groups) or None)
    return {*groups[group].agents, *agents}
