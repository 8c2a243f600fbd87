"""What heartbeats say about another machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.supervise.link_state import BEAT_S, CUT_S, DOUBT_S, Beat, Heard, LinkState, PeerLink


def linked(at: float = 0.0) -> PeerLink:
    """A link that has just come up."""
    link = PeerLink("here", at)
    link.beat(Beat(sent=0.0), at, 0.0)
    assert link.judge(at)
    assert link.state is LinkState.UP
    return link


def test_a_machine_that_was_never_heard_is_not_cut_off() -> None:
    """Without a first heartbeat there is no link that could be cut."""
    link = PeerLink("here", 0.0)
    assert not link.judge(CUT_S * 10)
    assert link.state is LinkState.NEVER


def test_one_missing_beat_is_no_cut() -> None:
    """A beat that comes one period late changes nothing."""
    link = linked()
    assert not link.judge(BEAT_S * 2)
    assert link.state is LinkState.UP


def test_silence_is_doubted_before_it_counts() -> None:
    """There is time to look for the machine by another way before it counts as cut off."""
    link = linked()
    assert not link.is_doubtful(DOUBT_S)
    assert link.is_doubtful(CUT_S)
    assert link.judge(CUT_S + 0.01)
    assert link.state is LinkState.CUT
    assert link.since == CUT_S + 0.01


def test_a_machine_that_takes_connections_is_silent_not_cut() -> None:
    """A node that is replaced, or an event server that is away, must not keep calls from passing."""
    link = linked()
    link.found(CUT_S)
    link.judge(CUT_S + 1)
    assert link.state is LinkState.SILENT
    link.judge(CUT_S * 2 + 1)
    assert link.state is LinkState.CUT


@pytest.mark.parametrize("silence", [CUT_S + 1, 3600.0])
def test_a_beat_ends_the_cut(silence: float) -> None:
    """One heartbeat is enough to count as linked again."""
    link = linked()
    link.judge(silence)
    link.beat(Beat(sent=0.0), silence + 1, 0.0)
    assert link.judge(silence + 1)
    assert link.state is LinkState.UP


@given(
    ahead=st.floats(-86_400, 86_400),
    there=st.floats(0, 5),
    held=st.floats(0, 5),
    slack=st.floats(0, 5),
)
def test_the_clocks_difference_is_known_within_half_a_round_trip(
    ahead: float, there: float, held: float, slack: float
) -> None:
    """However unevenly the two ways take time, the error is bounded by the round trip, as in NTP."""
    link = PeerLink("here", 0.0)
    received_there = 1000.0 + there + ahead
    beat = Beat(sent=received_there + held, heard={"here": Heard(1000.0, received_there)})
    link.beat(beat, 1.0, 1000.0 + there + held + slack)
    best = link.best
    assert best is not None
    assert best.round_trip_s == pytest.approx(there + slack, abs=1e-6)
    assert abs(best.ahead_s - ahead) <= (there + slack) / 2 + 1e-6


def test_the_quickest_of_the_newest_exchanges_counts() -> None:
    """A beat that was held up somewhere does not spoil the estimate."""
    link = PeerLink("here", 0.0)
    link.beat(Beat(sent=10.0, heard={"here": Heard(9.9, 9.95)}), 1.0, 10.05)
    link.beat(Beat(sent=12.0, heard={"here": Heard(11.9, 11.95)}), 3.0, 15.0)
    assert link.best is not None
    assert link.best.round_trip_s == pytest.approx(0.1)
