"""What a node does on NATS: keep the machine's streams and their links, and the names known on every machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from tandem.core.access import NatsAccess, ValkeyAccess
from tandem.core.tasks import end
from tandem.events import Connection, Publisher, keep_streams
from tandem.infra import Positions
from tandem.registry import Mirror, Registry
from tandem.supervise.elsewhere import Elsewhere
from tandem.supervise.link_watch import LinkWatch
from tandem.supervise.made_of import MadeOf
from tandem.supervise.vouching import Vouching

POSITIONS_S = 1.0
"""How often it is looked whether the nats-server cannot read the position of a consumer."""


class Links:
    """Runs from :meth:`start` to :meth:`close`; an absent server delays it, no more."""

    def __init__(
        self,
        access: NatsAccess,
        control: ValkeyAccess,
        machine: str,
        peers: list[str],
        host: str,
        vouching: Vouching,
        changed: Callable[[], None],
        made: Callable[[], MadeOf],
        positions: Positions,
    ):
        self._machine = machine
        self._peers = peers
        self.connection = Connection(access, f"node@{machine}")
        self.publisher = Publisher(self.connection)
        self._registry = Registry(control)
        self.watch = LinkWatch(self.connection, self._registry, machine, peers, vouching, changed, made)
        self._mirror = Mirror(
            self._registry, self.connection, machine, peers, host, is_trusted=self.watch.trusts
        )
        self.elsewhere = Elsewhere(self._registry, machine, self.watch, changed)
        self._positions = positions
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self.connection.start()
        streams = keep_streams(self.connection, self._machine, self._peers)
        work = (("streams", streams), ("positions", self._keep_positions()))
        self._tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in work]
        if self._peers:
            self._mirror.start()
            self.watch.start()
            self.elsewhere.start()

    def distrust(self, machines: Iterable[str]) -> None:
        """Forget the names of ``machines``, whose identity was revoked, until they have shown another."""
        revoked = set(machines)
        self.watch.distrust(revoked)
        self._mirror.distrust(revoked)

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        await end(*tasks)
        await self.elsewhere.close()
        await self.watch.close()
        await self._mirror.close()
        await self.connection.close()
        await self._registry.close()

    async def _keep_positions(self) -> None:
        while True:
            self._positions.mend()
            await asyncio.sleep(POSITIONS_S)
