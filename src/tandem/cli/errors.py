"""`tandem errors`: what went wrong, why, and who takes care of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from tandem.errors import ErrorReport, Severity
    from tandem.errors.desk import IncidentView
    from tandem.events import Connection
    from tandem.hub import Incidents

    T = TypeVar("T")

app = typer.Typer(add_completion=False, help="What went wrong, why, and who takes care of it.")

BUDGET_S = 30.0
DAY_S = 86_400.0

Name = Annotated[str, typer.Argument(help="The incident's id or its last letters, or its key.")]
Note = Annotated[str, typer.Option("--note", "-m", help="Why; kept with the incident.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Agent = Annotated[str, typer.Option("--agent", help="Only of this agent, or Name@machine.")]
Since = Annotated[str, typer.Option("--since", help="How far back: 90s, 15m, 2h, 7d.")]
Severe = Annotated[
    str, typer.Option("--at", help="At least so severe: debug, info, warning, error, critical.")
]


@app.command("list")
def list_(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Only those that contain all of these: in cause, agents, types, key, note.", metavar="[WORD]..."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is over.")] = False,
    state: Annotated[str, typer.Option("--state", help="live, open, acknowledged, snoozed, resolved or all.")] = "live",
    at: Severe = "debug",
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many at most.")] = 50,
    json: JsonFlag = False,
) -> None:
    """List incidents with their probable cause, the latest first.

    Example: tandem errors list Responder --at error
    """
    from tandem.cli.errors_view import show_page
    from tandem.core.errors import InvalidArguments
    from tandem.errors.listing import MAX_WORDS, IncidentQuery, state_of

    wanted = "all" if everything else state_of(state)
    if wanted is None:
        raise InvalidArguments(f"{state!r} is no state", hint="live, open, acknowledged, snoozed, resolved or all")
    query = IncidentQuery(
        words=" ".join(words or ())[:MAX_WORDS], state=wanted, severity=_least(at), order="last", limit=limit
    )
    page = _ask(lambda hub: hub.search_incidents(query))
    _print(page.incidents, json, lambda _incidents: show_page(page))


@app.command()
def show(name: Name, json: JsonFlag = False) -> None:
    """Show an incident: cause, reach, reports, alerts sent.

    Example: tandem errors show k3v9
    """
    from tandem.cli.errors_view import show_incident

    _print(_ask(lambda hub: hub.show_incident(name)), json, show_incident)


@app.command()
def ack(name: Name, note: Note = "", json: JsonFlag = False) -> None:
    """Say that you take care of an incident: no further alerts, no escalation.

    Example: tandem errors ack k3v9 -m "looking into it"
    """
    _decided(_ask(lambda hub: hub.acknowledge_incident(name, note)), json)


@app.command()
def snooze(
    name: Name,
    span: Annotated[str, typer.Argument(help="How long: 15m, 2h, 1d.")],
    note: Note = "",
    json: JsonFlag = False,
) -> None:
    """Silence an incident for a while; then it is open again.

    Example: tandem errors snooze k3v9 2h
    """
    seconds = seconds_of(span)
    _decided(_ask(lambda hub: hub.snooze_incident(name, seconds, note)), json)


@app.command()
def resolve(name: Name, note: Note = "", json: JsonFlag = False) -> None:
    """Say that an incident is over; the same error makes a new one.

    Example: tandem errors resolve k3v9
    """
    _decided(_ask(lambda hub: hub.resolve_incident(name, note)), json)


@app.command()
def reopen(name: Name, note: Note = "", json: JsonFlag = False) -> None:
    """Take back an acknowledgement, a snooze or a resolution.

    Example: tandem errors reopen k3v9
    """
    _decided(_ask(lambda hub: hub.reopen_incident(name, note)), json)


@app.command()
def stats(since: Since = "1d", json: JsonFlag = False) -> None:
    """Count errors by severity, agent and type.

    Example: tandem errors stats --since 7d
    """
    from tandem.cli.errors_view import show_stats

    seconds = seconds_of(since)
    _print(_ask(lambda hub: hub.error_stats(seconds)), json, show_stats)


@app.command()
def replay(since: Since = "7d", json: JsonFlag = False) -> None:
    """Count reports that are stored and were not counted, for example after an older incident store was restored.

    Nothing counts twice.

    Example: tandem errors replay --since 2h
    """
    from tandem.cli.fleet_file import print_json

    seconds = seconds_of(since)
    fresh = _ask(lambda hub: hub.replay_errors(seconds))
    if json:
        print_json({"counted": fresh})
    else:
        typer.echo(f"{fresh} reports counted that were not before.")


@app.command()
def migrate(
    phase: Annotated[str, typer.Option("--phase", help="dual, nats-only or off.")],
    json: JsonFlag = False,
) -> None:
    """Move an old ZeroMQ error bus out, phase by phase: dual serves it, nats-only still hears it, off closes its port.

    An error that comes on both buses counts once.

    Example: tandem errors migrate --phase nats-only
    """
    from tandem.cli.fleet_file import print_json
    from tandem.core.errors import InvalidArguments
    from tandem.errors.legacy import Phase

    if phase not in set(Phase):
        raise InvalidArguments(f"{phase!r} is no phase", hint="dual, nats-only or off")
    before = _ask(lambda hub: hub.migrate_errors(Phase(phase)))
    if json:
        print_json({"before": before, "now": phase})
    else:
        typer.echo(f"The old error bus was in phase {before} and is now in {phase}.")


@app.command()
def tail(
    since: Since = "15m",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes.")] = False,
    agent: Agent = "",
    at: Severe = "debug",
    json: Annotated[bool, typer.Option("--json", help="One report per line.")] = False,
) -> None:
    """Show single reports of all machines as they are stored, oldest first. Needs no hub.

    Example: tandem errors tail --agent Responder --at error -f
    """
    from tandem.cli.errors_view import report_line
    from tandem.cli.nats_link import with_connection
    from tandem.core import clock

    least = _least(at)
    begin = clock.wall() - seconds_of(since)

    async def write(reports: list[ErrorReport]) -> None:
        for report in reports:
            if report.severity.rank >= least.rank and agent in ("", report.agent, report.origin):
                typer.echo(report_line(report, json=json))

    async def read(connection: Connection) -> None:
        from tandem.errors import feed

        if follow:
            await feed.follow(connection, begin, write)
        else:
            async for reports in feed.read_stored(await connection.client(), begin):
                await write(reports)

    asyncio.run(with_connection(read))


def seconds_of(span: str) -> float:
    """``90s``, ``15m``, ``2h``, ``7d`` or a number of seconds. Raises :class:`InvalidArguments` for anything else."""
    import re

    from tandem.core.errors import InvalidArguments

    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", span.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise InvalidArguments(f"{span!r} is no span of time", hint="write 90s, 15m, 2h or 7d")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": DAY_S}[match[2]]


def _least(word: str) -> Severity:
    from tandem.core.errors import InvalidArguments
    from tandem.errors import Severity

    least = Severity.parse(word)
    if least is None:
        raise InvalidArguments(f"{word!r} is no severity", hint="debug, info, warning, error or critical")
    return least


def _ask(question: Callable[[Incidents], Awaitable[T]]) -> T:
    from tandem.cli.asking import ask_hub

    return asyncio.run(ask_hub(question, BUDGET_S))


def _print(found: T, json: bool, show_it: Callable[[T], None]) -> None:
    from tandem.cli.fleet_file import print_json

    if json:
        print_json(found)
    else:
        show_it(found)


def _decided(incident: IncidentView, json: bool) -> None:
    from tandem.cli.errors_view import show_incidents

    _print([incident], json, show_incidents)
