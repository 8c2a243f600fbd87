"""What the node writes into its machine's bucket, without servers."""

from __future__ import annotations

import pytest

from tandem.core import clock
from tandem.registry import Lease
from tandem.registry.mirror import GONE_AFTER_S, _OwnBucket


def lease(agent: str, zmq: str | None = None) -> Lease:
    """A lease on mainpc."""
    return Lease(agent=agent, machine="mainpc", instance="i", zmq=zmq)


@pytest.fixture
def bucket():
    """A bucket that says A and B are there."""
    bucket = _OwnBucket(None, "mainpc", "fd00::1")  # type: ignore[arg-type]
    bucket._written = {"A": lease("A"), "B": lease("B")}
    return bucket


def test_only_a_lasting_absence_is_told(bucket, monkeypatch):
    """A name must be missing for a while without a break before it is deleted elsewhere."""
    now = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    both, only_a = {"A": lease("A"), "B": lease("B")}, {"A": lease("A")}
    assert bucket._gone(only_a) == []
    now[0] += GONE_AFTER_S - 0.1
    assert bucket._gone(only_a) == []
    assert bucket._gone(both) == []
    now[0] += 0.2
    assert bucket._gone(only_a) == []
    now[0] += GONE_AFTER_S
    assert bucket._gone(only_a) == ["B"]


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("tcp://0.0.0.0:5000", "tcp://[fd00::1]:5000"),
        ("tcp://*:5000", "tcp://[fd00::1]:5000"),
        ("tcp://[::]:5000", "tcp://[fd00::1]:5000"),
        ("tcp://10.0.0.7:5000", "tcp://10.0.0.7:5000"),
        (None, None),
    ],
)
def test_a_wildcard_is_replaced_by_the_address_others_can_reach(bucket, bound, told):
    """Nobody can connect to 0.0.0.0 of another computer; a real address is left alone."""
    assert bucket._advertised(lease("A", bound)).zmq == told
