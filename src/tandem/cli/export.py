"""`tandem export`: what the fleet file means to other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tandem.cli.fleet_file import FleetOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from tandem.export import File
    from tandem.fleet import Fleet

app = typer.Typer(add_completion=False, no_args_is_help=True, help="What the fleet file means to other tools.")

Folder = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the files below this folder.", show_default="print them")
]


@app.command()
def prometheus(output: Folder = None, fleet: FleetOption = None, json: JsonOption = False) -> None:
    """Scrape configuration, recording rules and alerting rules of Prometheus.

    Example: tandem export prometheus -o /etc/prometheus
    """
    from tandem.export.prometheus import render

    _give(render, output, fleet, json)


@app.command()
def alerts(output: Folder = None, fleet: FleetOption = None, json: JsonOption = False) -> None:
    """Routes of Alertmanager: chat for warnings, pager for critical alerts.

    Example: tandem export alerts -o /etc/alertmanager
    """
    from tandem.export.alerts import render

    _give(render, output, fleet, json)


@app.command()
def grafana(output: Folder = None, fleet: FleetOption = None, json: JsonOption = False) -> None:
    """Dashboards of Grafana: fleet, agent, machine, GPU, turns, errors.

    Example: tandem export grafana -o /var/lib/grafana
    """
    from tandem.export.grafana import render

    _give(render, output, fleet, json)


def _give(render: Callable[[Fleet], list[File]], output: Path | None, fleet: Path | None, json: bool) -> None:
    from tandem.cli.fleet_file import print_json, read_fleet, require_readable
    from tandem.export.files import write

    files = render(require_readable(read_fleet(fleet)))
    if output is not None:
        paths = [str(path) for path in write(files, output)]
        if json:
            print_json(paths)
        else:
            typer.echo("\n".join(paths))
    elif json:
        print_json(files)
    else:
        typer.echo("\n".join(f"# ---- {file.path} ----\n{file.text}" for file in files))
