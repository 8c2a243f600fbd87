"""What becomes of a server's answers, in virtual time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from tandem.agent.testing import virtual_time
from tandem.core import clock
from tandem.core.errors import Unavailable
from tandem.core.health import Status
from tandem.infra.probe import DiskFull
from tandem.supervise.lifecycle import Event, Phase, Reported, Unresponsive
from tandem.supervise.probing import Prober, Probing


@virtual_time
@pytest.mark.parametrize(("error", "after_s"), [(Unavailable, 5.0), (DiskFull, 60.0)])
async def test_a_server_that_lacks_room_is_ended_only_when_there_is_some(error: type[Unavailable], after_s: float) -> None:
    """Both are told as unhealthy with the reason; a restart on a disk that is still full would only add an outage."""
    heard: list[tuple[float, Event]] = []
    began = clock.monotonic()

    async def ask(_limit_s: float) -> None:
        raise (error if clock.monotonic() - began < 60 else Unavailable)("it stores nothing")

    state = SimpleNamespace(instance="1", phase=Phase.HEALTHY)
    runner = SimpleNamespace(name="nats", state=state, feed=lambda event: heard.append((clock.monotonic() - began, event)))
    probing = Probing()
    probing.begin(runner, Prober(ask=ask, give_up_s=5.0))
    await asyncio.sleep(63)
    probing.close()
    assert [event for _, event in heard if isinstance(event, Reported)] == [
        Reported("1", Status.UNHEALTHY, ("it stores nothing",))
    ]
    first = next(at for at, event in heard if isinstance(event, Unresponsive))
    assert after_s <= first <= after_s + 2
