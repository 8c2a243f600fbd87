"""`tandem trace`: where the time of a turn went, hop by hop, over all machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from nats.aio.client import Client

    from tandem.core.access import NatsAccess
    from tandem.telemetry.tracing import Span
    from tandem.telemetry.waterfall import Row, TurnSummary

    T = TypeVar("T")

app = typer.Typer(add_completion=False, help="Where the time of a turn went, hop by hop.")

CONNECT_S = 5.0
BAR_WIDTH = 32
LAST = "last"


@app.command()
def trace(
    turn: Annotated[
        str | None,
        typer.Argument(help="The turn's id, its first letters, or 'last'.", show_default="recent turns"),
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many turns to list.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Show every hop of a turn: agent, machine and seconds. Without TURN list recent turns. Traces are kept for an hour.

    Example: tandem trace last
    """
    import asyncio

    asyncio.run(_recent(limit, json=json) if turn is None else _one(turn, json=json))


async def _recent(limit: int, *, json: bool) -> None:
    from tandem.cli.fleet_file import print_json
    from tandem.events.traces import read_traces
    from tandem.telemetry.waterfall import summarise

    traces = await _with_nats(read_traces)
    turns = sorted(map(summarise, traces.values()), key=lambda summary: summary.start)[-limit:]
    if json:
        print_json(turns)
    else:
        _show_turns(turns)


async def _one(turn: str, *, json: bool) -> None:
    from tandem.cli.fleet_file import print_json
    from tandem.core.errors import NotFound
    from tandem.events.traces import read_traces, read_turn
    from tandem.telemetry.waterfall import summarise, waterfall

    async def read(client: Client) -> list[Span]:
        if turn != LAST:
            return await read_turn(client, turn)
        traces = await read_traces(client)
        if not traces:
            raise NotFound("no turns in the last hour")
        return max(traces.values(), key=lambda spans: summarise(spans).start)

    spans = await _with_nats(read)
    summary, rows = summarise(spans), waterfall(spans)
    if json:
        print_json({"turn": summary, "spans": rows})
    else:
        _show_waterfall(summary, rows)


async def _with_nats(read: Callable[[Client], Awaitable[T]]) -> T:
    """Let ``read`` ask the first machine of this computer whose NATS answers; each has the traces of all."""
    import nats.errors

    from tandem.core.errors import Unreachable
    from tandem.events import Connection

    problem: Exception | None = None
    for access in _accesses():
        connection = Connection(access, "trace")
        connection.start()
        try:
            return await read(await connection.client(CONNECT_S))
        except (nats.errors.Error, Unreachable, TimeoutError) as error:
            problem = error
        finally:
            await connection.close()
    raise Unreachable(f"no NATS server answers: {problem}", hint="tandem status shows the servers")


def _accesses() -> list[NatsAccess]:
    """How this computer's operator reaches the NATS servers of the machines that run here."""
    from tandem.cli.local import require_running, statuses
    from tandem.core.paths import Home
    from tandem.fleet.model import InfraPorts
    from tandem.infra import nats_access
    from tandem.security import Authority
    from tandem.security.machine import NODE

    home = Home.from_environment()
    found, failures = statuses(home)
    require_running(found, failures)
    authority = Authority.open(home)
    ports = {
        status.machine: service.port
        for status in found
        for service in status.services
        if service.name == "nats"
    }
    return [
        nats_access(authority.machine(machine), InfraPorts(nats=port, leaf=0, monitor=0, join=0), NODE)
        for machine, port in ports.items()
        if port
    ]


def _show_turns(turns: list[TurnSummary]) -> None:
    from datetime import datetime

    from rich.table import Table

    from tandem.cli.views import make_console

    console = make_console()
    if not turns:
        console.print("No turns in the last hour.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("TURN", "STARTED", "NAME"):
        table.add_column(heading)
    for heading in ("SECONDS", "HOPS", "AGENTS", "ERRORS"):
        table.add_column(heading, justify="right")
    for turn in turns:
        started = datetime.fromtimestamp(turn.start).astimezone().strftime("%H:%M:%S")
        errors = f"[red]{turn.errors}[/]" if turn.errors else "0"
        table.add_row(
            turn.turn, started, turn.name, f"{turn.duration_s:.3f}", str(turn.spans), str(turn.agents), errors
        )
    console.print(table)


def _show_waterfall(summary: TurnSummary, rows: list[Row]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from tandem.cli.views import make_console

    console = make_console()
    console.print(
        f"[bold]{summary.turn}[/] {escape(summary.name)}: {summary.duration_s:.3f} s, {summary.spans} hops, "
        f"{summary.agents} agents, {summary.errors} errors (trace {summary.trace_id})"
    )
    table = Table(box=None, pad_edge=False)
    for heading in ("HOP", "AGENT", "MACHINE"):
        table.add_column(heading)
    for heading in ("AT", "SECONDS", "OWN"):
        table.add_column(heading, justify="right")
    table.add_column("", no_wrap=True)
    for row in rows:
        span = row.span
        colour = "red" if span.status == "error" else "cyan"
        problem = (
            f" [red]{escape(str(span.attributes.get('error.type', 'error')))}[/]"
            if span.status == "error"
            else ""
        )
        table.add_row(
            f"{'  ' * row.depth}{escape(span.name)}{problem}",
            span.agent,
            span.machine,
            f"{row.offset_s:.4f}",
            f"{span.duration_s:.4f}",
            f"{row.self_s:.4f}",
            f"[{colour}]{bar(row.offset_s, span.duration_s, summary.duration_s)}[/]",
        )
    console.print(table)


def bar(offset_s: float, duration_s: float, total_s: float, width: int = BAR_WIDTH) -> str:
    """A span's place in the whole as ``width`` characters at most, never empty."""
    scale = width / total_s if total_s > 1e-9 else 0.0
    begin = min(width - 1, max(0, round(offset_s * scale)))
    return " " * begin + "█" * max(1, min(width - begin, round(duration_s * scale)))
