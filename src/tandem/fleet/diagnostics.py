"""What is wrong with a fleet file, where, and what to do about it.

A diagnostic is data; :func:`tandem.fleet.render.render` turns it into words and carets. Codes are stable:
scripts may match on them, and ``docs/fleet-file.md`` explains each.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from enum import StrEnum

from msgspec import Struct, structs

from tandem.core.errors import ConfigError


class Severity(StrEnum):
    """An error keeps an agent (or, without an agent, the fleet) from starting; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Span(Struct, frozen=True):
    """A place on one line of a text; lines and columns count from 1, ``end_column`` is exclusive."""

    line: int
    column: int
    end_column: int


class Related(Struct, frozen=True, kw_only=True):
    """A second place that explains the first, such as the other owner of a port."""

    message: str
    line: int
    column: int
    end_column: int
    source_line: str


class Diagnostic(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One problem.

    ``line`` and ``column`` count from 1; both are 0 when the problem has no place (a missing file).
    ``where`` is the path of keys that leads there. ``suggestion`` is a sentence for a person.
    ``agent`` is ``Name@machine`` when only that agent is unusable, otherwise the whole fleet is.
    """

    severity: Severity
    code: str
    message: str
    file: str
    line: int = 0
    column: int = 0
    end_column: int = 0
    source_line: str = ""
    where: str = ""
    suggestion: str = ""
    agent: str | None = None
    related: tuple[Related, ...] = ()


class SourceText(Struct, frozen=True):
    """A text and the name it goes by in messages; columns of diagnostics count its characters."""

    name: str
    lines: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, text: str) -> SourceText:
        return cls(name, tuple(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")))

    def line(self, number: int) -> str:
        """The text of line ``number`` (from 1), empty outside the file."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


Path = tuple[str | int, ...]
"""Keys and indices from the top of the document."""


class Report:
    """Collects every problem of one source text, so that a person mends them in one go."""

    def __init__(self, source: SourceText):
        self.source = source
        self._found: dict[Diagnostic, Path] = {}

    def error(
        self, code: str, message: str, span: Span | None, *, path: Path = (), **details: object
    ) -> None:
        """Add an error at ``path``; ``details`` are further fields of :class:`Diagnostic`."""
        self._add(Severity.ERROR, code, message, span, path, details)

    def warning(
        self, code: str, message: str, span: Span | None, *, path: Path = (), **details: object
    ) -> None:
        """Add a warning at ``path``; ``details`` are further fields of :class:`Diagnostic`."""
        self._add(Severity.WARNING, code, message, span, path, details)

    def related(self, message: str, span: Span) -> Related:
        line = self.source.line(span.line)
        return Related(
            message=message, line=span.line, column=span.column, end_column=span.end_column, source_line=line
        )

    def finish(self, agent_at: Callable[[Path], str | None]) -> list[Diagnostic]:
        """All problems in the order of the text, each given to the agent its path belongs to, if any."""
        owned = [
            found if found.agent else structs.replace(found, agent=agent_at(path))
            for found, path in self._found.items()
        ]
        return sorted(owned, key=lambda found: (found.line, found.column, found.severity, found.code))

    def _add(
        self,
        severity: Severity,
        code: str,
        message: str,
        span: Span | None,
        path: Path,
        details: dict[str, object],
    ) -> None:
        place: dict[str, object] = {}
        if span is not None:
            place = {
                "line": span.line,
                "column": span.column,
                "end_column": span.end_column,
                "source_line": self.source.line(span.line),
            }
        found = Diagnostic(
            severity=severity,
            code=code,
            message=message,
            file=self.source.name,
            where=describe_path(path),
            **place,  # type: ignore[arg-type]
            **details,  # type: ignore[arg-type]
        )
        self._found.setdefault(found, path)


def describe_path(path: Path) -> str:
    """``agent NLUAgent, needs[0]`` for the path of that value; empty at the top of the document."""
    match path:
        case ("groups", _, "agents", agent, *rest):
            owner = f"agent {agent}"
        case ("groups", group, *rest):
            owner = f"group {group}"
        case ("machines", machine, *rest):
            owner = f"machine {machine}"
        case _:
            owner, rest = "", list(path)
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest).lstrip(".")
    return ", ".join(part for part in (owner, steps) if part)


class FleetInvalid(ConfigError):
    """The fleet file cannot be used; ``diagnostics`` says why, completely."""

    code = "config"

    def __init__(self, diagnostics: list[Diagnostic]):
        errors = sum(found.severity is Severity.ERROR for found in diagnostics)
        super().__init__(f"{errors} {'error' if errors == 1 else 'errors'} in the fleet file")
        self.diagnostics = diagnostics


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(found.severity is Severity.ERROR for found in diagnostics)


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """``Did you mean "x"?`` for the candidate closest to ``word``, empty when none is close.

    Letter case is ignored, since a wrong capital is the commonest slip in names.
    """
    by_folded: dict[str, str] = {}
    for candidate in candidates:
        by_folded.setdefault(candidate.casefold(), candidate)
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f'Did you mean "{by_folded[close[0]]}"?' if close else ""
