from __future__ import annotations

import asyncio
import json
import os
from typing import cast

from tandem.agent.notify import Notifier
from tandem.agent.observer import CallObserver
from tandem.agent.pulse import report_health
from tandem.agent.runtime import Runtime
from tandem.agent.tally import Tally
from tandem.agent.testing import virtual_time
from tandem.core.errors import Cancelled, Draining, NotFound
from tandem.core.health import HealthReport, Status
from tandem.core.ids import AgentId
from tandem.errors import Receipt
from tandem.telemetry.metrics import Metrics


def test_every_answer_counts_and_nothing_else() -> None:
    """Errors of any kind are failed calls; a call withdrawn by its caller or passed on to the next instance is none."""
    tally = Tally()
    observer = CallObserver(Metrics(), AgentId("A@m"), lambda *_a, **_k: Receipt("", False), tally=tally)
    for error in (None, None, NotFound("no"), ValueError("bug"), Cancelled("gone"), Draining("on its way out")):
        observer.on_server_call("do", 0.0, 1.0, error)
    assert tally == Tally(calls=4, failed=2)


class Well:
    """The part of an agent's life that is looked at."""

    async def health(self) -> HealthReport:
        return HealthReport(status=Status.HEALTHY, service="A", machine="m", timestamp=0.0)


@virtual_time
async def test_the_supervisor_hears_of_calls_when_their_number_changes() -> None:
    """The counts go through the notify pipe within a second of a change, and only then."""
    read_end, write_end = os.pipe()
    tally = Tally()

    def told() -> list[dict[str, int]]:
        lines = os.read(read_end, 65536).decode().splitlines()
        return [json.loads(line.removeprefix("CALLS=")) for line in lines if line.startswith("CALLS=")]

    telling = asyncio.create_task(report_health(cast(Runtime, Well()), Notifier(write_end), tally))
    await asyncio.sleep(1.5)
    assert told() == []
    tally.calls, tally.failed = 7, 1
    await asyncio.sleep(3)
    assert told() == [{"calls": 7, "failed": 1, "reports": 0}]
    telling.cancel()
    os.close(read_end)
    os.close(write_end)
