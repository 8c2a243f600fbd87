from __future__ import annotations

import os

import pytest

from tandem.fleet.model import Limits
from tandem.supervise.api import Usage
from tandem.supervise.lifecycle import Outgrew, Overran
from tandem.supervise.measuring import judge
from tandem.supervise.usage import Meter, exact_memory

MIB = 1024 * 1024
NOBODY = 2**22 + 1
"""A session id the kernel cannot give (pid_max is at most 2^22): its memory is only what the test says."""


@pytest.mark.parametrize(
    ("limits", "usage", "event"),
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
def test_measured_use_is_judged_by_the_limits(limits: Limits, usage: Usage, event: type | None) -> None:
    """Only what is above a limit is acted on; the hard limit wins over the size for a restart."""
    judged = judge("i1", limits, usage, NOBODY)
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
    usage = used[session]
    assert usage.processes >= 1 and usage.threads >= usage.processes and usage.rss_bytes > MIB
    assert usage.cpu_fraction >= 0.04 and usage.cpu_s > 0
    assert usage.pss_bytes is None or 0 < usage.pss_bytes <= usage.rss_bytes * 1.5
    assert usage.fds is None or usage.fds > 0
    assert exact_memory(NOBODY) == 0
