from __future__ import annotations

import os

import pytest

from tandem.fleet.model import Limits
from tandem.supervise import usage
from tandem.supervise.api import Usage
from tandem.supervise.lifecycle import Outgrew, Overran
from tandem.supervise.measuring import judge
from tandem.supervise.usage import Meter, Scales, exact_memory

MIB = 1024 * 1024
NOBODY = 2**22 + 1
"""A session id the kernel cannot give (pid_max is at most 2^22): its memory is only what the test says."""


@pytest.mark.parametrize(
    ("limits", "used", "event"),
    [
        (Limits(memory_mb=64), Usage(rss_bytes=64 * MIB), None),
        (Limits(memory_mb=64), Usage(rss_bytes=65 * MIB), Overran),
        (Limits(restart_above_mb=64), Usage(rss_bytes=65 * MIB), Outgrew),
        (Limits(restart_above_mb=64, memory_mb=128), Usage(rss_bytes=129 * MIB), Overran),
        (Limits(processes=4), Usage(processes=4), None),
        (Limits(processes=4), Usage(processes=5), Overran),
        (Limits(cpu_percent=50), Usage(rss_bytes=900 * MIB, processes=99), None),
    ],
)
def test_measured_use_is_judged_by_the_limits(limits: Limits, used: Usage, event: type | None) -> None:
    """Only what is above a limit is acted on; the hard limit wins over the size for a restart."""
    judged = judge("i1", limits, used, NOBODY)
    assert type(judged) is (type(None) if event is None else event)


def test_a_session_is_measured_as_a_whole() -> None:
    """Our own session is found with its processes, threads, memory, descriptors and CPU; a vanished one is absent."""
    session = os.getsid(0)
    meter = Meter()
    meter.look([session], 10.0)
    begin = os.times()
    while os.times().user - begin.user < 0.05:
        sum(range(10_000))
    used = meter.look([session, NOBODY], 11.0)
    assert list(used) == [session]
    ours = used[session]
    assert ours.processes >= 1 and ours.threads >= ours.processes and ours.rss_bytes > MIB
    assert ours.cpu_fraction >= 0.04 and ours.cpu_s > 0
    assert ours.pss_bytes is None or 0 < ours.pss_bytes <= ours.rss_bytes * 1.5
    assert ours.fds is None or ours.fds > 0
    assert exact_memory(NOBODY) == 0


def test_one_look_weighs_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """All who ask within its time share one look at the processes; later, or for an unknown session, there is another."""
    looks: list[None] = []

    def seen() -> list[usage.Process]:
        looks.append(None)
        return [usage.Process(os.getpid(), session, 0, 0, 1, 0) for session in (1, 2)]

    monkeypatch.setattr(usage, "processes", seen)
    scales = Scales(0.25)
    first = scales.weigh(1, 10.0)
    assert first is None or first > MIB
    scales.weigh(2, 10.2)
    assert len(looks) == 1
    scales.weigh(1, 10.3)
    assert len(looks) == 2
    assert scales.weigh(NOBODY, 10.3) == 0
    assert len(looks) == 3
