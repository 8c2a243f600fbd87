"""The bars of `tandem trace`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tandem.cli.trace import BAR_WIDTH, bar

SECONDS = st.floats(0, 1e6)


@given(SECONDS, SECONDS, SECONDS)
def test_a_bar_is_visible_and_fits(offset, duration, total):
    """However long or misplaced a span is, its bar has at least one mark and stays within the column."""
    drawn = bar(offset, duration, total)
    assert drawn.endswith("█")
    assert len(drawn) <= BAR_WIDTH


def test_a_bar_shows_place_and_length():
    """Half of the time from the middle on fills the right half."""
    assert bar(1.0, 1.0, 2.0, width=8) == "    ████"
    assert bar(0.0, 2.0, 2.0, width=8) == "████████"
