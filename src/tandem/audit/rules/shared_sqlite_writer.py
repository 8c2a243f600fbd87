"""One SQLite file opened by several processes without a write-ahead log."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.rules.sharing import openers
from tandem.audit.source import is_test_path


def _project(project: Project) -> Iterator[Finding]:
    for file, users in openers(project, "sqlite").items():
        users = [user for user in users if not is_test_path(user.path)]
        processes = sorted({process for user in users for process in user.processes})
        writers = [user for user in users if not user.resource.reads]
        if len(processes) < 2 or not writers or all(user.resource.safe for user in writers):
            continue
        named = ", ".join(processes[:4]) + (f" and {len(processes) - 4} more" if len(processes) > 4 else "")
        several = len({process for user in writers for process in user.processes}) > 1
        for user in users:
            mode = "with its write-ahead log on" if user.resource.safe else "without a write-ahead log"
            message = f"`{file}` is opened by {len(processes)} processes ({named}), here {mode}"
            confidence = Confidence.HIGH if several else Confidence.MEDIUM
            severity = Severity.WARNING if several else Severity.NOTE
            yield RULE.at(
                user.path, user.line, user.column, message, confidence=confidence, severity=severity
            )


RULE = Rule(
    id="shared-sqlite-writer",
    title="A database file written by several processes",
    severity=Severity.WARNING,
    why=(
        "SQLite lets one writer in at a time; without a write-ahead log readers block it too: 'database "
        "is locked' under load."
    ),
    how=(
        "Give the file one owner and ask that agent; at least set `PRAGMA journal_mode=WAL` and a busy "
        "timeout everywhere."
    ),
    project=_project,
)
