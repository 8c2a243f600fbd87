"""When a silent link is restarted."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from tandem.core import clock
from tandem.events.healing import PATIENCE_MAX_S, PATIENCE_S, STALE_S, Patience, SourceState


class Clock:
    """Time turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def time(monkeypatch):
    """The clock the code under test reads."""
    time = Clock()
    monkeypatch.setattr(clock, "monotonic", lambda: time.now)
    return time


def test_a_silent_link_is_restarted_at_once_then_ever_more_seldom(time):
    """After a cut nothing is waited for; a restart that does not help is repeated after growing pauses."""
    patience = Patience()
    restarts = []
    while time.now < 1200.0:
        if patience.is_due("a"):
            restarts.append(time.now - 1000.0)
        time.now += 0.5
    gaps = [later - earlier for earlier, later in pairwise(restarts)]
    assert restarts[0] == 0.0
    assert gaps[0] == PATIENCE_S
    assert gaps == sorted(gaps)
    assert gaps[-1] == PATIENCE_MAX_S


def test_a_lively_link_starts_afresh(time):
    """Once it works, the next silence is met without delay, whatever was before; links do not share their waits."""
    patience = Patience()
    for _ in range(5):
        time.now += PATIENCE_MAX_S
        assert patience.is_due("a")
    assert not patience.is_due("a")
    assert patience.is_due("b")
    assert patience.waiting
    patience.lively("a")
    patience.lively("b")
    assert not patience.waiting
    assert patience.is_due("a")


@pytest.mark.parametrize(
    ("active", "silent"),
    [(-1, True), (0, False), (int(STALE_S * 1e9), False), (int(STALE_S * 1e9) + 1, True)],
)
def test_silence_is_read_from_what_the_server_says(active, silent):
    """``active`` is the age of the last sign of life, -1 for none."""
    raw = b'{"name":"X","lag":0,"active":%d,"external":{"api":"$JS.pc2.API","deliver":""}}' % active
    state = msgspec.json.decode(raw, type=SourceState)
    assert state.silent() is silent
    assert state.external.api == "$JS.pc2.API"
