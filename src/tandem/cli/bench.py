"""`tandem bench`: measure this computer's Tandem beside other tools, in the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(add_completion=False, help="Measure beside other tools, in the same run.")

ALL = "all"


@app.command()
def bench(
    name: Annotated[
        str | None, typer.Argument(help="A benchmark's name, or 'all'.", show_default="list them")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per benchmark.")] = False,
) -> None:
    """Run a benchmark; without NAME list them. Ratios above 1 mean that Tandem is so many times better.

    The other tools are installed with `pip install 'tandem-fleet\\[bench]'`; those that are missing are left out and named.

    Example: tandem bench rpc
    """
    import difflib
    import subprocess
    import sys

    from tandem.core.errors import NotFound

    found = benchmarks()
    if name is None:
        for one, script in found.items():
            typer.echo(f"{one:10} {summary(script)}")
        return
    if name != ALL and name not in found:
        close = difflib.get_close_matches(name, found, n=1)
        raise NotFound(f"there is no benchmark {name!r}", hint=f"did you mean {close[0]}?" if close else "tandem bench lists them")
    failed = []
    for one in found if name == ALL else [name]:
        if not json:
            typer.echo(f"== {one}: {summary(found[one])}")
        command = [sys.executable, str(found[one]), *(["--json"] if json else [])]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(one)
    if failed:
        typer.echo(f"not measured to the end: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def benchmarks() -> dict[str, Path]:
    """Scripts by name. They are part of the repository, not of the installed package.

    Raises :class:`~tandem.core.errors.NotFound` outside of a clone.
    """
    from pathlib import Path

    import tandem
    from tandem.core.errors import NotFound

    for root in (Path.cwd(), Path(tandem.__file__).parents[2]):
        folder = root / "benchmarks"
        if (folder / "_rows.py").is_file():
            scripts = (path for path in folder.glob("*.py") if "\nrun(" in path.read_text() or "\n    run(" in path.read_text())
            return {path.stem: path for path in sorted(scripts) if not path.stem.startswith("_")}
    raise NotFound("the benchmarks are not here", hint="run this in a clone of the repository")


def summary(script: Path) -> str:
    """The first line of a script's docstring."""
    import ast

    return (ast.get_docstring(ast.parse(script.read_text())) or "").partition("\n")[0]
