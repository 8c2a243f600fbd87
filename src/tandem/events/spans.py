"""Carries finished spans from this process to the traces stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

import msgspec
import nats.errors

from tandem.core.tasks import end
from tandem.events.connection import Connection
from tandem.events.streams import TRACES
from tandem.telemetry.tracing import Span, SpanQueue

FLUSH_AFTER_S = 0.2
BATCH = 64


class SpanExporter:
    """A sink for :func:`tandem.telemetry.tracing.set_sink`; call it from any thread.

    Spans gather for a moment and leave as one message per trace on ``trace.<machine>.<trace id>``, a JSON array of
    :class:`Span`. They are not acknowledged: a trace may lack spans when NATS is away for long, nothing else does.
    """

    def __init__(self, connection: Connection, capacity: int = 2048) -> None:
        self._connection = connection
        self._queue = SpanQueue(capacity)
        self._loop = asyncio.get_running_loop()
        self._flush: asyncio.Task[None] | None = None
        self._idle = True

    @property
    def dropped(self) -> int:
        """Spans lost because the queue was full."""
        return self._queue.dropped

    def __call__(self, span: Span) -> None:
        self._queue(span)
        if self._idle and not self._loop.is_closed():
            self._idle = False
            self._loop.call_soon_threadsafe(self._begin)

    async def close(self) -> None:
        """Send what is left if NATS is connected."""
        await end(self._flush)
        if self._connection.connected:
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._send_all()

    def _begin(self) -> None:
        self._flush = self._loop.create_task(self._gather_and_send(), name="spans")

    async def _gather_and_send(self) -> None:
        while len(self._queue):
            await asyncio.sleep(FLUSH_AFTER_S)
            await self._connection.client()
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._send_all()
        self._idle = True

    async def _send_all(self) -> None:
        client = await self._connection.client(0)
        while batch := self._queue.drain(BATCH):
            traces: dict[str, list[Span]] = defaultdict(list)
            for span in batch:
                traces[span.trace_id].append(span)
            for trace_id, spans in traces.items():
                await client.publish(
                    f"{TRACES.prefix}.{self._connection.access.machine}.{trace_id}",
                    msgspec.json.encode(spans),
                )
