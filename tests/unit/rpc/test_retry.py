"""Which failed attempts may be repeated."""

from __future__ import annotations

import pytest

from tandem.core.errors import (
    Draining,
    InvalidArguments,
    NotFound,
    Overloaded,
    PermissionDenied,
    TandemError,
    Unreachable,
)
from tandem.rpc.breaker import CircuitOpen
from tandem.rpc.channel import KeysDiffer
from tandem.rpc.link import ConnectionLost, NotSent
from tandem.rpc.retry import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MAX_CONNECTS,
    MAX_HANDSHAKES,
    Ran,
    pause_before_retry,
)


@pytest.mark.parametrize(
    ("error", "ran", "idempotent", "again"),
    [
        (Draining("x"), Ran.NO, False, True),
        (Draining("x"), Ran.PERHAPS, False, False),
        (Draining("x"), Ran.PERHAPS, True, True),
        (Overloaded("x"), Ran.NO, False, True),
        (Overloaded("x"), Ran.PERHAPS, False, False),
        (Unreachable("x"), Ran.NO, False, True),
        (Unreachable("x"), Ran.PERHAPS, True, False),
        (NotSent("x"), Ran.NO, False, True),
        (ConnectionLost("x"), Ran.PERHAPS, False, True),
        (CircuitOpen("x"), Ran.NO, True, False),
        (NotFound("x"), Ran.NO, True, False),
        (PermissionDenied("x"), Ran.NO, True, False),
        (InvalidArguments("x"), Ran.NO, True, False),
    ],
    ids=lambda value: getattr(value, "name", None) or type(value).__name__,
)
def test_what_is_repeated(error: TandemError, ran: Ran, idempotent: bool, again: bool) -> None:
    """Only what cannot have run, may run twice, or would be recognised is repeated."""
    assert (pause_before_retry(error, ran, 1, idempotent=idempotent) is not None) is again


def test_connecting_is_given_up_soon() -> None:
    """A peer that refuses connections is not asked for the whole budget; a draining one is."""
    assert pause_before_retry(Unreachable("x"), Ran.NO, MAX_CONNECTS, idempotent=True) is None
    assert pause_before_retry(KeysDiffer("x"), Ran.NO, MAX_HANDSHAKES - 1, idempotent=False) is not None
    assert pause_before_retry(KeysDiffer("x"), Ran.NO, MAX_HANDSHAKES, idempotent=True) is None
    assert pause_before_retry(Draining("x"), Ran.NO, 100, idempotent=False) is not None


def test_pauses_grow_and_are_bounded() -> None:
    """Each pause is at most twice the one before, never above the longest, and jitter only shortens it."""
    pauses = [pause_before_retry(Draining("x"), Ran.NO, n, idempotent=True, jitter=1.0) for n in range(1, 12)]
    assert pauses[0] == FIRST_PAUSE_S
    assert pauses[-1] == LONGEST_PAUSE_S
    shortest = pause_before_retry(Draining("x"), Ran.NO, 1, idempotent=True, jitter=0.0)
    assert shortest == FIRST_PAUSE_S / 2


def test_lost_connection_is_replaced_at_once() -> None:
    """The first repetition after a loss does not wait."""
    assert pause_before_retry(ConnectionLost("x"), Ran.PERHAPS, 1, idempotent=True) == 0.0
    assert pause_before_retry(ConnectionLost("x"), Ran.PERHAPS, 2, idempotent=True, jitter=1.0) > 0
