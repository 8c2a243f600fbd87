"""Finding the files of a tree without ever getting lost in it.

Links to folders are not followed (their targets inside the tree are visited anyway, those outside belong to
somebody else), only regular files are opened, and each is read at most up to a size.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from msgspec import Struct

from tandem.audit.source import Kind, kind_of

MAX_BYTES = 4 * 1024 * 1024
"""Larger files are named in the report and not read; no hand-written source comes near."""

SKIPPED_FOLDERS = frozenset({
    ".git", ".hg", ".svn", ".tox", ".nox", ".eggs", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache",
    ".pytest_cache", ".ruff_cache", ".hypothesis", ".idea", ".vscode", "site-packages",
})  # fmt: skip


class Entry(Struct, frozen=True):
    """A file worth reading: ``path`` relative to the tree, size in bytes, time of change in ns."""

    path: str
    kind: Kind
    size: int
    mtime_ns: int


class Skipped(Struct, frozen=True):
    """A file or folder that was not read, and why."""

    path: str
    reason: str


class Walk(Struct):
    """What a walk found. ``others`` are the paths of files no rule reads (scripts may name them)."""

    entries: list[Entry]
    skipped: list[Skipped]
    others: list[str]


def walk(root: Path, exclude: Iterable[str] = ()) -> Walk:
    """All readable files below ``root``, sorted by path. ``exclude`` are shell patterns of relative paths."""
    found = Walk([], [], [])
    patterns = tuple(exclude)
    if root.is_file():
        _visit_file(root.parent, root.name, root.stat(), found)
        return found
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            listing = sorted(os.scandir(root / folder), key=lambda item: item.name)
        except OSError as error:
            found.skipped.append(Skipped(folder or ".", error.strerror or "unreadable"))
            continue
        for item in listing:
            path = f"{folder}/{item.name}" if folder else item.name
            if any(fnmatch(path, pattern) for pattern in patterns):
                continue
            pending.extend(_visit(root, path, item, found))
    found.entries.sort(key=lambda entry: entry.path)
    return found


def _visit(root: Path, path: str, item: os.DirEntry[str], found: Walk) -> Iterator[str]:
    """Record one directory entry; yields it when it is a folder to descend into."""
    try:
        if item.is_symlink():
            if item.is_dir():
                found.skipped.append(Skipped(path, "link to a folder"))
                return
            if not item.is_file():
                found.skipped.append(Skipped(path, "dangling link"))
                return
            if Path(os.path.realpath(root / path)).is_relative_to(os.path.realpath(root)):
                return
        if item.is_dir(follow_symlinks=False):
            if item.name not in SKIPPED_FOLDERS and not (root / path / "pyvenv.cfg").exists():
                yield path
            return
        _visit_file(root, path, item.stat(), found)
    except OSError as error:
        found.skipped.append(Skipped(path, error.strerror or "unreadable"))


def _visit_file(root: Path, path: str, status: os.stat_result, found: Walk) -> None:
    kind = kind_of(path.rpartition("/")[2])
    if not stat.S_ISREG(status.st_mode):
        if kind is not None:
            found.skipped.append(Skipped(path, "not a regular file"))
    elif kind is None:
        if status.st_size < MAX_BYTES and _is_script(root / path):
            found.entries.append(Entry(path, Kind.SHELL, status.st_size, status.st_mtime_ns))
        else:
            found.others.append(path)
    elif status.st_size > MAX_BYTES:
        found.skipped.append(
            Skipped(path, f"{status.st_size / 1e6:.0f} MB, larger than {MAX_BYTES / 1e6:.0f} MB")
        )
    else:
        found.entries.append(Entry(path, kind, status.st_size, status.st_mtime_ns))


def _is_script(path: Path) -> bool:
    """A file without a suffix that a shell runs."""
    if path.suffix:
        return False
    try:
        with path.open("rb") as file:
            first = file.readline(80)
    except OSError:
        return False
    return first.startswith(b"#!") and b"sh" in first and b"python" not in first
