"""`tandem logs`: what every agent wrote, merged by time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tandem.supervise.log_reader import Line

app = typer.Typer(add_completion=False, help="Show log lines of all agents, merged by time.")

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FOLLOW_POLL_S = 0.2


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
        int, typer.Option("-n", "--lines", help="At most so many of the newest lines; 0: all.")
    ] = 1000,
    json: Annotated[bool, typer.Option("--json", help="The stored JSON lines.")] = False,
) -> None:
    """Show log lines of all agents and servers of this computer, merged by time; rotated files included.

    Example: tandem logs NLUAgent; tandem logs -f --group speech_services --level WARNING
    """
    import sys
    import time

    from tandem.core.paths import Home
    from tandem.supervise.log_reader import LogReader, parse_since

    chosen = _chosen([*(names or ()), *(agent or ())], group)
    earliest = parse_since(since) if since else None
    wanted = _filter(grep, level)
    reader = LogReader(Home.from_environment(), chosen)
    color = sys.stdout.isatty() and not json
    for name, advice in reader.silent().items():
        typer.echo(f"{name!r} never wrote anything here. {advice}".rstrip(), err=True)
    found = [line for line in reader.read(earliest) if wanted(line)]
    for line in found[-lines:] if lines else found:
        typer.echo(_render(line, json=json, color=color))
    while follow:
        for line in reader.read_new():
            if wanted(line):
                typer.echo(_render(line, json=json, color=color))
        time.sleep(FOLLOW_POLL_S)


def _chosen(agents: list[str], group: str | None) -> set[str] | None:
    """Names (bare or with their machine) to show; None means all."""
    if group is None:
        return set(agents) if agents else None
    from tandem.cli.fleet_file import read_fleet
    from tandem.core.errors import NotFound
    from tandem.fleet.diagnostics import did_you_mean

    fleet = read_fleet(None).draft
    groups = fleet.groups if fleet is not None else {}
    if group not in groups:
        raise NotFound(f"there is no group {group!r}", hint=did_you_mean(group, groups) or None)
    return {*groups[group].agents, *agents}


def _filter(grep: str | None, level: str | None) -> Callable[[Line], bool]:
    import re

    from tandem.core.errors import InvalidArguments

    try:
        pattern = re.compile(grep) if grep else None
    except re.error as error:
        raise InvalidArguments(f"--grep {grep!r} is no regular expression: {error}") from error
    if level is not None and level.upper() not in LEVELS:
        raise InvalidArguments(f"--level {level!r} is none of {', '.join(LEVELS)}")
    least = LEVELS.index(level.upper()) if level else 0

    def wanted(line: Line) -> bool:
        rank = LEVELS.index(line.level) if line.level in LEVELS else 1
        return rank >= least and (pattern is None or pattern.search(line.text) is not None)

    return wanted


def _render(line: Line, *, json: bool, color: bool) -> str:
    from tandem.telemetry.logs import render_plain

    return line.text if json else render_plain(line.text, color=color)
