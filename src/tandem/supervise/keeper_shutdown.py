"""Ending everything on one machine: agents first, then what they lean on, then the keeper itself."""

from __future__ import annotations

import signal
import time

from tandem.supervise.keeper_loop import Loop
from tandem.supervise.keeper_units import Units

_STAGES: tuple[tuple[str, ...], ...] = (("node",), ("agent",), ("service",), ())
"""Kinds, in the order they end; the node first, so that nobody restarts what is being ended. Empty: the rest."""

_POLL_S = 0.05
SERVICE_GRACE_S = 5.0


class ShutdownSequence:
    """TERM a stage, KILL it after its grace, and go on when not a process of it is left."""

    def __init__(self, loop: Loop, units: Units, grace_s: float):
        self.done = False
        self._loop = loop
        self._units = units
        self._grace_s = grace_s
        self._stage = -1
        self._deadline = 0.0
        self._next_stage()

    def advance(self) -> None:
        """See what is left of the stage; called after every death and every few milliseconds."""
        if self.done:
            return
        left = self._units.live(*_STAGES[self._stage])
        if not left:
            self._next_stage()
        elif time.monotonic() >= self._deadline:
            for unit in left:
                self._units.signal(unit.instance, signal.SIGKILL)
            self._deadline = time.monotonic() + 1.0

    def _next_stage(self) -> None:
        self._stage += 1
        if self._stage == len(_STAGES):
            self._units.close_all_doors()
            self.done = True
            return
        kinds = _STAGES[self._stage]
        grace = self._grace_s if "agent" in kinds else min(self._grace_s, SERVICE_GRACE_S)
        self._deadline = time.monotonic() + grace
        for unit in self._units.live(*kinds):
            self._units.signal(unit.instance, signal.SIGTERM)
        self._poll()

    def _poll(self) -> None:
        stage = self._stage

        def look() -> None:
            self._units.check_dying()
            self.advance()
            if not self.done and self._stage == stage:
                self._loop.after(_POLL_S, look)

        self._loop.after(0.0, look)
