"""The audit and the mends as processes: several cores, git, and our own tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tandem.audit import Options, audit, scan

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]


def test_several_processes_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spread over processes the audit finds exactly what it finds in one."""
    monkeypatch.setattr(scan, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(scan, "_CHUNK_BYTES", 2_000)
    root = ROOT / "examples" / "old-fleet"
    alone = audit(Options(root=root, cache=False, jobs=1))
    spread = audit(Options(root=root, cache=False, jobs=3))
    assert alone.findings
    assert spread.findings == alone.findings


DEADLY = """
import os, sys
from pathlib import Path
from tandem.audit import Options, audit, scan

original = scan.examine

def dies(root, entry):
    return os._exit(9) if entry.path == "killer.py" else original(root, entry)

scan.examine, scan._WORTH_PROCESSES, scan._CHUNK_BYTES = dies, 0, int(sys.argv[2])
result = audit(Options(root=Path(sys.argv[1]), cache=False, jobs=2, rules=frozenset({"hardcoded-address"})))
print([item.path for item in result.findings], [(item.path, item.reason) for item in result.skipped])
"""
"""In a process of its own: only one with a single thread hands what it has patched to its workers, by a fork."""


@pytest.mark.parametrize("chunk_bytes", [400_000, 1])
def test_file_that_kills_its_process(tmp_path: Path, chunk_bytes: int) -> None:
    """A file whose parsing ends the interpreter costs that file: not the audit, nor those examined beside it."""
    names = sorted("abcdefgh")
    for name in ("killer", *names):
        (tmp_path / f"{name}.py").write_text('HOST = "10.0.0.1"\n' + "# the largest is examined first\n" * (name == "killer"))
    command = [sys.executable, "-c", DEADLY, tmp_path, str(chunk_bytes)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = [f"{name}.py" for name in names]
    assert told.strip() == f"{expected} [('killer.py', 'ends the interpreter that parses it')]"


def test_mends_are_undone_by_git(tmp_path: Path) -> None:
    """The patch that `tandem fix --write` leaves takes every byte back, outside a repository too."""
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    tree = tmp_path / "tree"
    tree.mkdir()
    texts = {
        "a.py": b'import json\nPC2_HOST = "10.0.0.9"\n',
        "crlf.py": b'import logging\r\nh = logging.FileHandler("x.log")\r\n',
        "latin.py": '# coding: latin-1\nX = "\u00e9"\nNAS_HOST = "10.0.0.8"\n'.encode("latin-1"),
        "noend.py": b'HUB_HOST = "10.0.0.7"',
    }
    for name, data in texts.items():
        (tree / name).write_bytes(data)
    command = [sys.executable, "-c", "from tandem.cli.fix import app; app()", str(tree), "--write"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert all((tree / name).read_bytes() != data for name, data in texts.items()), done.stderr
    (patch,) = (tmp_path / "state" / "tandem" / "fix").glob("*.patch")
    subprocess.run(["git", "-C", str(tree), "apply", "-R", str(patch)], check=True, env={**environment, "GIT_CEILING_DIRECTORIES": str(tmp_path)})
    assert {name: (tree / name).read_bytes() for name in texts} == texts


def test_our_own_tree_is_clean() -> None:
    """Tandem's own tree has no finding of any severity."""
    result = audit(Options(root=ROOT, cache=False))
    assert [f"{item.path}:{item.line} {item.rule}: {item.message}" for item in result.findings] == []
