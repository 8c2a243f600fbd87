"""The entry of the command line: whatever happens, a person gets words and a script gets a status."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest
import typer

from tandem.cli import command as entry
from tandem.core.errors import ConfigError, NotFound


@pytest.fixture
def verb_that_raises(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """``tandem break`` raises what ``FAULT`` names."""

    def act() -> NoReturn:
        raise FAULTS[os.environ["FAULT"]]

    module = ModuleType("verb_that_raises")
    app = typer.Typer()
    app.command()(act)
    module.app = app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "verb_that_raises", module)
    monkeypatch.setitem(entry.VERBS, "break", entry.Verb("verb_that_raises", "Breaks."))
    return monkeypatch


FAULTS: dict[str, BaseException] = {
    "tandem": NotFound("there is no agent X", hint="tandem status"),
    "config": ConfigError("the fleet file is wrong"),
    "disk": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b"),
    "pipe": BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)),
    "bug": NameError("name 'x' is not defined"),
    "ctrl-c": KeyboardInterrupt(),
}


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("tandem", 1, "Error: there is no agent X\n  tandem status\n"),
        ("config", 78, "Error: the fleet file is wrong\n"),
        ("disk", 1, "Error: No space left on device: /a/b\n  tandem doctor checks this computer\n"),
        ("pipe", 1, "Error: Broken pipe\n  tandem doctor checks this computer\n"),
        ("ctrl-c", 130, "Interrupted.\n"),
    ],
)
def test_errors_in_words(
    verb_that_raises: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fault: str,
    status: int,
    said: str,
) -> None:
    """Each kind of failure has its status, its words on stderr, and nothing on stdout."""
    verb_that_raises.setenv("FAULT", fault)
    assert entry.execute(["break"]) == status
    assert capfd.readouterr() == ("", said)


def test_our_own_mistake(
    verb_that_raises: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A bug is one line for the person; its traceback is in a file the line names."""
    verb_that_raises.setenv("FAULT", "bug")
    verb_that_raises.setattr("tempfile.tempdir", str(tmp_path))
    status = entry.execute(["break"])
    said = capsys.readouterr().err
    assert status == 1
    assert said.startswith("Error: NameError: name 'x' is not defined\n  this is a mistake in Tandem")
    assert "Traceback" not in said
    (kept,) = tmp_path.glob("tandem-crash-*.txt")
    assert str(kept) in said
    assert "Traceback (most recent call last)" in kept.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["staus"], "Did you mean 'status'?"), (["--fast", "up"], "no option --fast before the verb"), (["up", "--tiemout", "3"], "--timeout")],
)  # fmt: skip
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    """Unknown verbs and options exit with 2 and name the nearest."""
    status = entry.execute(arguments)
    assert status == 2
    assert words in capsys.readouterr().err


def test_every_verb_has_a_manual(capsys: pytest.CaptureFixture[str]) -> None:
    """``tandem VERB --help`` of every verb there is shows an example or its subcommands, and exits with 0."""
    for verb in entry.verbs():
        status = entry.execute([verb, "--help"])
        said = capsys.readouterr().out
        assert status == 0, verb
        assert "Example" in said or "Commands" in said, verb
