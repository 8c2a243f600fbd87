"""Whether a node still gives signs of life; pure, but for the clock it is told."""

from __future__ import annotations

PERIOD_S = 1.0
"""How often a node gives a sign (``WATCHDOG=1`` on its notify pipe, as agents do), and how often the keeper looks."""

SILENT_LOOKS = 60
"""Silent looks in a row after which a node that was heard hangs. Agents get ten seconds; nobody waits for a node to serve."""

FIRST_LOOKS = 90
"""The same for a node that was never heard: it may still import, or wait for a zygote that does."""


class Watch:
    """Counts the looks in a row at which nothing new had been heard.

    A look that comes late does not count: whoever was suspended or held up himself blames nobody for it.
    """

    def __init__(self) -> None:
        self.silent = 0
        """Silent looks in a row: about as many seconds in which the keeper itself ran."""
        self._beat_at: float | None = None
        self._looked_at: float | None = None

    def look(self, now: float, beat_at: float | None) -> bool:
        """Whether it hangs. ``now`` and its last sign of life in monotonic seconds; None: it never gave one."""
        in_time = self._looked_at is not None and now - self._looked_at <= 2 * PERIOD_S
        self._looked_at = now
        if beat_at != self._beat_at:
            self._beat_at, self.silent = beat_at, 0
        elif in_time:
            self.silent += 1
        return self.silent >= (FIRST_LOOKS if beat_at is None else SILENT_LOOKS)
