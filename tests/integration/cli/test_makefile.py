"""``make`` on a computer that lacks something says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed"),
]

ROOT = Path(__file__).parents[3]
NEEDED = ("make", "rm")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A directory of programs with hardly anything in it, as the only one on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in NEEDED:
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    return programs


def make(programs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In the repository, with a virtual environment that is to be made beside ``programs``."""
    environment = {"PATH": str(programs), "HOME": str(programs.parent)}
    command = ["make", "--no-print-directory", "-C", str(ROOT), f"VENV={programs.parent / 'venv'}", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_no_python(bare: Path) -> None:
    """Without a Python that is new enough the packages to install are named, and nothing is made."""
    said = make(bare, f"{bare.parent / 'venv'}/bin/python")
    assert said.returncode != 0
    assert "Tandem needs Python 3.11 or newer" in said.stderr
    assert "sudo apt install python3.11 python3.11-venv" in said.stderr
    assert not (bare.parent / "venv").exists()


def test_no_venv(bare: Path) -> None:
    """A Python without venv: the message names that Python's own package, and what was half made is removed."""
    lacking = bare / "python3"
    lacking.write_text(
        f'#!/bin/sh\nif [ "$1" = -m ]; then /bin/mkdir -p "$3/bin"; echo "No module named venv" >&2; exit 1; fi\nexec {sys.executable} "$@"\n'
    )
    lacking.chmod(0o755)
    said = make(bare, f"{bare.parent / 'venv'}/bin/python")
    assert said.returncode != 0
    assert f"sudo apt install python{sys.version_info.major}.{sys.version_info.minor}-venv" in said.stderr
    assert not (bare.parent / "venv").exists()


def test_nothing_to_stop(bare: Path) -> None:
    """``make down`` before anything was installed is content."""
    said = make(bare, "down")
    assert (said.returncode, said.stdout) == (0, "nothing is installed, so nothing runs\n")


def test_the_list_of_goals(bare: Path) -> None:
    """``make`` alone shows what can be made, each with its purpose."""
    for name in ("grep", "awk"):
        (bare / name).symlink_to(os.path.realpath(shutil.which(name) or f"/usr/bin/{name}"))
    said = make(bare)
    assert said.returncode == 0
    for goal in ("up", "down", "test", "check", "bench", "clean"):
        assert f"  make {goal} " in said.stdout
