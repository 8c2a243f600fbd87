"""Modules that no entry point ever imports."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.source import is_test_path

_EXEMPT = re.compile(
    r"(^|/)(__init__|setup|conftest|noxfile|manage|version|_version|sitecustomize|tasks|fabfile)\.py$|(^|/)(docs?|examples?|migrations|benchmarks?)/"
)


def _project(project: Project) -> Iterator[Finding]:
    entries = project.entries
    if not entries.roots or any(
        "dist-info/" in path or "egg-info/" in path for path in (*project.others, *project.kinds)
    ):
        return
    # What an installed package offers may be imported by anybody; only a fleet is known to be complete.
    library = not project.declared and any(
        project.exists(name) for name in ("pyproject.toml", "setup.py", "setup.cfg")
    )
    tests = {path for path in project.modules if is_test_path(path)}
    reached = set().union(*entries.loads.values()) if entries.loads else set()
    confidence = Confidence.HIGH if entries.declared else Confidence.MEDIUM
    searched = {
        posixpath.dirname(path) for path, facts in project.modules.items() if facts.loads and path in reached
    }
    for path, facts in project.modules.items():
        if path in reached or path in tests or _EXEMPT.search(path) or facts.runs_at_import:
            continue
        if library and f"{posixpath.dirname(path)}/__init__.py" in project.modules:
            continue
        if any(folder and path.startswith(f"{folder}/") for folder in searched):
            continue
        if facts.compiles and (facts.names or facts.imports):
            message = (
                f"none of the {len(entries.roots)} entry points imports this module ({facts.lines} lines)"
            )
            yield RULE.at(path, 1, 1, message, confidence=confidence)


RULE = Rule(
    id="unused-module",
    title="A module nothing imports",
    severity=Severity.NOTE,
    why="It is read, searched, migrated and repaired like the rest, and does nothing.",
    how=(
        "Delete it (the history keeps it); if something outside starts it, name it under `entry_points` "
        "in `[tool.tandem.audit]`."
    ),
    project=_project,
)
