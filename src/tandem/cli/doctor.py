"""`tandem doctor`: everything this computer could lack, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import typer

from tandem.cli.fleet_file import FleetOption, JsonOption

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint
    from pathlib import Path

    from rich.console import Console

    from tandem.core.checkup import Check, Finding

app = typer.Typer(add_completion=False, help="Check everything this computer could lack, and say the fix.")

_STYLE = {"ok": "green", "note": "yellow", "problem": "red"}


@app.command()
def doctor(fleet: FleetOption = None, json: JsonOption = False) -> None:
    """Check Python, servers, directories, memory, limits, kernel, ports, fleet file, models and what runs.

    Changes nothing. Exit status 1 when something keeps the fleet from working; notes are no problem.

    Example: tandem doctor --json
    """
    from tandem.cli.fleet_file import print_json

    if json:
        found = list(examine(fleet))
        print_json({"ok": not _problems(found), "checks": found})
    else:
        found = _show(examine(fleet))
    raise typer.Exit(1 if _problems(found) else 0)


def examine(fleet_file: Path | None) -> Iterator[Finding]:
    """Every finding, as soon as it is made. A check that breaks is a problem of its own and stops no other."""
    from tandem.cli.checkup import computer, place, running
    from tandem.cli.checkup import fleet_file as fleets
    from tandem.cli.fleet_file import read_fleet
    from tandem.core.checkup import judge_requirements
    from tandem.core.paths import Home

    home = Home.from_environment()
    yield from _guarded("python", computer.judge_python)
    yield from _guarded("libraries", lambda: judge_requirements("libraries"))
    yield from _guarded("kernel", computer.judge_kernel)
    yield from _guarded("servers", place.judge_servers)
    yield from _guarded("home", lambda: place.judge_home(home))
    yield from _guarded("disk", lambda: place.judge_disk(home))
    yield from _guarded("memory", computer.judge_memory)
    yield from _guarded("clock", computer.judge_clock)
    result = read_fleet(fleet_file, classes=True)
    yield from _guarded("fleet file", lambda: fleets.judge_fleet(result))
    fleet = result.draft
    yield from _guarded("run directory", lambda: place.judge_run_directory(home, fleet))
    if fleet is not None:
        here = [machine.name for machine in fleet.machines.values() if machine.is_here]
        count = sum(agent.machine in here for agent in fleet.agents.values())
        yield from _guarded("open files", lambda: computer.judge_open_files(count))
        yield from _guarded("ports", lambda: fleets.judge_fleet_ports(fleet, home))
        yield from _guarded("gpu", lambda: computer.judge_gpu(fleet, here))
    yield from _guarded("machines", lambda: running.judge_machines(home))
    yield from _guarded("security", lambda: running.judge_security(home))
    for name, check in _extensions():
        yield from _guarded(name, check)


def _extensions() -> Iterator[tuple[str, Check]]:
    from importlib.metadata import entry_points

    from tandem.core.checkup import ENTRY_POINTS

    for point in entry_points(group=ENTRY_POINTS):
        yield point.name, partial(_run, point)


def _run(point: EntryPoint) -> Iterable[Finding]:
    check: Check = point.load()
    return check()


def _guarded(name: str, check: Check) -> Iterator[Finding]:
    from tandem.core.checkup import problem

    try:
        yield from check()
    except Exception as error:
        yield problem(name, f"could not be checked: {type(error).__name__}: {error}")


def _show(findings: Iterable[Finding]) -> list[Finding]:
    """Print each when it is there: some checks start programs or import every agent."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    found = []
    for finding in findings:
        found.append(finding)
        _show_one(console, finding)
    problems, notes = len(_problems(found)), sum(finding.verdict == "note" for finding in found)
    counted = f"{problems} problem{'s' * (problems != 1)}, {notes} note{'s' * (notes != 1)}"
    console.print(f"{len(found)} checks: {counted}" if problems or notes else "All is well.")
    return found


def _show_one(console: Console, finding: Finding) -> None:
    from rich.markup import escape

    mark = f"[{_STYLE[finding.verdict]}]{finding.verdict:<8}[/]"
    console.print(f"{mark} {escape(finding.check):<14} {escape(finding.message)}")
    if finding.fix and finding.verdict != "ok":
        console.print(f"{'':<23} fix: {escape(finding.fix)}")


def _problems(found: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.verdict == "problem"]
