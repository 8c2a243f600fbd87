"""What heartbeats and their absence say about another machine: pure, all times are given."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from msgspec import Struct

from tandem.supervise.made_of import MadeOf

BEAT_S = 2.0
"""Seconds between heartbeats (design 5.3)."""

DOUBT_S = 3.0
"""Silence after which the machine is looked for by another way: one beat is missing and late."""

CUT_S = 4.0
"""Silence after which a machine that cannot be found by another way either counts as cut off."""

SKEW_S = 1.0
"""Clocks further apart than this are worth a word; tokens tolerate 30 s (``LEEWAY_S``)."""

_SAMPLES = 4
"""Of the newest exchanges the quickest tells the clocks' difference best (RFC 5905, clock filter)."""


class LinkState(StrEnum):
    """``UP``: heartbeats come. ``SILENT``: none come, yet something there takes connections or refuses them.
    ``CUT``: nothing gets through. ``NEVER``: no heartbeat has come so far."""

    NEVER = "never"
    UP = "up"
    SILENT = "silent"
    CUT = "cut"


class Heard(Struct, frozen=True, array_like=True):
    """A heartbeat of ours as the other machine got it: when we sent it by our clock, when it came by theirs."""

    sent: float
    received: float


class Beat(Struct, frozen=True):
    """One heartbeat: Unix seconds of the sender, the last beat it got from each other machine, a token of its node, and what
    its agents are made of."""

    sent: float
    heard: dict[str, Heard] = {}
    proof: str = ""
    made: MadeOf | None = None


class Sample(Struct, frozen=True):
    """One exchange: seconds for the round trip, and how far the other clock is ahead of ours."""

    round_trip_s: float
    ahead_s: float


class PeerLink:
    """One other machine, as this one knows it."""

    def __init__(self, own: str, now: float):
        self._own = own
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self._beat_at: float | None = None
        self._found_at: float | None = None
        self._born_at = now
        self.heard: Heard | None = None
        self.made: MadeOf | None = None
        """What its agents were made of at the last heartbeat."""
        self.state = LinkState.NEVER
        self.since = now
        """Monotonic seconds of the last change of ``state``."""

    def beat(self, beat: Beat, now: float, wall: float) -> None:
        """A heartbeat came."""
        self._beat_at = now
        self.heard, self.made = Heard(beat.sent, wall), beat.made
        echo = beat.heard.get(self._own)
        if echo is not None:
            round_trip = (wall - echo.sent) - (beat.sent - echo.received)
            ahead = ((echo.received - echo.sent) + (beat.sent - wall)) / 2
            self._samples.append(Sample(max(0.0, round_trip), ahead))

    def found(self, now: float) -> None:
        """The machine took or refused a connection, so packets pass both ways."""
        self._found_at = now

    def is_doubtful(self, now: float) -> bool:
        """Whether to look for it by another way."""
        return now - self._last_beat() > DOUBT_S

    def judge(self, now: float) -> bool:
        """Bring ``state`` up to date; whether it changed."""
        before = self.state
        if now - self._last_beat() <= CUT_S:
            self.state = LinkState.NEVER if self._beat_at is None else LinkState.UP
        elif self._found_at is not None and now - self._found_at <= CUT_S:
            self.state = LinkState.SILENT
        else:
            self.state = LinkState.NEVER if self._beat_at is None else LinkState.CUT
        if self.state is before:
            return False
        if self.state is not LinkState.UP:
            self._samples.clear()
        self.since = now
        return True

    @property
    def best(self) -> Sample | None:
        """The quickest of the newest exchanges; None before the first."""
        return min(self._samples, key=lambda sample: sample.round_trip_s, default=None)

    def _last_beat(self) -> float:
        return self._born_at if self._beat_at is None else self._beat_at
