"""The words of an audit: severities, findings, and what a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from tandem.audit.project import Project
    from tandem.audit.python.module import PyModule
    from tandem.audit.source import Source


class Severity(StrEnum):
    """What a finding does to the fleet; the values are SARIF's levels."""

    ERROR = "error"
    """Stops something from starting."""
    WARNING = "warning"
    """Will bite while it runs."""
    NOTE = "note"
    """Ugly; costs whoever reads or changes it."""

    @property
    def rank(self) -> int:
        """0 for the gravest."""
        return _RANKS[self]


_RANKS = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


class Confidence(StrEnum):
    """How sure the rule is that the finding is real."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong at one place.

    ``path`` is relative to the audited tree, with forward slashes; ``line`` and ``column`` count from 1.
    ``source`` is the line itself with credentials masked. ``fixable``: ``tandem fix`` offers a change for it.
    """

    rule: str
    path: str
    line: int
    column: int
    message: str
    severity: Severity
    confidence: Confidence = Confidence.HIGH
    fixable: bool = False
    source: str = ""

    @property
    def order(self) -> tuple[int, str, int, int, str, str]:
        """Gravest first, then by place: the order of every report."""
        return (self.severity.rank, self.path, self.line, self.column, self.rule, self.message)


class Rule(Struct, frozen=True, kw_only=True):
    """One rule: what it says, and pure functions that find it.

    ``module`` sees one parsed Python file, ``text`` one file of another kind; their findings depend on that file
    alone and are cached with it. ``project`` sees the facts of the whole tree and runs every time.
    """

    id: str
    title: str
    severity: Severity
    why: str
    how: str
    module: Callable[[PyModule], Iterable[Finding]] | None = None
    text: Callable[[Source], Iterable[Finding]] | None = None
    project: Callable[[Project], Iterable[Finding]] | None = None

    def at(
        self,
        path: str,
        line: int,
        column: int,
        message: str,
        *,
        severity: Severity | None = None,
        confidence: Confidence = Confidence.HIGH,
        fixable: bool = False,
        source: str = "",
    ) -> Finding:
        """A finding of this rule; ``severity`` is the rule's own unless given."""
        return Finding(
            rule=self.id,
            path=path,
            line=line,
            column=column,
            message=message,
            severity=severity or self.severity,
            confidence=confidence,
            fixable=fixable,
            source=source,
        )
