"""Looks at this machine again and again: states when they change and every second, measurements every ten."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import psutil
from msgspec.structs import replace

from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.health import Issue
from tandem.core.tasks import end
from tandem.fleet.model import Fleet
from tandem.hub.devices import Devices
from tandem.hub.measure import Sampler
from tandem.hub.nodes import moves
from tandem.hub.overruns import Overrun, held_by, lasting, overruns
from tandem.hub.picture import MachinePicture
from tandem.hub.records import Measured
from tandem.hub.series import History
from tandem.hub.servers import ServerFigures, Servers
from tandem.hub.watch import FleetWatch

LOOK_S = 1.0
SHOW_S = 2.0
SAMPLE_S = 10.0
LISTEN_AGAIN_S = 1.0
REST = 10
"""Times as long as a look took does nothing happen after it: looking takes a tenth of a core at most, however much moves."""

ROOM = 100
"""Agents of one machine that are looked at at these rates; with more, all is done as much less often."""

Show = Callable[[MachinePicture], Any]


class Collector:
    """Between :meth:`start` and :meth:`close`. ``keep`` hands measurements to the other hubs; ``show`` the picture."""

    def __init__(
        self,
        fleet: Fleet,
        watch: FleetWatch,
        history: History,
        servers: Servers,
        peer: Callable[[str], Any],
        keep: Callable[[Measured], None],
    ):
        programs = [identity for identity, agent in fleet.agents.items() if agent.class_path is None]
        self.sampler = Sampler(peer, programs)
        self.devices = Devices()
        self.figures = ServerFigures(by_server={}, streams=[])
        self._watch = watch
        self._history = history
        self._servers = servers
        self._keep = keep
        self._fault = ""
        self._declared = {agent.name: agent.vram_mb for agent in fleet.on(watch.machine)}
        self._overruns: list[Overrun] = []
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, show: Show) -> None:
        await self._look()
        self._tasks = [
            asyncio.create_task(self._look_on(show), name="hub:look"),
            asyncio.create_task(self._listen(), name="hub:moves"),
            asyncio.create_task(self._measure_on(), name="hub:measure"),
        ]

    async def close(self) -> None:
        await end(*self._tasks)
        await self._servers.close()

    def issues(self) -> Iterable[Issue]:
        if self._watch.own.fault:
            yield Issue(f"the node does not answer: {self._watch.own.fault}", fix="tandem status")
        if self._fault:
            yield Issue(f"measurements are not kept: {self._fault}", fix="check the disk")
        yield from (overrun.issue() for overrun in lasting(self._overruns, clock.monotonic()))

    async def fresh(self) -> list[str]:
        """The metrics of all agents of this machine, asked now and at once."""
        return await self.sampler.texts(self._watch.own)

    async def _look_on(self, show: Show) -> None:
        shown_at = 0.0
        while True:
            before, began = self._watch.own, clock.monotonic()
            self._moved.clear()
            await self._look()
            after, now = self._watch.own, clock.monotonic()
            if now - shown_at >= SHOW_S or _moved(before, after):
                shown_at = now
                await show(after)
            pause = LOOK_S * self._pace()
            await asyncio.sleep(min(pause, (clock.monotonic() - began) * REST))
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._moved.wait()

    async def _listen(self) -> None:
        """Look at once when the node says that something has moved; without its word, :data:`LOOK_S` tells soon enough."""
        while True:
            with suppress(TandemError):
                async for _ in moves(self._watch.dirs, self._watch.machine):
                    self._moved.set()
            await asyncio.sleep(LISTEN_AGAIN_S)

    async def _look(self) -> None:
        memory = psutil.virtual_memory()
        used = memory.total - memory.available
        await self._watch.look(os.cpu_count() or 1, os.getloadavg()[0], (used, memory.total))

    async def _measure_on(self) -> None:
        await self._measure()
        while True:
            await asyncio.sleep(SAMPLE_S * self._pace())
            await self._measure()

    async def _measure(self) -> None:
        self.figures = await self._servers.read()
        self._watch.service_figures = self.figures.by_server
        points, figures = await self.sampler.measure(self._watch.own)
        self._watch.figures = figures
        self._watch.keep(
            replace(
                self._watch.own,
                agents=[replace(agent, figures=figures.get(agent.name, agent.figures)) for agent in self._watch.own.agents],
            )
        )
        held = held_by(self._watch.own.agents, self.devices.held())
        self._overruns = overruns(self._overruns, held, self._declared, clock.monotonic())
        self._keep(Measured(points=points))
        try:
            await self._history.add(points)
        except Exception as error:
            # A full disk must not end the looking; it shows in the hub's health until it is over.
            self._fault = str(error)
        else:
            self._fault = ""

    def _pace(self) -> float:
        return max(1.0, len(self._watch.own.agents) / ROOM)


def _moved(before: MachinePicture, after: MachinePicture) -> bool:
    """Whether anything but measurements differs."""
    return before.fault != after.fault or [(a.name, a.state, a.pid, a.issues) for a in before.agents] != [
        (a.name, a.state, a.pid, a.issues) for a in after.agents
    ]
