"""Tables of agents for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console
    from rich.table import Table

    from tandem.supervise.api import AgentView, ServiceView

SHOWN_LINES = 5
"""Last lines of a dead process that are shown; `tandem logs` has all of them."""


_COLUMNS = ("AGENT", "MACHINE", "GROUP", "STATE", "PID", "PORT", "READY", "RESTARTS", "")
GAP = 2
LEAST_REMARK = 10
NARROW_WIDTH = 110
"""Columns below which a table of agents leaves out their groups."""
UNSEEN_WIDTH = 1000
"""Columns of output that goes to a file or another program: nothing of it is cut or wrapped."""


def make_console(*, stderr: bool = False) -> Console:
    """As wide as the terminal; COLUMNS decides where it is set, and otherwise nothing is cut."""
    import os
    import sys

    from rich.console import Console

    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if is_terminal or "COLUMNS" in os.environ else UNSEEN_WIDTH
    return Console(highlight=False, stderr=stderr, width=width)


def agent_table(views: Iterable[AgentView], style: Mapping[str, str], width: int = UNSEEN_WIDTH) -> Table:
    """One row and one line per agent, by machine and group. Only the remark is cut, and groups go before anything else."""
    from rich.table import Table
    from rich.text import Text

    left_out = {"GROUP"} if width < NARROW_WIDTH else set()
    rows = [_cells(view) for view in views]
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="dim")
    shown = [title for title in _COLUMNS if title not in left_out]
    used = 0
    for title in shown[:-1]:
        widest = max((len(title), *(len(row[title]) for row in rows)))
        right = title in ("PID", "PORT", "READY", "RESTARTS")
        table.add_column(title, justify="right" if right else "left", min_width=widest, no_wrap=True)
        used += widest + GAP
    table.add_column("", no_wrap=True, max_width=max(LEAST_REMARK, width - used - GAP))
    for row in rows:
        styles = {"STATE": style.get(row["STATE"], "")}
        table.add_row(*(Text(row[title], style=styles.get(title, "")) for title in shown))
    return table


def _cells(view: AgentView) -> dict[str, str]:
    return {
        "AGENT": view.name,
        "MACHINE": view.machine,
        "GROUP": view.group,
        "STATE": view.state,
        "PID": str(view.pid or ""),
        "PORT": str(view.port or ""),
        "READY": "" if view.ready_after_s is None else f"{view.ready_after_s:.2f} s",
        "RESTARTS": str(view.restarts or ""),
        "": "; ".join(view.issues) or (view.note if view.state != "healthy" else ""),
    }


def show_troubles(console: Console, views: Iterable[AgentView]) -> None:
    """For each agent: what is wrong, how it ended, its last lines, and what happens next."""
    from rich.markup import escape

    for view in views:
        console.print(f"\n[bold]{view.name}@{view.machine}[/] {view.state}")
        for reason in reasons(view):
            console.print(f"  {escape(reason)}")


def show_servers(console: Console, servers: Iterable[ServiceView]) -> None:
    """The same for servers that do not serve: everybody waits for them."""
    from rich.markup import escape

    for server in servers:
        if server.state not in ("healthy", "degraded", "starting", "waiting"):
            console.print(f"\n[bold]{server.name}@{server.machine}[/] {server.state}")
            for reason in [*server.issues, server.note, *(f"| {line}" for line in _ends(server.tail))]:
                console.print(f"  {escape(reason)}")


def reasons(view: AgentView) -> list[str]:
    """What is wrong with it: its own words about it, what happens next, how it ended and the last it wrote."""
    ended = (
        [f"last exit: {view.exit}"]
        if view.exit and view.verdict != "up" and view.exit not in view.note
        else []
    )
    following = [view.note] if view.note else []
    return [*view.issues, *following, *ended, *(f"| {line}" for line in last_lines(view))]


def last_lines(view: AgentView) -> list[str]:
    """The end of what the last process wrote, JSON lines as plain text without their tracebacks."""
    return [] if view.verdict == "up" else _ends(view.tail)


def _ends(tail: Iterable[str]) -> list[str]:
    from tandem.telemetry.logs import render_plain

    # A record's first row says what happened; its traceback is for `tandem logs`.
    rendered = [rows[0] for line in tail if (rows := render_plain(line).splitlines())]
    return rendered[-SHOWN_LINES:]
