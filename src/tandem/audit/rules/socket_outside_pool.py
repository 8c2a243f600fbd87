"""Raw ZeroMQ contexts and sockets beside the common pool."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from fnmatch import fnmatch

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.source import is_test_path

_POOL = re.compile(r"(^|_)pools?(_|$)|^pool|connection_?pool")


def _project(project: Project) -> Iterator[Finding]:
    for path, facts in project.modules.items():
        if facts.flow is None or is_test_path(path) or _is_pool(project, path):
            continue
        for site in facts.flow.sites:
            if site.kind == "context":
                shared = site.detail.endswith(".instance")
                message = f"`{site.detail}()` {'takes the shared ZeroMQ context by hand' if shared else 'opens a ZeroMQ context of its own'}"
                yield RULE.at(path, site.line, site.column, message, fixable=False)
            elif site.kind == "socket":
                known = site.detail.isupper()
                kind = f"raw {site.detail} socket" if known else "raw socket"
                confidence = Confidence.HIGH if known else Confidence.MEDIUM
                yield RULE.at(
                    path,
                    site.line,
                    site.column,
                    f"{kind} opened outside the pool",
                    confidence=confidence,
                    fixable=known,
                )


def _is_pool(project: Project, path: str) -> bool:
    """The pool itself: configured, or named so while handing out sockets."""
    if any(fnmatch(path, pattern) for pattern in project.settings.pool):
        return True
    name = posixpath.basename(path).removesuffix(".py")
    folder = posixpath.basename(posixpath.dirname(path))
    return any(_POOL.search(part.lower()) for part in (name, folder))


RULE = Rule(
    id="socket-outside-pool",
    title="A ZeroMQ socket opened by hand",
    severity=Severity.NOTE,
    why=(
        "Every context brings its own I/O thread and every socket its own options: leaks, no time "
        "limits, no reuse."
    ),
    how="Ask the pool for a socket, or better call the peer by name through the platform's client.",
    project=_project,
)
