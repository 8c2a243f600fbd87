"""ZeroMQ receives that can wait for ever."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.audit.model import Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.python.points_to import Read
from tandem.audit.source import is_test_path


def _project(project: Project) -> Iterator[Finding]:
    for read in project.reads:
        if read.endless and not is_test_path(read.path):
            yield _finding(read)


def _finding(read: Read) -> Finding:
    origin = read.endless[0]
    kind = f"{origin.site.detail} socket" if origin.site.detail.isupper() else "socket"
    where = f"line {origin.site.line}" if origin.path == read.path else f"{origin.path}:{origin.site.line}"
    message = (
        f"`{read.receive.method}` waits for ever: the {kind} opened on {where} has no RCVTIMEO and is "
        "never polled"
    )
    fixable = origin.path == read.path and len(read.endless) == 1
    return RULE.at(read.path, read.receive.line, read.receive.column, message, fixable=fixable)


RULE = Rule(
    id="recv-without-timeout",
    title="A ZeroMQ receive without a time limit",
    severity=Severity.WARNING,
    why=(
        "When the other side dies or a reply is lost the thread hangs for ever, cannot be stopped, and "
        "its health stays green."
    ),
    how=(
        "Set `RCVTIMEO` where the socket is made, or poll with a time-out before receiving; then handle "
        "`zmq.Again`."
    ),
    project=_project,
)
