"""What a node does on NATS: keep the machine's streams and their links, and the names known on every machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from tandem.core.access import NatsAccess, ValkeyAccess
from tandem.core.tasks import end
from tandem.events import Connection, Publisher, keep_streams
from tandem.registry import Mirror, Registry
from tandem.supervise.elsewhere import Elsewhere
from tandem.supervise.link_watch import LinkWatch
from tandem.supervise.made_of import MadeOf
from tandem.supervise.vouching import Vouching


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
        self._streams: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.connection.start()
        work = keep_streams(self.connection, self._machine, self._peers)
        self._streams = asyncio.create_task(work, name="streams")
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
        await end(self._streams)
        await self.elsewhere.close()
        await self.watch.close()
        await self._mirror.close()
        await self.connection.close()
        await self._registry.close()
