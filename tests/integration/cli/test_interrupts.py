"""Ctrl-C ends a command with one line and status 130, at whichever moment it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

TANDEM = Path(sys.executable).with_name("tandem")
PATIENCE_S = 60.0
IMPORTS = "import time:"


def begin(path: Path, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    """A command in a process group of its own that reports what it imports in ``path``; its standard input never ends."""
    with path.open("wb") as said:
        return subprocess.Popen(
            [TANDEM, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={"PATH": os.environ["PATH"], "HOME": str(path.parent), "PYTHONPROFILEIMPORTTIME": "1", **environment},
            start_new_session=True,
        )  # fmt: skip


def wait_for_import(path: Path, module: str) -> None:
    """Without a pause: the next import may be a millisecond away."""
    until = time.monotonic() + PATIENCE_S
    while not any(line.split("|")[-1].strip() == module for line in path.read_text().splitlines()):
        assert time.monotonic() < until, path.read_text()


@pytest.mark.parametrize(
    ("verb", "module"),
    [("talk", "signal"), ("talk", "typer"), ("talk", "asyncio"), ("ask", "signal"), ("ask", "importlib.metadata"), ("ask", "tandem.api")],
)  # fmt: skip
def test_interrupted_while_importing(tmp_path: Path, verb: str, module: str) -> None:
    """While modules are imported there is no traceback of their insides."""
    fifo = tmp_path / "never.wav"
    os.mkfifo(fifo)
    said = tmp_path / "said"
    running = begin(said, verb, "-" if verb == "ask" else str(fifo))
    try:
        wait_for_import(said, module)
        os.killpg(running.pid, signal.SIGINT)
        status = running.wait(PATIENCE_S)
    finally:
        running.kill()
        running.communicate()
    lines = [line for line in said.read_text().splitlines() if not line.startswith(IMPORTS)]
    assert (status, lines) == (130, ["Interrupted."])


def test_interrupts_that_are_ignored(tmp_path: Path) -> None:
    """A command begun with SIGINT ignored, as ``nohup`` and scripts do in the background, goes on ignoring it."""
    said = tmp_path / "said"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        running = begin(said, "ask", "-")
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        wait_for_import(said, "tandem.api")
        os.killpg(running.pid, signal.SIGINT)
        running.communicate(b"", timeout=PATIENCE_S)
    finally:
        running.kill()
    assert running.returncode == 1
    assert "nothing was asked" in said.read_text()
