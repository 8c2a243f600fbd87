"""How bad an error is."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """From the least to the worst; :attr:`rank` orders them from 0 to 4."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return _RANK[self]

    @classmethod
    def parse(cls, word: str) -> Severity | None:
        """The severity ``word`` names in any case, also as other loggers spell it; None when it names none."""
        return _WORDS.get(word.lower())


SEVERITIES = tuple(Severity)
_RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}
_WORDS = {severity.value: severity for severity in SEVERITIES} | {
    "warn": Severity.WARNING,
    "fatal": Severity.CRITICAL,
}
