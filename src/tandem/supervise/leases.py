"""The node's hand on the registry: a lease at birth, none after death. The agent itself refreshes it meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.paths import MachineDirs
from tandem.fleet.model import AgentConfig, Fleet
from tandem.registry import Lease, Registry
from tandem.security import Machine

log = logging.getLogger("tandem.node")

MAX_PENDING = 10_000


class Leases:
    """Writes in order, one after the other, and never makes supervision wait. Programs that are not agents get none."""

    def __init__(self, registry: Registry, machine: Machine, dirs: MachineDirs, fleet: Fleet):
        self.fleet = fleet
        self._registry = registry
        self._machine = machine
        self._dirs = dirs
        self._work: asyncio.Queue[Callable[[], Awaitable[object]]] = asyncio.Queue(MAX_PENDING)
        self._writer = asyncio.create_task(self._write(), name="leases")

    def put(self, config: AgentConfig, instance: str, pid: int, release: str) -> None:
        """The agent's newest instance holds its name; it says itself how it is from then on."""
        if config.class_path is None:
            return
        lease = Lease(
            agent=config.name,
            machine=config.machine,
            instance=instance,
            pid=pid,
            unix=str(self._dirs.agent_socket(config.name)),
            zmq=self._endpoint(config),
            curve_public=self._machine.curve(str(config.id)).public.decode(),
            release=release,
            time=clock.wall(),
        )
        self._enqueue(lambda: self._registry.put(lease))

    def drop(self, config: AgentConfig, instance: str) -> None:
        """That instance is gone."""
        if config.class_path is not None:
            self._enqueue(lambda: self._registry.delete(config.name, instance))

    async def close(self) -> None:
        """Write what is pending for a moment, then let go."""
        try:
            async with asyncio.timeout(1.0):
                await self._work.join()
        except TimeoutError:
            log.warning("%d lease changes were not written", self._work.qsize())
        self._writer.cancel()
        await self._registry.close()

    def _endpoint(self, config: AgentConfig) -> str | None:
        if config.port is None:
            return None
        return f"tcp://{self.fleet.machines[config.machine].host or '127.0.0.1'}:{config.port}"

    def _enqueue(self, write: Callable[[], Awaitable[object]]) -> None:
        try:
            self._work.put_nowait(write)
        except asyncio.QueueFull:
            log.error("the registry has been away for too long; a lease change is left to the agent itself")

    async def _write(self) -> None:
        while True:
            write = await self._work.get()
            try:
                await write()
            except TandemError as error:
                # The agent refreshes its own lease every few seconds, so a lost write heals by itself.
                log.warning("lease not written: %s", error)
            finally:
                self._work.task_done()
