"""Sends spans to any OpenTelemetry collector by OTLP over HTTP; a pure mapping of our spans to theirs."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tandem.core.tasks import end
from tandem.telemetry.tracing import Span

log = logging.getLogger("tandem.hub")

BATCH = 512
GATHER_S = 1.0
MAX_WAITING = 10_000
TIMEOUT_S = 10
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


def converted(span: Span, fleet: str) -> ReadableSpan:
    """``span`` in OpenTelemetry's terms; ``fleet`` becomes the namespace of its service."""
    context = _context(span.trace_id, span.span_id)
    parent = _context(span.trace_id, span.parent_id) if span.parent_id else None
    started = int(span.start * 1e9)
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=parent,
        resource=Resource(
            {"service.name": span.agent or "tandem", "service.namespace": fleet, "host.name": span.machine}
        ),
        attributes=dict(span.attributes),
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR if span.status == "error" else StatusCode.UNSET),
        start_time=started,
        end_time=started + int(span.duration_s * 1e9),
    )


class OtlpExport:
    """Between :meth:`start` and :meth:`close`. ``failure`` says why the last batch was not taken, ``dropped`` counts
    spans that found no room."""

    def __init__(self, to: str, headers: Mapping[str, str], fleet: str):
        self.failure = ""
        self.dropped = 0
        self.sent = 0
        self._fleet = fleet
        self._exporter = OTLPSpanExporter(endpoint=to, headers=dict(headers), timeout=TIMEOUT_S)
        self._waiting: deque[Span] = deque()
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._send_on(), name="hub:otlp")

    async def close(self) -> None:
        await end(self._task)
        await asyncio.to_thread(self._exporter.shutdown)

    def take(self, spans: Iterable[Span]) -> None:
        """Send these soon; never waits."""
        for span in spans:
            if len(self._waiting) >= MAX_WAITING:
                self.dropped += 1
            else:
                self._waiting.append(span)
        self._filled.set()

    async def _send_on(self) -> None:
        while True:
            await self._filled.wait()
            await asyncio.sleep(GATHER_S)
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not self._waiting:
                self._filled.clear()
            if not batch:
                continue
            # The exporter repeats what failed for a while by itself; it blocks, so it has a thread.
            result = await asyncio.to_thread(self._exporter.export, [converted(span, self._fleet) for span in batch])
            if result is SpanExportResult.SUCCESS:
                self.failure = ""
                self.sent += len(batch)
            else:
                self.failure = "the collector did not take the spans"
                self.dropped += len(batch)


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
