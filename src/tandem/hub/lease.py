"""Which hub sends alerts: the first of the fleet file that is alive, handed over without a gap or an overlap. Pure.

Hubs that cannot hear each other both send, since a lost alert is worse than a repeated one; the alert's key is the same
and it says that the machines are apart.
"""

from __future__ import annotations

from collections.abc import Sequence

SILENT_S = 3.0
"""A hub not heard for this long is taken for dead. With a beat every second, two may get lost; takeover in under 5 s."""


class AlertLease:
    """The claim of one hub. ``ranking``: machines that have a hub, the preferred one first. Times are monotonic seconds."""

    def __init__(self, me: str, ranking: Sequence[str], now: float):
        self._rank = {machine: number for number, machine in enumerate(ranking)}
        self._mine = self._rank[me]
        self._began = now
        self._heard: dict[str, tuple[float, bool]] = {}

    def heard(self, machine: str, alerting: bool, now: float) -> None:
        """The hub of ``machine`` beat and said whether it sends alerts."""
        if machine in self._rank:
            self._heard[machine] = (now, alerting)

    def holds(self, now: float) -> bool:
        """Whether this hub sends alerts now.

        It gives way to a better-ranked one at once; it takes the task back when the other one has said that it let go, or
        is silent. A hub that has just started listens first.
        """
        alive = {machine: alerting for machine, (at, alerting) in self._heard.items() if now - at < SILENT_S}
        if len(self._rank) > 1 and now - self._began < SILENT_S and len(alive) < len(self._rank) - 1:
            return False
        if any(self._rank[machine] < self._mine for machine in alive):
            return False
        return not any(alive.values())

    def apart(self, now: float) -> list[str]:
        """Machines whose hub is not heard, so that it may send the same alert."""
        mine = self._mine
        return [
            machine
            for machine, rank in self._rank.items()
            if rank != mine and now - self._heard.get(machine, (float("-inf"), False))[0] >= SILENT_S
        ]
