"""Files that do not compile."""

from __future__ import annotations

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.source import Source
from tandem.audit.syntax import explain

RULE = Rule(
    id="syntax-error",
    title="The file does not compile",
    severity=Severity.ERROR,
    why="Nothing in this file can run, and everything that imports it fails to start.",
    how="Correct the line named; `tandem fix --rule syntax-error` mends what has exactly one mend.",
)


UNREADABLE = frozenset({"latin-1", "utf-16"})
"""Encodings found by looking at the bytes, where the interpreter would refuse the file for want of a declaration."""


def finding(source: Source, error: BaseException) -> Finding:
    """The finding for a file whose parsing raised ``error``."""
    mistake = explain(source, error)
    message = f"{mistake.message}: {mistake.likely}" if mistake.likely else mistake.message
    return RULE.at(source.path, mistake.line, mistake.column, message)


def encoding(source: Source) -> Finding:
    """The finding for a file whose bytes the interpreter cannot decode."""
    if source.encoding == "utf-16":
        return RULE.at(
            source.path, 1, 1, "the file is saved as UTF-16, which Python does not read: save it as UTF-8"
        )
    message = "the file is not UTF-8 and declares no encoding: it looks like Latin-1, save it as UTF-8"
    for number, line in enumerate(source.lines, 1):
        for column, character in enumerate(line, 1):
            if ord(character) > 127:
                return RULE.at(source.path, number, column, message)
    return RULE.at(source.path, 1, 1, message)


def newer_python(path: str, line: int, column: int, message: str) -> Finding:
    """The finding for a file that compiles, only not with the Python that runs the audit."""
    text = f"{message}: compiles only with a newer Python"
    return RULE.at(path, line, column, text, severity=Severity.WARNING, confidence=Confidence.MEDIUM)
