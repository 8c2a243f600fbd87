"""`tandem version`."""

from __future__ import annotations

import typer

app = typer.Typer(add_completion=False, help="Show the version.")


@app.command()
def version() -> None:
    """Show the version of Tandem and of the interpreter it runs in.

    Example: tandem version
    """
    import platform
    import sys

    from tandem import __version__

    typer.echo(f"tandem {__version__} (Python {platform.python_version()}, {sys.executable})")
