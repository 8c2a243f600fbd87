"""What an instance has answered, for whoever compares it with another one."""

from __future__ import annotations

from msgspec import Struct


class Tally(Struct):
    """Counts since the process began. ``failed`` are those of ``calls`` that were answered with an error, ``reports``
    the errors it told the error bus of, whether a call was behind them or not."""

    calls: int = 0
    failed: int = 0
    reports: int = 0
