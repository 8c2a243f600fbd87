"""Incidents and reports for people."""

from __future__ import annotations

from datetime import datetime

import msgspec
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tandem.cli.views import NARROW_WIDTH, UNSEEN_WIDTH, make_console
from tandem.errors import ErrorReport
from tandem.errors.desk import ErrorStats, IncidentDetail, IncidentPage, IncidentView
from tandem.errors.incident import State

SHOWN_REPORTS = 10
SHORT_ID = 6
"""Last characters of an id; its first ones are the time and alike for all incidents of a day."""

MOST_SHOWN = 160
"""Characters of a cause or a note in a list on a screen."""

_STATES = (State.OPEN, State.ACKNOWLEDGED, State.SNOOZED, State.RESOLVED)

_STYLE = {"critical": "bold red", "error": "red", "warning": "yellow"}


def show_page(page: IncidentPage) -> None:
    """One row per incident, and how many more there are."""
    show_incidents(page.incidents)
    shown, console = len(page.incidents), make_console()
    if shown == page.matching:
        return
    states = ", ".join(f"{count} {state}" for state in _STATES if (count := page.states.get(state, 0)))
    console.print(f"[dim]{shown} of {page.matching} shown; in all {states}. More: -n {page.matching}; fewer: a word, --state, --at[/]")


def show_incidents(incidents: list[IncidentView]) -> None:
    """One row per incident; on a narrow terminal state and agents stand with the cause."""
    console = make_console()
    if not incidents:
        console.print("No incidents.")
        return
    is_wide = console.width >= NARROW_WIDTH
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("ID", "SEVERITY", *(["STATE"] if is_wide else []), "LAST"):
        table.add_column(heading, no_wrap=True)
    for heading in ("ERRORS", *(["AGENTS"] if is_wide else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("PROBABLE CAUSE", overflow="fold")
    for incident in incidents:
        style = _STYLE.get(incident.severity, "")
        state, agents = _state(incident), str(len(incident.agents))
        table.add_row(
            incident.id[-SHORT_ID:],
            Text(incident.severity, style=style),
            *([Text(state)] if is_wide else []),
            _clock(incident.last),
            str(incident.count),
            *([agents] if is_wide else []),
            _cause(incident, console.width, beside=[] if is_wide else [state, f"{agents} agents"][: 1 + (agents != "1")]),
        )
    console.print(table)


def _state(incident: IncidentView) -> str:
    return f"{incident.state} by {incident.by}" if incident.by else str(incident.state)


def _cause(incident: IncidentView, width: int, beside: list[str]) -> Text:
    """What there is room for on a screen; `tandem errors show` has all of it, and so have files and other programs."""
    title = " ".join(incident.title.split())
    note = f"({' '.join(incident.note.split())})" if incident.note else ""
    if width < UNSEEN_WIDTH:
        title, note = (_cut(text, MOST_SHOWN) for text in (title, note))
    said = Text(title)
    for text in (f"– {', '.join(beside)}" if beside else "", note):
        if text:
            said.append(f" {text}", style="dim")
    return said


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def show_incident(detail: IncidentDetail) -> None:
    """Everything about one."""
    console = make_console()
    incident = detail.incident
    console.print(f"[bold]{escape(detail.title)}[/]")
    by = f" by {incident.by}" if incident.by else ""
    lines = [
        ("id", f"{incident.id}  key {incident.key}"),
        ("state", f"{incident.state}{by}" + (f": {incident.note}" if incident.note else "")),
        (
            "severity",
            f"{incident.severity}" + (f", escalated: {incident.escalated}" if incident.escalated else ""),
        ),
        ("time", f"{_clock(incident.first)} to {_clock(incident.last)}"),
        ("errors", f"{incident.count}, of which {incident.suppressed} counted only"),
        ("types", ", ".join(f"{name} {count}" for name, count in incident.types.items())),
        ("agents", ", ".join(f"{name} {count}" for name, count in incident.agents.items())),
        *((f"told {name}", _clock(time)) for name, time in detail.alerts.items()),
    ]
    for name, text in lines:
        console.print(f"  {name:<10}{escape(text)}")
    shown = detail.reports[-SHOWN_REPORTS:]
    console.print(f"\n[dim]The last {len(shown)} of {len(detail.reports)} reports kept:[/]" if shown else "")
    for report in shown:
        console.print(escape(report_line(report)))
        for frame in report.frames[:2]:
            console.print(f"    [dim]{escape(frame)}[/]")
        for line in str(report.context.get("stderr", "")).splitlines():
            console.print(f"    [dim]| {escape(line)}[/]")


def show_stats(stats: ErrorStats) -> None:
    """Totals, then the first ten of each list."""
    console = make_console()
    console.print(
        f"Since {_clock(stats.since)}: {stats.errors} errors in {stats.incidents} incidents, {stats.live} of them live; "
        f"{stats.suppressed} counted only"
    )
    for heading, counts in (
        ("severity", stats.by_severity),
        ("agent", stats.by_agent),
        ("type", stats.by_type),
    ):
        if counts:
            console.print(f"\n[dim]by {heading}[/]")
        for name, count in list(counts.items())[:10]:
            console.print(f"  {count:>8}  {escape(name)}")


def report_line(report: ErrorReport, *, json: bool = False) -> str:
    """One report on one line."""
    if json:
        return msgspec.json.encode(report).decode()
    message = " ".join(report.message.split())
    turn = f" turn={report.turn}" if report.trace_id else ""
    times = f" x{report.count}" if report.count > 1 else ""
    return f"{_clock(report.time)} {report.severity:<8} {report.origin} {report.type}: {message}{times}{turn}"


def _clock(time: float) -> str:
    at = datetime.fromtimestamp(time).astimezone()
    today = datetime.now().astimezone().date() == at.date()
    return at.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")
