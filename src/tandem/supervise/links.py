"""What a node does on NATS: keep the machine's streams and their links, and the names known on every machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from tandem.core.access import NatsAccess, ValkeyAccess
from tandem.core.tasks import end
from tandem.events import Connection, Publisher, keep_streams
from tandem.registry import Mirror, Registry
from tandem.supervise.elsewhere import Elsewhere
from tandem.supervise.link_state import LinkState
from tandem.supervise.link_watch import LinkWatch


class Links:
    """Runs from :meth:`start` to :meth:`close`; an absent server delays it, no more."""

    def __init__(
        self,
        access: NatsAccess,
        control: ValkeyAccess,
        machine: str,
        peers: list[str],
        host: str,
        changed: Callable[[], None],
    ):
        self._machine = machine
        self._peers = peers
        self.connection = Connection(access, f"node@{machine}")
        self.publisher = Publisher(self.connection)
        self._registry = Registry(control)
        self._tell = changed
        self.watch = LinkWatch(self.connection, self._registry, machine, peers, self._link_changed)
        self._mirror = Mirror(
            self._registry,
            self.connection,
            machine,
            peers,
            host,
            is_linked=lambda peer: self.watch.state(peer) is LinkState.UP,
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
        """Take the names of ``machines``, whose identity was revoked, for gone; see :meth:`Mirror.distrust`."""
        self._mirror.distrust(machines)

    def _link_changed(self) -> None:
        self._mirror.note_links()
        self._tell()

    async def close(self) -> None:
        await end(self._streams)
        await self.elsewhere.close()
        await self.watch.close()
        await self._mirror.close()
        await self.connection.close()
        await self._registry.close()
