"""An agent process's links to the servers of its machine, each made when first needed.

Most agents neither follow events nor take part in most turns; a connection nobody uses would cost 77 times its
memory and its share of the start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from msgspec import structs

from tandem.core.access import NatsAccess, ValkeyAccess
from tandem.core.errors import Unavailable
from tandem.core.health import Issue
from tandem.security import concealed
from tandem.telemetry.tracing import Span, set_sink

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from tandem.errors.feed import ErrorFeed
    from tandem.events import Bus, Connection, Event, Publisher, SpanExporter


class EventLink:
    """Events and spans of one agent over one NATS connection."""

    def __init__(self, access: NatsAccess | None, agent: str):
        self._access = access
        self._agent = agent
        self._bus: Bus | None = None
        self._spans: SpanExporter | None = None
        self._feed: ErrorFeed | None = None
        if access is not None:
            set_sink(self._record)

    async def publish(self, event: Event) -> None:
        """See :meth:`tandem.agent.Agent.publish`."""
        await (await self._connected()).publish(event)

    async def subscribe(self, event: type[Event], handler: Callable[[Any], Awaitable[None]]) -> None:
        await (await self._connected()).subscribe(event, handler)

    def publisher(self) -> Publisher:
        """What stores messages in this machine's streams; connecting begins with the first call.

        Raises :class:`Unavailable` when this fleet runs no event server.
        """
        bus = self._open()
        bus.connection.start()
        return bus.publisher

    def connection(self) -> Connection:
        """The one connection all of this goes over. Raises :class:`Unavailable` when this fleet runs no event server."""
        return self._open().connection

    def feed(self) -> ErrorFeed:
        """Every error report of the fleet. Raises :class:`Unavailable` when this fleet runs no event server."""
        if self._feed is None:
            from tandem.errors.feed import ErrorFeed

            publisher = self.publisher()
            bus = self._open()
            self._feed = ErrorFeed(bus.connection, publisher, bus.origin)
        return self._feed

    def issues(self) -> Iterable[Issue]:
        if self._bus is not None:
            yield from self._bus.health()
        if self._feed is not None:
            yield from self._feed.issues()

    async def close(self) -> None:
        set_sink(None)
        if self._spans is not None:
            await self._spans.close()
        if self._feed is not None:
            await self._feed.close()
        if self._bus is not None:
            await self._bus.close()

    async def _connected(self) -> Bus:
        bus = self._open()
        await bus.connect()
        return bus

    def _open(self) -> Bus:
        if self._access is None:
            raise Unavailable("this fleet runs no event server")
        if self._bus is None:
            from tandem.events import Bus

            self._bus = Bus(self._access, self._agent)
        return self._bus

    def _record(self, span: Span) -> None:
        if self._spans is None:
            from tandem.events import SpanExporter

            bus = self._open()
            bus.connection.start()
            self._spans = SpanExporter(bus.connection)
        clean = concealed(span.attributes)
        self._spans(span if clean is span.attributes else structs.replace(span, attributes=clean))


class CacheLink:
    """The client of the cache server, made on first use."""

    def __init__(self, access: ValkeyAccess | None):
        self._access = access
        self._client: Redis | None = None

    def client(self) -> Redis:
        """See :meth:`tandem.agent.Agent.cache`."""
        if self._access is None:
            raise Unavailable("this fleet runs no cache server")
        if self._client is None:
            from redis.asyncio import Redis

            self._client = Redis(
                unix_socket_path=self._access.socket, username=self._access.username, password=self._access.password
            )
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
