"""A tree of files to mend, and what a plan makes of it."""

from __future__ import annotations

import runpy
import textwrap
from pathlib import Path
from typing import Any

from tandem.audit import Options, audit
from tandem.audit.fix.patch import write
from tandem.audit.fix.plan import Plan, plan


def put(root: Path, **files: str) -> None:
    """Write files; ``__`` in a name is a slash."""
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")


def after(found: Plan, path: str = "a.py") -> str:
    """The certain text of a file."""
    return next((change.after for change in found.changes if change.path == path), "unchanged")


def proposed(found: Plan, path: str = "a.py") -> str:
    """The suggested text of a file."""
    return next((change.after for change in found.suggestions if change.path == path), "nothing")


def run(root: Path, path: str = "a.py") -> dict[str, Any]:
    """Run a file of the tree and return its globals."""
    return runpy.run_path(str(root / path))


def mend(root: Path, *rules: str) -> Plan:
    """Plan, write the certain changes, and check that a second plan finds nothing more to write."""
    found = plan(root, rules)
    write(found.root, found.changes)
    again = plan(root, rules)
    assert again.changes == [], "the mend is not idempotent"
    return found


def left(root: Path, rule: str) -> list[int]:
    """Lines on which ``rule`` still reports."""
    return [item.line for item in audit(Options(root=root, rules=frozenset({rule}), cache=False, jobs=1)).findings]
