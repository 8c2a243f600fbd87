"""Which of two hubs sends alerts."""

from __future__ import annotations

import pytest

from tandem.hub.lease import SILENT_S, AlertLease

HUBS = ("mainpc", "pc2")


class Pair:
    """Both hubs on one clock; each beat reaches the other unless ``cut``."""

    def __init__(self) -> None:
        self.now = 100.0
        self.alive: dict[str, AlertLease] = {}
        self.cut = False

    def start(self, machine: str) -> None:
        self.alive[machine] = AlertLease(machine, HUBS, self.now)

    def run(self, seconds: float) -> list[set[str]]:
        """Who held the lease at each beat."""
        seen = []
        for _ in range(int(seconds)):
            self.now += 1.0
            for speaker, lease in self.alive.items():
                holds = lease.holds(self.now)
                for listener, other in self.alive.items():
                    if listener != speaker and not self.cut:
                        other.heard(speaker, holds, self.now)
            seen.append({machine for machine, lease in self.alive.items() if lease.holds(self.now)})
        return seen


@pytest.fixture
def pair() -> Pair:
    made = Pair()
    for machine in HUBS:
        made.start(machine)
    made.run(5)
    return made


def test_the_first_of_the_file_sends(pair: Pair) -> None:
    """With both alive exactly one holds the lease, and it is always the same."""
    assert pair.run(60) == [{"mainpc"}] * 60


def test_the_other_takes_over_within_five_seconds(pair: Pair) -> None:
    """A dead hub is replaced after its silence, and nobody holds twice."""
    del pair.alive["mainpc"]
    seen = pair.run(10)
    assert seen[4:] == [{"pc2"}] * 6
    assert SILENT_S < 5


def test_it_is_handed_back_without_two_at_once(pair: Pair) -> None:
    """The preferred hub waits until the other has said that it let go."""
    del pair.alive["mainpc"]
    pair.run(10)
    pair.start("mainpc")
    seen = pair.run(10)
    assert seen[-1] == {"mainpc"}
    assert all(len(holders) <= 1 for holders in seen)
    assert seen.index({"mainpc"}) < 5


def test_hubs_that_cannot_hear_each_other_both_send(pair: Pair) -> None:
    """Cut apart, each says who is missing; healed, one of them is left."""
    pair.cut = True
    assert pair.run(6)[-1] == {"mainpc", "pc2"}
    assert pair.alive["pc2"].apart(pair.now) == ["mainpc"]
    pair.cut = False
    assert pair.run(4)[-1] == {"mainpc"}
    assert pair.alive["pc2"].apart(pair.now) == []


def test_a_hub_alone_in_its_fleet_needs_nobody() -> None:
    """One machine: it sends from the start."""
    assert AlertLease("only", ("only",), 0.0).holds(0.0)
