"""How `tandem up` looks: progress while it runs, the result afterwards."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tandem.cli.bringing_up import BringingUp, Outcome
    from tandem.fleet.model import Fleet
    from tandem.supervise.api import AgentView, Progress

_ENDS = frozenset({"healthy", "degraded", "unhealthy", "failed", "backoff"})


class Display:
    """Live bars by level on a terminal, one line per event elsewhere, nothing when quiet."""

    def __init__(self, fleet: Fleet, *, quiet: bool):
        self._fleet = fleet
        self._quiet = quiet
        self._live: LevelBars | None = None

    def begin(self, work: BringingUp) -> None:
        """Say what is noteworthy beforehand."""
        if self._quiet:
            return
        for note in work.notes:
            typer.echo(note)
        # What draws the table at the end is imported while the machines start and nobody waits for it.
        importlib.import_module("rich.table")
        if sys.stdout.isatty():
            self._live = LevelBars(self._fleet)

    def progress(self, machine: str, progress: Progress) -> None:
        """Something moved."""
        if self._live is not None:
            self._live.update(machine, progress)
        elif not self._quiet and progress.state in _ENDS:
            remark = f": {progress.note}" if progress.note else ""
            typer.echo(f"{progress.at_s:7.2f} s  {progress.name}@{machine} {progress.state}{remark}")

    def end(self) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None


class LevelBars:
    """One bar per start level."""

    def __init__(self, fleet: Fleet):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        from tandem.fleet import plan

        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[last]}"),
            transient=True,
        )  # fmt: skip
        self._task_of: dict[str, Any] = {}
        self._up: dict[str, bool] = {}
        for number, level in enumerate(plan(fleet), start=1):
            here = [agent for agent in level if fleet.machines[agent.machine].is_here]
            if here:
                task = self._bars.add_task(f"level {number}", total=len(here), last="")
                self._task_of |= {str(agent.id): task for agent in here}
        self._bars.start()

    def update(self, machine: str, progress: Progress) -> None:
        identity = f"{progress.name}@{machine}"
        task = self._task_of.get(identity)
        if task is None:
            return
        is_up = progress.state in ("healthy", "degraded")
        change = int(is_up) - int(self._up.get(identity, False))
        self._up[identity] = is_up
        remark = progress.name if is_up else f"{progress.name} {progress.state}"
        self._bars.update(task, advance=change, last=remark)

    def close(self) -> None:
        self._bars.stop()


def show(outcome: Outcome) -> None:
    """The result for people."""
    views = outcome.views
    up = [view for view in views if view.verdict == "up"]
    machines = sorted({view.machine for view in views})
    for note in outcome.notes:
        if note.startswith(tuple(f"{machine}:" for machine in machines)) or "fleet file" in note:
            typer.echo(note)
    for machine, why in outcome.failures.items():
        typer.echo(f"{machine}: {why}", err=True)
    typer.echo(
        f"{len(up)} of {len(views)} agents are up on {', '.join(machines) or 'no machine'} after {outcome.seconds:.2f} s"
    )
    _show_groups(views)
    _show_time(outcome)
    down = [view for view in views if view.verdict != "up"]
    if down:
        _show_down(down)
    elif outcome.ok:
        typer.echo(_next_steps(outcome))


def _show_groups(views: list[AgentView]) -> None:
    """One row per group: how many are up, and who was last."""
    from rich.table import Table
    from rich.text import Text

    from tandem.cli.views import make_console

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for title in ("MACHINE", "GROUP"):
        table.add_column(title, no_wrap=True)
    table.add_column("UP", justify="right")
    table.add_column("LAST TO BE READY", overflow="ellipsis", no_wrap=True)
    groups: dict[tuple[str, str], list[AgentView]] = {}
    for view in views:
        groups.setdefault((view.machine, view.group), []).append(view)
    for (machine, group), members in groups.items():
        up = [view for view in members if view.verdict == "up"]
        style = "green" if len(up) == len(members) else "red"
        last = max(up, key=lambda view: view.ready_after_s or 0.0, default=None)
        table.add_row(
            machine,
            group,
            Text(f"{len(up)}/{len(members)}", style=style),
            "" if last is None else f"{last.name} {last.ready_after_s or 0.0:.2f} s",
        )
    make_console().print(table)


def _show_time(outcome: Outcome) -> None:
    """Where the time went: the common stages, then each machine's own."""
    common = {name: seconds for name, seconds in outcome.phases.items() if ": " not in name}
    typer.echo("time: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in common.items()))
    own: dict[str, list[str]] = {}
    for name, seconds in outcome.phases.items():
        machine, separator, stage = name.partition(": ")
        if separator:
            own.setdefault(machine, []).append(f"{stage} {seconds:.2f} s")
    for machine, stages in own.items():
        typer.echo(f"      {machine}: {', '.join(stages)}")


def _show_down(down: list[AgentView]) -> None:
    from rich.table import Table
    from rich.text import Text

    from tandem.cli.views import make_console, reasons

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title="Not up", title_justify="left")
    for title in ("AGENT", "STATE"):
        table.add_column(title, no_wrap=True)
    table.add_column("WHY", overflow="fold")
    for view in down:
        table.add_row(f"{view.name}@{view.machine}", view.state, Text("\n".join(reasons(view))))
    make_console(stderr=True).print(table)


def _next_steps(outcome: Outcome) -> str:
    import shutil

    # Without an alias or an active virtual environment the shell would not find the bare name.
    tandem = "tandem" if shutil.which("tandem") else os.path.relpath(sys.argv[0])
    first = 'ask "what can you do?"' if outcome.fleet.front_door else "logs -f"
    return f"next: {tandem} {first}  |  {tandem} status  |  {tandem} down"


def print_result(outcome: Outcome) -> None:
    """The result for programs."""
    from tandem.cli.fleet_file import print_json

    fields = (
        "name",
        "machine",
        "group",
        "state",
        "pid",
        "port",
        "ready_after_s",
        "restarts",
        "issues",
        "exit",
        "note",
    )
    print_json(
        {
            "ok": outcome.ok,
            "seconds": outcome.seconds,
            "phases": outcome.phases,
            "notes": outcome.notes,
            "failures": outcome.failures,
            "already_running": outcome.already,
            "agents": [{field: getattr(view, field) for field in fields} for view in outcome.views],
        }
    )
