"""Who is told of an agent that dies too often, decided without a process."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import given

from tandem.supervise.escalation import CALM_S, LADDER, Before, Book, Ground, Level, Trouble, escalate
from tandem.supervise.lifecycle import Breaker


def trouble(agent: str = "A", was: Breaker = Breaker.CLOSED, bar: str = "") -> Trouble:
    return Trouble(agent=agent, instance="i", group="g", deaths=10, was=was, bar=bar)


def test_every_case_is_decided() -> None:
    """The ladder has a rung for everything that can have been done before, on every ground."""
    assert set(LADDER) == {(before, ground) for before in Before for ground in Ground}


def test_first_the_group_then_the_operator_then_nobody() -> None:
    """A calm group is restarted; when the one try after it fails too the operator is told, once."""
    book, first = escalate(Book(), trouble(), 0.0)
    book, second = escalate(book, trouble(was=Breaker.HALF_OPEN), 5.0)
    book, third = escalate(book, trouble(was=Breaker.HALF_OPEN), 35.0)
    assert first is not None and first.level is Level.GROUP
    assert second is not None and second.level is Level.OPERATOR and "did not help" in second.why
    assert third is None


def test_a_group_is_not_restarted_twice_within_ten_minutes() -> None:
    """A second agent's alarm in the same group goes to the operator; another group has its own book."""
    book, _ = escalate(Book(), trouble("A"), 0.0)
    book, second = escalate(book, trouble("B"), CALM_S - 1)
    assert second is not None and second.level is Level.OPERATOR and "another alarm" in second.why
    other = Trouble(agent="C", instance="i", group="h", deaths=10, was=Breaker.CLOSED)
    _, elsewhere = escalate(book, other, CALM_S - 1)
    assert elsewhere is not None and elsewhere.level is Level.GROUP


def test_one_that_was_well_in_between_begins_anew() -> None:
    """After service that closed its breaker, and ten calm minutes, its group may be restarted once more."""
    book, _ = escalate(Book(), trouble(), 0.0)
    book, told = escalate(book, trouble(was=Breaker.HALF_OPEN), 1.0)
    _, again = escalate(book, trouble(), 2 + CALM_S)
    assert told is not None and again is not None and again.level is Level.GROUP


def test_what_cannot_be_restarted_goes_to_the_operator_with_the_reason() -> None:
    """A group that is barred is left alone, and the alarm says why."""
    _, alarm = escalate(Book(), trouble(bar="it is alone in its group"), 0.0)
    assert alarm is not None and alarm.level is Level.OPERATOR and alarm.why == "it is alone in its group"


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 900), st.sampled_from("ABC"), st.sampled_from([Breaker.CLOSED, Breaker.HALF_OPEN])
        ),
        max_size=60,
    )
)
def test_it_never_storms(steps: list[tuple[float, str, Breaker]]) -> None:
    """Whatever happens, a group is restarted at most once in ten minutes, and no agent's reopening is told twice."""
    book, now = Book(), 0.0
    restarts: list[float] = []
    told: set[str] = set()
    for wait, name, was in steps:
        now += wait
        if was is Breaker.CLOSED:
            told.discard(name)
        book, alarm = escalate(book, trouble(name, was), now)
        if alarm is not None and alarm.level is Level.GROUP:
            assert was is Breaker.CLOSED or name not in told
            restarts.append(now)
        elif alarm is not None:
            assert name not in told
            told.add(name)
    assert all(later - earlier >= CALM_S for earlier, later in pairwise(restarts))
