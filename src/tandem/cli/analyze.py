"""`tandem analyze`: where the time of the last start went, in the manner of systemd-analyze."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tandem.cli.starts import StartUp
    from tandem.fleet import Fleet
    from tandem.supervise.api import MachineStatus

app = typer.Typer(add_completion=False, help="Where the time of the last start went.")

BAR_WIDTH = 40


class Question(StrEnum):
    """``time``: a summary; ``blame``: the slowest first; ``chain``: who waited for whom; ``plot``: bars over time."""

    TIME = "time"
    BLAME = "blame"
    CHAIN = "chain"
    PLOT = "plot"


@app.command()
def analyze(
    question: Annotated[Question, typer.Argument(help="time, blame, chain or plot.")] = Question.TIME,
    agent: Annotated[
        str | None, typer.Argument(help="The end of the chain.", show_default="whoever was ready last")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Show where the time of each unit's last start went: in its own start, or in waiting for others.

    Times are seconds since the machine's first server was launched. A unit that was restarted counts with its last start.

    Example: tandem analyze chain Responder
    """
    from tandem.cli.fleet_file import print_json
    from tandem.cli.local import identify, require_running, statuses
    from tandem.cli.starts import blame, chain, start_ups
    from tandem.core.paths import Home

    found, failures = statuses(Home.from_environment())
    require_running(found, failures)
    chosen = identify(found, [agent])[0] if agent else None
    machines = [status for status in found if chosen is None or status.machine == chosen.machine]
    started = {status.machine: start_ups(status, _fleet_of(status)) for status in machines}
    last = chosen.name if chosen else None
    chains = {machine: chain(starts, last) for machine, starts in started.items()}
    if json:
        print_json(
            {
                machine: {
                    "units": [_as_json(start) for start in blame(starts.values())],
                    "chain": [start.name for start in chains[machine]],
                }
                for machine, starts in started.items()
            }
        )
        return
    for number, (machine, starts) in enumerate(started.items()):
        if number:
            typer.echo()
        match question:
            case Question.TIME:
                typer.echo(_summary(machine, starts, chains[machine]))
            case Question.BLAME:
                typer.echo("\n".join(f"{start.took_s:8.3f} s  {_named(start)}" for start in blame(starts.values())))
            case Question.CHAIN:
                typer.echo("\n".join(_chain_lines(chains[machine])))
            case Question.PLOT:
                typer.echo("\n".join(_bars(starts)))


def _fleet_of(status: MachineStatus) -> Fleet | None:
    """The running fleet's file, for who needs whom; what it says now may be newer than what runs."""
    from pathlib import Path

    from tandem.fleet import load

    path = Path(status.fleet_file)
    return load(path).draft if path.exists() else None


def _as_json(start: StartUp) -> dict[str, Any]:
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(start)
    return fields | {"took_s": start.took_s}


def _named(start: StartUp) -> str:
    times = "once" if start.restarts == 1 else f"{start.restarts} times"
    return f"{start.name}@{start.machine}" + (f" (restarted {times} since)" if start.restarts else "")


def _summary(machine: str, starts: Mapping[str, StartUp], critical: list[StartUp]) -> str:
    from tandem.cli.starts import ZYGOTE

    if not starts:
        return f"{machine}: nothing is ready yet"
    base = [start for start in starts.values() if start.behind is None]
    lines = [
        f"{machine}: all {len(starts)} units were ready {max(s.ready_s for s in starts.values()):.3f} s "
        "after the first was launched"
    ]
    servers = [start for start in base if start.name != ZYGOTE]
    if servers:
        lines.append(f"  servers  {max(start.ready_s for start in servers):8.3f} s")
    if ZYGOTE in starts:
        lines.append(f"  zygote   {starts[ZYGOTE].ready_s:8.3f} s (it imports while the servers start)")
    slowest = max(starts.values(), key=lambda start: start.took_s)
    lines.append(f"  slowest  {slowest.took_s:8.3f} s {_named(slowest)}")
    lines.append(f"  critical {' <- '.join(start.name for start in critical)}")
    lines.append("more: tandem analyze blame | chain | plot")
    return "\n".join(lines)


def _chain_lines(critical: list[StartUp]) -> list[str]:
    """As systemd-analyze draws it: when it was ready (@), how long it took itself (+), what it was behind below it."""
    lines = []
    for depth, start in enumerate(critical):
        lead = "  " * (depth - 1) + "└─" if depth else ""
        waited = f", waited {start.waited_s:.3f} s" if start.waited_s >= 0.001 else ""
        lines.append(f"{lead}{_named(start)} @{start.ready_s:.3f} s +{start.took_s:.3f} s{waited}")
    return lines


def _bars(starts: Mapping[str, StartUp]) -> list[str]:
    """One bar per unit from its launch to its readiness, in the order of launch."""
    end = max((start.ready_s for start in starts.values()), default=0.0) or 1.0
    width = max((len(start.name) for start in starts.values()), default=0)
    lines = []
    for start in sorted(starts.values(), key=lambda one: (one.launched_s, one.ready_s)):
        left = min(BAR_WIDTH - 1, int(start.launched_s / end * BAR_WIDTH))
        length = max(1, round(start.took_s / end * BAR_WIDTH))
        bar = (" " * left + "█" * length)[:BAR_WIDTH]
        lines.append(f"{start.name:<{width}}  {bar:<{BAR_WIDTH}}  {start.launched_s:.3f} + {start.took_s:.3f} s")
    return lines
