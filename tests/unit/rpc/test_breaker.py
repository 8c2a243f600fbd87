"""The circuit breaker's state table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.rpc.breaker import (
    CLOSED,
    FAILURES_TO_OPEN,
    OPEN_S,
    TABLE,
    Breaker,
    BreakerEvent,
    BreakerState,
    admit,
    advance,
)

E, S = BreakerEvent, BreakerState


def opened(at: float = 0.0) -> Breaker:
    """A breaker that has just opened."""
    breaker = CLOSED
    for _ in range(FAILURES_TO_OPEN):
        breaker = advance(breaker, E.FAILED, at)
    return breaker


def test_table_is_complete() -> None:
    """Every event has an entry in every state."""
    assert set(TABLE) == {(state, event) for state in S for event in E}


def test_opens_after_failures_in_a_row() -> None:
    """The fifth failure in a row opens it, and a success in between starts the count anew."""
    breaker = CLOSED
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker = advance(breaker, E.FAILED, 0)
    assert breaker.state is S.CLOSED
    assert advance(breaker, E.FAILED, 0).state is S.OPEN
    assert advance(advance(breaker, E.SUCCEEDED, 0), E.FAILED, 0) == Breaker(S.CLOSED, 1)


def test_one_probe_after_the_pause() -> None:
    """While open nobody passes; after the pause exactly one does."""
    breaker, through = admit(opened(at=100), 100 + OPEN_S - 0.1)
    assert not through
    breaker, through = admit(breaker, 100 + OPEN_S)
    assert through and breaker.state is S.HALF_OPEN
    breaker, through = admit(breaker, 100 + OPEN_S + 1)
    assert not through


@pytest.mark.parametrize(
    ("event", "state"),
    [(E.SUCCEEDED, S.CLOSED), (E.FAILED, S.OPEN), (E.ABANDONED, S.OPEN), (E.REPLACED, S.OPEN)],
)
def test_probe_decides(event: BreakerEvent, state: BreakerState) -> None:
    """A good probe closes, a bad one opens for another pause, one that tells nothing lets the next probe."""
    breaker, _ = admit(opened(), OPEN_S)
    after = advance(breaker, event, OPEN_S)
    assert after.state is state
    if event is E.FAILED:
        assert after.probe_at == 2 * OPEN_S
    elif state is S.OPEN:
        assert admit(after, OPEN_S)[1]


def test_lost_probe_is_followed_by_another() -> None:
    """A probe that never tells anything cannot keep the breaker half-open for ever."""
    breaker, _ = admit(opened(), OPEN_S)
    assert admit(breaker, 2 * OPEN_S)[1]


def test_new_instance_is_probed_at_once() -> None:
    """A replaced peer need not wait out the pause."""
    assert admit(advance(opened(), E.REPLACED, 1), 1)[1]


@given(st.lists(st.tuples(st.sampled_from([e for e in E if e is not E.ASKED]), st.floats(0, 30))))
def test_whatever_happens_a_peer_gets_another_chance(history: list[tuple[BreakerEvent, float]]) -> None:
    """After any history a call passes within one pause."""
    breaker, now = CLOSED, 0.0
    for event, passed in history:
        now += passed
        breaker, _ = admit(breaker, now)
        breaker = advance(breaker, event, now)
    assert admit(breaker, now + OPEN_S)[1]


@given(st.lists(st.sampled_from([E.SUCCEEDED, E.FAILED, E.ABANDONED])))
def test_never_open_without_enough_failures(history: list[BreakerEvent]) -> None:
    """It opens only after as many failures in a row as it takes, abandoned calls aside."""
    breaker, row, worst = CLOSED, 0, 0
    for event in history:
        row = 0 if event is E.SUCCEEDED else row + (event is E.FAILED)
        worst = max(worst, row)
        breaker = advance(breaker, event, 0)
    if worst < FAILURES_TO_OPEN:
        assert breaker.state is S.CLOSED
