"""Which failed attempts may be repeated, and when: a pure decision.

Repeating is safe when the action cannot have run (it was refused, or never sent), when running twice does no
harm (idempotent), or when the same instance would recognise the call's id.
"""

from __future__ import annotations

import random
from enum import Enum, auto

from tandem.core.errors import Draining, Overloaded, TandemError, Unreachable
from tandem.rpc.breaker import CircuitOpen
from tandem.rpc.channel import KeysDiffer
from tandem.rpc.link import ConnectionLost

MAX_CONNECTS = 4
"""Attempts to connect within one call. A peer that starts or restarts keeps its socket, so a refused connection
means that it was stopped: waiting out the whole budget would help nobody."""

MAX_HANDSHAKES = 10
"""Attempts while keys differ, about two seconds: a peer that got new keys is known by the old ones until its lease has
come from the other machine."""

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5


class Ran(Enum):
    """Whether the action may have run in the failed attempt."""

    NO = auto()
    PERHAPS = auto()


def pause_before_retry(
    error: TandemError, ran: Ran, attempt: int, *, idempotent: bool, jitter: float | None = None
) -> float | None:
    """Seconds to wait before the next attempt (``attempt`` counts from 1), or None to give up.

    ``jitter`` in [0, 1) spreads callers that failed together; random when None.
    """
    spread = random.random() if jitter is None else jitter
    pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempt - 1)) * (0.5 + spread / 2)
    if isinstance(error, ConnectionLost):
        # Whether a call that is not idempotent may be repeated depends on who answers next; see Peers.
        return 0.0 if attempt == 1 else pause
    if isinstance(error, CircuitOpen):
        return None
    if isinstance(error, KeysDiffer):
        return pause if ran is Ran.NO and attempt < MAX_HANDSHAKES else None
    if isinstance(error, Unreachable):
        return pause if ran is Ran.NO and attempt < MAX_CONNECTS else None
    if isinstance(error, Draining | Overloaded):
        return pause if ran is Ran.NO or idempotent else None
    return None
