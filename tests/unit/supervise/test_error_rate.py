from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.agent.tally import Tally
from tandem.supervise.error_rate import FEW_CALLS, baseline, interval, verdict

counts = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("canary", "old", "is_worse"),
    [
        (Tally(50, 5), Tally(1000, 0), True),
        (Tally(3, 3), Tally(1000, 0), True),
        (Tally(50, 2), Tally(1000, 0), False),
        (Tally(50, 5), Tally(50, 5), False),
        (Tally(100, 90), Tally(100, 60), True),
        (Tally(20, 20), Tally(0, 0), False),
        (Tally(0, 0), Tally(1000, 900), False),
        (Tally(50, 0, 12), Tally(50, 0, 0), True),
        (Tally(50, 0, 12), Tally(50, 0, 11), False),
        (Tally(50, 0, 2), Tally(50, 0, 0), False),
    ],
    ids=[
        "one in ten fails", "all of three fail", "two may be chance", "both are troubled", "worse than bad",
        "nothing to compare with", "was never called", "it alone reports", "both report", "two reports may be chance",
    ],
)  # fmt: skip
def test_a_canary_is_judged_beside_what_it_replaces(canary: Tally, old: Tally, is_worse: bool) -> None:
    """Only what is beyond chance and not shared by the old instance speaks against a canary."""
    assert bool(verdict(canary, old)) is is_worse


def test_the_reason_is_told_in_numbers() -> None:
    """People read how many calls of which instance went wrong."""
    assert verdict(Tally(40, 20), Tally(200, 1)) == (
        "answered 20 of 40 calls with an error, the one before 1 of 200"
    )
    assert verdict(Tally(40, 0, 9), Tally(200, 1)) == "reported 9 errors, the one before 0"


@given(st.integers(1, 10_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_the_interval_holds_the_share(found: tuple[int, int]) -> None:
    """The interval lies within 0 and 1 and around the share seen; nothing seen leaves everything possible."""
    hits, of = found
    least, most = interval(hits, of)
    assert 0.0 <= least <= hits / of + 1e-9 and hits / of - 1e-9 <= most <= 1.0
    assert interval(0, 0) == (0.0, 1.0)


@given(counts, counts)
def test_equals_are_never_told_apart(calls: int, failed: int) -> None:
    """Whatever both have done, an instance is never worse than one that did the same."""
    tally = Tally(calls, min(failed, calls), failed)
    assert verdict(tally, tally) == ""


def test_the_trial_counts_unless_nobody_called() -> None:
    """The old instance is judged by what it did meanwhile, and by its whole life where that is next to nothing."""
    then = Tally(1000, 500, 70)
    assert baseline(then, Tally(1000 + FEW_CALLS, 501, 75)) == Tally(FEW_CALLS, 1, 5)
    assert baseline(then, Tally(1001, 501, 75)) == Tally(1001, 501, 5)
