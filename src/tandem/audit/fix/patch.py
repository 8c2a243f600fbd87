"""Changes as a git-style patch, which ``git apply`` takes forwards and, with ``-R``, backwards."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from tandem.audit.fix.workspace import Text


class Change(Struct, frozen=True):
    """A file before and after, and the rules whose findings the change answers."""

    path: str
    rules: tuple[str, ...]
    before: Text
    after: str


def diff(change: Change) -> str:
    """The unified diff of one change with git's header."""
    before, after = change.before.text.splitlines(keepends=True), change.after.splitlines(keepends=True)
    lines = difflib.unified_diff(before, after, f"a/{change.path}", f"b/{change.path}")
    body = "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
    return f"diff --git a/{change.path} b/{change.path}\n{body}" if body else ""


def patch(changes: Iterable[Change]) -> bytes:
    """One patch for all changes, each file in its own encoding."""
    return b"".join(change.before.encode(diff(change)) for change in changes)


def undo_file(root: Path) -> Path:
    """Where the way back is kept: below ``$XDG_STATE_HOME`` or ``~/.local/state``, never in the tree."""
    base = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "tandem" / "fix"
    base.mkdir(parents=True, exist_ok=True)
    return base / f"{root.absolute().name or 'root'}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.patch"


def write(root: Path, changes: Iterable[Change]) -> None:
    """Write the changed files, each in one step and with its mode kept.

    Raises ``RuntimeError`` when a file is no longer what the change was made for; nothing is written then.
    """
    listed = list(changes)
    for change in listed:
        if (root / change.path).read_bytes() != change.before.encode(change.before.text):
            raise RuntimeError(f"{change.path} has changed meanwhile; nothing was written")
    for change in listed:
        path = root / change.path
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(change.before.encode(change.after))
        temporary.chmod(path.stat().st_mode)
        temporary.replace(path)
