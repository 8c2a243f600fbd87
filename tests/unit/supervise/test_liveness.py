"""Who is silent, and who never promised to speak."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace
from simulated import SimulatedKeeper, agent

from tandem.agent.testing import virtual_time
from tandem.core import clock
from tandem.supervise.lifecycle import Start
from tandem.supervise.liveness import SILENCE_S, watch_liveness
from tandem.supervise.wire import Beats


class SaidReadyOnly:
    """A keeper that has heard of everybody once."""

    def __init__(self, keeper: SimulatedKeeper):
        self._processes = keeper
        self._heard: dict[str, float] = {}

    async def beats(self) -> Beats:
        for unit in self._processes.listing().units:
            self._heard.setdefault(unit.instance, clock.monotonic())
        return Beats(seq=0, at=self._heard)


@virtual_time
async def test_only_who_promised_signs_of_life_is_missed() -> None:
    """An agent of ours that is silent for ten seconds is ended; a program that once said READY=1 is not."""
    keeper = SimulatedKeeper()
    program = replace(agent("P"), class_path=None, command=["true"])
    supervisor = keeper.node([agent("A"), program])
    for runner in supervisor.agents():
        runner.feed(Start())
    await asyncio.sleep(1.0)
    before = {name: keeper.living(name)[0].instance for name in ("A", "P")}
    watching = asyncio.create_task(watch_liveness(supervisor, SaidReadyOnly(keeper)))  # type: ignore[arg-type]
    await asyncio.sleep(2 * SILENCE_S)
    assert keeper.living("P")[0].instance == before["P"]
    assert before["A"] not in [process.instance for process in keeper.living("A")]
    watching.cancel()
    supervisor.close()
