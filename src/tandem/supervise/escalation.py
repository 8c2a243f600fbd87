"""From an agent that cannot be kept alive to its group, and from there to the operator."""

from __future__ import annotations

from typing import Literal

Level = Literal["its group", "the operator"]

WINDOW_S = 600.0
"""A second alarm in one group within this time is more than one agent's trouble."""


class Escalations:
    """Remembers alarms. The first of a group goes to the group, the next one to the operator."""

    def __init__(self) -> None:
        self._alarms: dict[str, list[tuple[float, str]]] = {}

    def note(self, agent: str, group: str, now: float) -> Level:
        """An agent died too often; who is told. ``now``: monotonic seconds."""
        recent = [(at, who) for at, who in self._alarms.get(group, []) if now - at < WINDOW_S]
        self._alarms[group] = [*recent, (now, agent)]
        return "the operator" if recent else "its group"

    def issues(self, agent: str, group: str, now: float) -> list[str]:
        """What to show beside ``agent``."""
        recent = [who for at, who in self._alarms.get(group, []) if now - at < WINDOW_S]
        if agent not in recent:
            return []
        told = "the operator" if len(recent) > 1 else "its group"
        return [f"it died too often; escalated to {told}"]
