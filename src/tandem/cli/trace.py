"""`tandem trace`: where the time of a turn went, hop by hop, over all machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nats.aio.client import Client

    from tandem.telemetry.tracing import Span
    from tandem.telemetry.waterfall import Row, TurnSummary

app = typer.Typer(add_completion=False, help="Where the time of a turn went, hop by hop.")

BAR_WIDTH = 32
MIN_BAR_WIDTH = 8
LAST = "last"
_COLOURS = {"ok": "cyan", "error": "red", "cancelled": "dim"}
NARROW_WIDTH = 100
"""Below it an agent's own time is left out."""


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
    from tandem.cli.nats_link import with_nats
    from tandem.events.traces import read_traces
    from tandem.telemetry.waterfall import summarise

    traces = await with_nats(read_traces)
    turns = sorted(map(summarise, traces.values()), key=lambda summary: summary.start)[-limit:]
    if json:
        print_json(turns)
    else:
        _show_turns(turns)


async def _one(turn: str, *, json: bool) -> None:
    from tandem.cli.fleet_file import print_json
    from tandem.cli.nats_link import with_nats
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

    spans = await with_nats(read)
    summary, rows = summarise(spans), waterfall(spans)
    if json:
        print_json({"turn": summary, "spans": rows})
    else:
        _show_waterfall(summary, rows)


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
        f"{summary.agents} agents, {summary.errors} errors (trace {summary.trace_id})",
        soft_wrap=True,
    )
    is_narrow = console.width < NARROW_WIDTH
    machines = max(len("MACHINE"), *(len(row.span.machine) for row in rows))
    numbers = ("AT", "SECONDS") if is_narrow else ("AT", "SECONDS", "OWN")
    names = max(2 * row.depth + len(row.span.name) + len(_outcome(row.span)) for row in rows)
    agents = min(20 if is_narrow else 40, max(len(row.span.agent) for row in rows))
    rest = console.width - names - agents - machines - len(numbers) * 8 - 4
    width = min(BAR_WIDTH, max(MIN_BAR_WIDTH, rest))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("HOP", no_wrap=True)
    table.add_column("AGENT", no_wrap=True, max_width=agents)
    table.add_column("MACHINE", no_wrap=True, min_width=machines)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True, min_width=7)
    table.add_column("", no_wrap=True, min_width=width)
    for row in rows:
        span = row.span
        colour = _COLOURS[span.status]
        table.add_row(
            f"{'  ' * row.depth}{escape(span.name)}[{colour}]{escape(_outcome(span))}[/]",
            span.agent,
            span.machine,
            *(f"{value:.4f}" for value in (row.offset_s, span.duration_s, row.self_s)[: len(numbers)]),
            f"[{colour}]{bar(row.offset_s, span.duration_s, summary.duration_s, width)}[/]",
        )
    console.print(table)


def _outcome(span: Span) -> str:
    """What is said behind the name of a hop that did not simply succeed."""
    if span.status == "error":
        return f" {span.attributes.get('error.type', 'error')}"
    return " withdrawn" if span.status == "cancelled" else ""


def bar(offset_s: float, duration_s: float, total_s: float, width: int = BAR_WIDTH) -> str:
    """A span's place in the whole as ``width`` characters at most, never empty."""
    scale = width / total_s if total_s > 1e-9 else 0.0
    begin = min(width - 1, max(0, round(offset_s * scale)))
    return " " * begin + "█" * max(1, min(width - begin, round(duration_s * scale)))
