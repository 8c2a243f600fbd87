"""Undefined names, by ruff: its scope analysis is complete, kept by others, and takes a second for a million lines."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.audit.python.dynamic import defines_dynamically
from tandem.audit.python.facts import Undefined
from tandem.core.errors import Unavailable

_CODES = "F821,F822,F405"


class _Location(Struct):
    row: int
    column: int


class _Hit(Struct):
    filename: str
    message: str
    location: _Location
    code: str | None = None


def find_ruff() -> str | None:
    """The ruff of this environment, else the one on the path."""
    beside = Path(sys.executable).parent / "ruff"
    return str(beside) if beside.is_file() else shutil.which("ruff")


class Lint:
    """A running ruff; it works while the files are parsed here, and is collected afterwards."""

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        """Start checking ``paths`` (relative to ``root``). Raises :class:`Unavailable` without a ruff."""
        ruff = find_ruff()
        if ruff is None:
            raise Unavailable(
                "undefined names are not checked: ruff is not installed",
                hint="pip install 'tandem-fleet[audit]'",
            )
        self._root = root
        handle, self._list = tempfile.mkstemp(prefix="tandem-audit-", suffix=".args")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(f"./{path}\n" for path in paths if "\n" not in path)
        self._process = subprocess.Popen(
            [ruff, "check", "--isolated", "--no-cache", "--select", _CODES, "--output-format", "json", "--quiet",
             "--target-version", f"py3{sys.version_info.minor}", "--no-force-exclude", f"@{self._list}"],
            cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def collect(self) -> dict[str, list[Undefined]]:
        """Relative path → undefined names. Raises :class:`Unavailable` when ruff failed."""
        output, _ = self._process.communicate()
        Path(self._list).unlink(missing_ok=True)
        if self._process.returncode not in (0, 1):
            raise Unavailable(
                f"undefined names are not checked: ruff ended with status {self._process.returncode}"
            )
        found: dict[str, list[Undefined]] = {}
        for hit in msgspec.json.decode(output, type=list[_Hit]):
            name = hit.message.partition("`")[2].partition("`")[0]
            # Names with two underscores at both ends are what loaders and plug-in hosts inject.
            if (
                hit.code in ("F821", "F822", "F405")
                and name
                and not (name.startswith("__") and name.endswith("__"))
            ):
                path = Path(hit.filename).relative_to(self._root.absolute()).as_posix()
                if _GENERATED.search(path):
                    continue
                found.setdefault(path, []).append(
                    Undefined(
                        name, hit.location.row, hit.location.column, hit.code == "F405", hit.code == "F822"
                    )
                )
        return found


_GENERATED = re.compile(r"_pb2(_grpc)?\.py$")
"""Written by the protocol buffer compiler, whose run time puts the names in."""
_OTHER_SILENCERS = re.compile(r"#.*(undefined-variable|E0602|name-defined|reportUndefinedVariable)")
"""Comments by which an author told another linter that the name comes from elsewhere."""


def sift(text: str, hits: list[Undefined]) -> list[Undefined]:
    """The hits that can really fail: names no branch for another Python and no trick with ``globals()`` explains.

    Names found only in annotations are marked, since those are not evaluated when the line runs.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    if defines_dynamically(tree):
        return []
    lazy, quoted = _annotations(tree)
    branches, lines = _other_python(tree), text.splitlines()
    lends = any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree.body)
    kept = []
    for hit in hits:
        place = (hit.line, hit.column)
        if hit.line <= len(lines) and _OTHER_SILENCERS.search(lines[hit.line - 1]):
            continue
        if (
            any(start <= hit.line <= end for start, end in branches)
            or _within(place, quoted)
            or (hit.exported and lends)
        ):
            continue
        kept.append(Undefined(hit.name, hit.line, hit.column, hit.star, hit.exported, _within(place, lazy)))
    return kept


Span = tuple[tuple[int, int], tuple[int, int]]


def _within(place: tuple[int, int], spans: list[Span]) -> bool:
    return any(start <= place < end for start, end in spans)


def _annotations(tree: ast.Module) -> tuple[list[Span], list[Span]]:
    """Where annotations stand that are not evaluated when the code runs, and where within them quoted ones do."""
    lazy: list[Span] = []
    quoted: list[Span] = []
    postponed = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    ) and any(
        alias.name == "annotations"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
    local = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for inner in ast.walk(node)
        if isinstance(inner, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            part = getattr(node, name, None)
            if isinstance(part, ast.expr):
                quoted.extend(
                    _span(item)
                    for item in ast.walk(part)
                    if isinstance(item, ast.Constant) and isinstance(item.value, str)
                )
                if postponed or node in local:
                    lazy.append(_span(part))
    return lazy, quoted


def _span(node: ast.expr) -> Span:
    return (node.lineno, node.col_offset + 1), (
        node.end_lineno or node.lineno,
        (node.end_col_offset or 0) + 1,
    )


def _other_python(tree: ast.Module) -> list[tuple[int, int]]:
    """Line ranges of branches that another version of Python, or another interpreter, takes."""
    marks = ("version_info", "PY2", "PY3", "python_implementation", "hexversion")
    return [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, (ast.If, ast.IfExp)) and any(mark in ast.dump(node.test) for mark in marks)
    ]


def parses_elsewhere(root: Path, path: str) -> bool:
    """Whether ruff, which knows newer grammars, can parse a file that this interpreter cannot."""
    ruff = find_ruff()
    if ruff is None:
        return False
    done = subprocess.run(
        [ruff, "check", "--isolated", "--no-cache", "--select", "F821", "--output-format", "json", "--quiet",
         "--target-version", "py313", "--no-force-exclude", f"./{path}"],
        cwd=root, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        return False
    try:
        return all(item["code"] not in (None, "invalid-syntax") for item in json.loads(done.stdout or b"[]"))
    except ValueError:
        return False
