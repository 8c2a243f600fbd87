"""Our spans as OpenTelemetry's, at a real receiver."""

from __future__ import annotations

import asyncio
import http.server
import threading

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otlp` is not installed")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tandem.hub.otlp import OtlpExport, converted
from tandem.telemetry.tracing import Span

SPAN = Span(
    trace_id="a" * 32, span_id="b" * 16, parent_id="c" * 16, name="look_up", kind="server", agent="KnowledgeBase",
    machine="pc2", start=1_800_000_000.25, duration_s=0.5, status="error", attributes={"error.type": "not_found", "n": 3},
)  # fmt: skip


def test_everything_is_carried_over() -> None:
    """Ids, parent, kind, times, status, attributes and whose it is."""
    found = converted(SPAN, "household")
    assert f"{found.context.trace_id:032x}" == SPAN.trace_id and f"{found.context.span_id:016x}" == SPAN.span_id
    assert found.parent is not None and f"{found.parent.span_id:016x}" == SPAN.parent_id
    assert (found.kind.name, found.status.status_code.name) == ("SERVER", "ERROR")
    assert found.end_time - found.start_time == 500_000_000
    assert dict(found.attributes) == SPAN.attributes
    assert dict(found.resource.attributes) == {
        "service.name": "KnowledgeBase", "service.namespace": "household", "host.name": "pc2",
    }  # fmt: skip
    assert converted(Span(trace_id="a" * 32, span_id="b" * 16, name="turn", start=0, duration_s=0), "f").parent is None


async def test_a_collector_gets_them() -> None:
    """OTLP over HTTP, with the headers that were asked for."""
    got: list[tuple[str, ExportTraceServiceRequest]] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            got.append((self.headers["x-key"], ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    export = OtlpExport(f"http://127.0.0.1:{server.server_port}/v1/traces", {"x-key": "k"}, "household")
    export.start()
    try:
        export.take([SPAN])
        async with asyncio.timeout(60):
            while not export.sent:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        await export.close()
        server.shutdown()
    [(key, request)] = got
    [span] = request.resource_spans[0].scope_spans[0].spans
    assert (key, span.name, span.trace_id.hex()) == ("k", "look_up", SPAN.trace_id)
