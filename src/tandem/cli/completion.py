"""`tandem completion`: what makes a shell complete verbs and options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False, help="Print the completion script of a shell.")

VARIABLE = "_TANDEM_COMPLETE"
"""Set by the completion script when the shell asks for words."""


class Shell(StrEnum):
    """Shells there are scripts for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command()
def completion(shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    """Print the completion script of a shell.

    Example: tandem completion bash > ~/.local/share/bash-completion/completions/tandem
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(get_completion_script(prog_name="tandem", complete_var=VARIABLE, shell=shell.value))


def complete() -> None:
    """Answer a shell that asks for words, and exit. Imports every verb, which no other command does."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()
    whole_command().main(prog_name="tandem", complete_var=VARIABLE)


def whole_command() -> Any:
    """The command line as one click group, which is what typer's completion understands."""
    from tandem.cli.command import load, verbs

    apps = {verb: load(target) for verb, target in verbs().items()}
    gathered = typer.Typer()
    for verb, one in apps.items():
        gathered.add_typer(one, name=verb)
    root: Any = typer.main.get_command(gathered)
    # add_typer makes a group even of an app with one command, whose name would then have to be said twice.
    root.commands = {verb: typer.main.get_command(one) for verb, one in apps.items()}
    for verb, command in root.commands.items():
        command.name = verb
    return root
