"""`tandem audit`: the truth about a tree of agents, without running any of it."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tandem.audit.model import Finding
    from tandem.audit.summary import Summary

app = typer.Typer(add_completion=False)


class Format(StrEnum):
    """A page for people, JSON, SARIF 2.1.0, or a page for a browser."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    HTML = "html"


class FailOn(StrEnum):
    """The mildest severity that makes the exit status 1."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    NEVER = "never"


@app.command()
def audit(
    path: Annotated[Path, typer.Argument(help="The tree to audit, or one file.")] = Path(),
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", help="Start-up configuration; found by itself without. May be repeated."),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="text, json, sarif or html.")] = Format.TEXT,
    json: Annotated[bool, typer.Option("--json", help="Same as --format json.")] = False,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", help="Only this rule, or a pattern as in 'config-*'. May be repeated."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", help="Findings known before: only new ones count, and the trend is shown."
        ),
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option("--write-baseline", help="Write what is found now as the next baseline.")
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Exit with 1 from this severity on.")
    ] = FailOn.ERROR,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Leave out paths of this pattern. May be repeated.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every finding, not the first few of each rule.")
    ] = False,
    to: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file instead of standard output.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0 is one a core.")] = 0,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Reuse what is known of unchanged files.")
    ] = True,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of --format json and stop.")
    ] = False,
) -> None:
    """Audit a tree of agents. Nothing of it is imported or run.

    Example: tandem audit old-fleet --format html -o audit.html --fail-on never
    """
    from tandem.audit import Options, scan
    from tandem.audit import baseline as known
    from tandem.audit.rules.catalogue import select
    from tandem.audit.summary import summarise
    from tandem.cli.fleet_file import fail, print_json
    from tandem.core.errors import TandemError

    if schema:
        from tandem.audit.report.data import schema as published

        print_json(published())
        return
    try:
        root = path if path.is_dir() else path.parent
        result = scan.audit(
            Options(
                root=path,
                rules=select(rule or ()),
                configs=tuple(Path(os.path.relpath(item, root)).as_posix() for item in config or ()),
                exclude=tuple(exclude or ()),
                jobs=jobs,
                cache=cache,
            )
        )
        judged, trend = result.findings, None
        if baseline is not None:
            judged, trend = known.compare(result.findings, known.read(baseline))
        if write_baseline is not None:
            known.write(write_baseline, result.findings)
    except TandemError as error:
        raise fail(error) from None
    _show(
        _render(
            Format.JSON if json else output, result.findings, summarise(result, trend), everything, to is None
        ),
        to,
    )
    grave = [item for item in judged if fail_on is not FailOn.NEVER and item.severity.rank <= _rank(fail_on)]
    raise typer.Exit(1 if grave else 0)


def _rank(fail_on: FailOn) -> int:
    return [FailOn.ERROR, FailOn.WARNING, FailOn.NOTE].index(fail_on)


def _render(
    output: Format, findings: list[Finding], summary: Summary, everything: bool, to_terminal: bool
) -> str:
    from tandem.audit.report import data, page, sarif, text

    match output:
        case Format.JSON:
            return data.render(findings, summary)
        case Format.SARIF:
            return sarif.render(findings, summary)
        case Format.HTML:
            return page.render(findings, summary)
        case Format.TEXT:
            color = to_terminal and sys.stdout.isatty() and "NO_COLOR" not in os.environ
            return text.render(findings, summary, color=color, everything=everything)


def _show(text: str, to: Path | None) -> None:
    if to is None:
        typer.echo(text, nl=False)
    else:
        to.write_text(text, encoding="utf-8")
