"""The book of alarms: it only moves forwards, and two books agree by merging."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tandem_agents.infrastructure.alarms import KEEP_SETTLED_S, AlarmBook, merged
from tandem_agents.infrastructure.contracts import Alarm, AlarmState

TEA = Alarm(id="a", kind="timer", due=100.0, created=0.0, label="tea", duration_s=100.0)
STATES = st.sampled_from(get_args(AlarmState))
VERSIONS = st.builds(
    lambda state, settled: structs.replace(TEA, state=state, settled=settled), STATES, st.floats(0, 1e6)
)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_merging_is_commutative_associative_and_idempotent(a: Alarm, b: Alarm, c: Alarm) -> None:
    """Books that exchange versions in any order, any number of times, end up equal."""
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, a) == a


@given(VERSIONS, VERSIONS)
def test_merging_never_goes_back(a: Alarm, b: Alarm) -> None:
    """What has rung or was cancelled never becomes pending again."""
    final = {"rung", "cancelled"}
    if final & {a.state, b.state}:
        assert merged(a, b).state in final


def test_exactly_one_caller_rings(tmp_path: Path) -> None:
    """Moving on is granted once; the second asker gets nothing."""
    book = AlarmBook(tmp_path / "a.db")
    book.merge([TEA])
    assert book.advance("a", "ringing", 100.0) is not None
    assert book.advance("a", "ringing", 100.0) is None
    rung = book.advance("a", "rung", 101.0)
    assert rung is not None
    assert rung.settled == 101.0
    assert book.advance("a", "cancelled", 102.0) is None
    assert book.advance("unknown", "rung", 102.0) is None


def test_an_alarm_is_found_by_its_time_and_state(tmp_path: Path) -> None:
    """Pending alarms come soonest first; the next due is the earliest of them."""
    book = AlarmBook(tmp_path / "a.db")
    assert book.next_due() is None
    book.merge(
        [structs.replace(TEA, id="b", due=50.0), TEA, structs.replace(TEA, id="c", due=10.0, state="rung")]
    )
    assert [alarm.id for alarm in book.in_state("pending")] == ["b", "a"]
    assert book.next_due() == 50.0
    assert len(book.everything()) == 3


def test_merging_tells_what_changed(tmp_path: Path) -> None:
    """Only what is new or further on is reported, so that agreeing books stay quiet."""
    book = AlarmBook(tmp_path / "a.db")
    cancelled = structs.replace(TEA, state="cancelled", settled=5.0)
    assert book.merge([TEA]) == [TEA]
    assert book.merge([TEA]) == []
    assert book.merge([cancelled]) == [cancelled]
    assert book.merge([TEA]) == []


def test_the_book_survives_reopening_and_forgets_in_time(tmp_path: Path) -> None:
    """Alarms are there after a restart; settled ones go after thirty days, pending ones never."""
    first = AlarmBook(tmp_path / "a.db")
    first.merge([TEA, structs.replace(TEA, id="old", state="rung", settled=10.0)])
    first.close()
    book = AlarmBook(tmp_path / "a.db")
    assert {alarm.id for alarm in book.everything()} == {"a", "old"}
    assert book.forget_settled(10.0 + KEEP_SETTLED_S) == 0
    assert book.forget_settled(11.0 + KEEP_SETTLED_S) == 1
    assert [alarm.id for alarm in book.everything()] == ["a"]
