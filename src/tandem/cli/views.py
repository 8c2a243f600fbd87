"""Tables of agents for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console
    from rich.table import Table

    from tandem.supervise.api import AgentView

SHOWN_LINES = 5
"""Last lines of a dead process that are shown; `tandem logs` has all of them."""


def agent_table(views: Iterable[AgentView], style: Mapping[str, str]) -> Table:
    """One row per agent, by machine and group."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("AGENT", "MACHINE", "GROUP", "STATE", "PID", "PORT", "READY", "RESTARTS", ""):
        table.add_column(title, justify="right" if title in ("PID", "PORT", "READY", "RESTARTS") else "left")
    for view in views:
        ready = "" if view.ready_after_s is None else f"{view.ready_after_s:.2f} s"
        remark = "; ".join(view.issues) or (view.note if view.state != "healthy" else "")
        table.add_row(
            view.name,
            view.machine,
            view.group,
            Text(view.state, style=style.get(view.state, "")),
            str(view.pid or ""),
            str(view.port or ""),
            ready,
            str(view.restarts or ""),
            Text(remark, overflow="ellipsis"),
        )
    return table


def show_troubles(console: Console, views: Iterable[AgentView]) -> None:
    """For each agent: what is wrong, how it ended, its last lines, and what happens next."""
    from rich.markup import escape

    for view in views:
        console.print(f"\n[bold]{view.name}@{view.machine}[/] {view.state}")
        for issue in view.issues:
            console.print(f"  {escape(issue)}")
        if view.exit and view.verdict != "up":
            console.print(f"  last exit: {escape(view.exit)}")
        for line in last_lines(view):
            console.print(f"  [dim]| {escape(line)}[/]")
        if view.note:
            console.print(f"  next: {escape(view.note)}")


def last_lines(view: AgentView) -> list[str]:
    """The end of what the last process wrote, JSON lines as plain text."""
    from tandem.telemetry.logs import render_plain

    if view.verdict == "up":
        return []
    rendered = [row for line in view.tail for row in render_plain(line).splitlines()]
    return rendered[-SHOWN_LINES:]
