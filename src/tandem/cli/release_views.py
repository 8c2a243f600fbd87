"""Plans and rollouts as people see them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from tandem.supervise.rollout import Course, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tandem.release.prepare import Prepared
    from tandem.supervise.rollout_api import ReleaseStatus, RolloutView

_TOLD = (Stage.DONE, Stage.FAILED, Stage.RETURNED)
_STAGE_STYLE = {
    Stage.PENDING: "dim",
    Stage.TRYING: "cyan",
    Stage.DONE: "green",
    Stage.FAILED: "red",
    Stage.RETURNED: "yellow",
}


def show_plan(prepared: Iterable[Prepared]) -> None:
    """A table of what happens to whom and why; one line when nothing does."""
    from rich.table import Table

    from tandem.cli.views import make_console

    console = make_console()
    for one in prepared:
        if not one.changes:
            console.print(f"{one.machine}: nothing changes")
            continue
        plan, moving = one.plan, [c for c in one.changes if c.how != "adopt"]
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for title in ("AGENT", "HOW", "WHAT CHANGED", "WHY SO"):
            table.add_column(title, no_wrap=title in ("AGENT", "HOW"))
        for change in one.changes:
            table.add_row(change.agent, change.how, "\n".join(change.reasons) or change.kind, change.why)
        console.print(table)
        kept = len(plan.new.fleet.on(one.machine)) - sum(c.kind != "removed" for c in moving)
        console.print(
            f"{one.machine}: {plan.old.release.name} -> {plan.new.release.name}, {_batches(one)}; "
            f"{kept} agents keep their processes"
        )
        for note in one.notes:
            console.print(f"{one.machine}: [yellow]{note}[/]")


def _batches(one: Prepared) -> str:
    sizes = [len(batch) for batch in one.plan.batches]
    strategy = one.plan.strategy
    held = f", each new instance held for {strategy.min_healthy_s:g} s" if strategy.min_healthy_s else ""
    if strategy.kind == "canary":
        held += f", those of the first serve beside the old ones for {strategy.canary_s:g} s and are compared with them"
    return f"{strategy.kind}, {len(sizes)} {'batch' if len(sizes) == 1 else 'batches'} of {'+'.join(map(str, sizes))}{held}"


def plan_json(prepared: Iterable[Prepared]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "machine": one.machine,
            "old": one.plan.old.release.name,
            "new": one.plan.new.release.name,
            "strategy": one.plan.strategy,
            "changes": one.changes,
            "notes": one.notes,
            "batches": [[step.agent for step in batch] for batch in one.plan.batches],
        }
        for one in prepared
    ]


class LiveRollout:
    """Tells what moves: a bar on a terminal, one line per agent everywhere, nothing when quiet."""

    def __init__(self, *, quiet: bool):
        self._quiet = quiet
        self._told: dict[str, Stage] = {}
        self._course: Course | None = None
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> LiveRollout:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def news(self, view: RolloutView) -> None:
        """To be called with every change."""
        if self._quiet:
            return
        self._draw(view)
        for step in view.steps:
            known = self._told.get(f"{view.id}{step.agent}", Stage.PENDING)
            if step.stage is not known and step.stage in _TOLD:
                remark = f": {step.remark}" if step.remark else ""
                self._line(f"{step.agent}@{view.machine} {step.how} {step.stage}{remark}", step.stage)
            self._told[f"{view.id}{step.agent}"] = step.stage
        if view.course is not self._course and view.course is Course.RETURNING:
            self._line(f"returning {view.machine} to {view.old}: {view.note}", Stage.FAILED)
        self._course = view.course

    def _line(self, text: str, stage: Stage) -> None:
        if self._bar is not None:
            from rich.text import Text

            self._bar.console.print(Text(text, style=_STAGE_STYLE[stage]))
        else:
            typer.echo(text)

    def _draw(self, view: RolloutView) -> None:
        if not sys.stdout.isatty():
            return
        over = (
            (Stage.DONE, Stage.FAILED)
            if view.course is not Course.RETURNING
            else (Stage.PENDING, Stage.RETURNED)
        )
        done = sum(step.stage in over for step in view.steps)
        if self._bar is None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TextColumn("{task.fields[trying]}"), transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=len(view.steps), trying="")
            self._bar.start()
        trying = ", ".join(step.agent for step in view.steps if step.stage is Stage.TRYING)
        words = f"{view.machine} {view.course}"
        self._bar.update(
            self._task, description=words, completed=done, total=len(view.steps), trying=trying[:60]
        )


def verdict(view: RolloutView) -> str:
    """How a rollout ended or where it is, in one line."""
    count = len(view.steps)
    took = f" in {view.ended - view.began:.1f} s" if view.ended is not None else ""
    match view.course:
        case Course.DONE:
            return f"{view.machine}: {view.new} is in service{took}, {count} agents changed"
        case Course.RETURNED:
            return f"{view.machine}: returned to {view.old}{took}; {view.note}"
        case Course.STUCK:
            return f"{view.machine}: stuck between {view.old} and {view.new}; {view.note}"
        case _:
            done = sum(step.stage is Stage.DONE for step in view.steps)
            note = f"; {view.note}" if view.note else ""
            return f"{view.machine}: {view.old} -> {view.new} {view.course}, {done} of {count} agents{note}"


def show_status(status: ReleaseStatus) -> None:
    """A machine's release, its rollout, and where it could return to."""
    from rich.table import Table
    from rich.text import Text

    from tandem.cli.views import make_console

    console = make_console()
    console.print(f"{status.machine}: release {status.current.release.name}")
    if status.proven:
        console.print(f"  rollback goes to {', then '.join(t.release.name for t in status.proven)}")
    view = status.rollout
    if view is None:
        return
    console.print(f"  last rollout: {verdict(view)}" if view.ended else f"  rollout: {verdict(view)}")
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for title in ("BATCH", "AGENT", "HOW", "STAGE", ""):
        table.add_column(title, no_wrap=True)
    for step in view.steps:
        stage = Text(step.stage, style=_STAGE_STYLE[step.stage])
        table.add_row(str(step.batch + 1), step.agent, step.how, stage, step.remark)
    console.print(table)


def status_json(status: ReleaseStatus) -> dict[str, Any]:
    """The same for programs."""
    return {
        "machine": status.machine,
        "release": status.current.release.name,
        "proven": [target.release.name for target in status.proven],
        "rollout": status.rollout,
    }
