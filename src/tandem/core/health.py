"""What an agent says about itself."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct


class Status(StrEnum):
    """The one dialect we speak; :func:`parse_status` also understands the old ones."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    STARTING = "starting"
    STOPPING = "stopping"


class Issue(Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong, in words for a person.

    ``blocking`` issues make the agent unhealthy (it cannot do its job), others only degraded.
    ``fix`` names the command or action that mends it.
    """

    message: str
    fix: str = ""
    blocking: bool = False

    def __str__(self) -> str:
        return f"{self.message} (fix: {self.fix})" if self.fix else self.message


class HealthReport(Struct, frozen=True, kw_only=True):
    """The answer to ``{"action": "health_check"}``; ``timestamp`` is Unix seconds."""

    status: Status
    service: str
    machine: str
    timestamp: float
    issues: list[Issue] = []
    capabilities: list[str] = []


def judge(issues: Iterable[Issue]) -> Status:
    """Healthy without issues, unhealthy with a blocking one, else degraded."""
    listed = list(issues)
    if not listed:
        return Status.HEALTHY
    return Status.UNHEALTHY if any(issue.blocking for issue in listed) else Status.DEGRADED


def parse_status(text: str) -> Status:
    """Any dialect's word for health, as ours.

    Raises ``ValueError`` for a word no dialect uses.
    """
    word = text.strip().lower()
    return Status.HEALTHY if word == "ok" else Status(word)
