"""Traces: the stages of an answer as spans, and where they are sent."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider

from app.telemetry import configure_tracing
from tests.fixtures.server import Server, chat

received: list[ExportTraceServiceRequest] = []


class Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A collector that this process sends its spans to."""
    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    configure_tracing()
    yield
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.shutdown()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("corpus", "collector")
async def test_an_answers_stages_arrive_at_the_collector(server: Server, client: httpx.AsyncClient) -> None:
    events = await chat(client, "When does the ferry to Holm Island leave?")
    await client.get(f"/v1/conversations/{events[0].data['conversation_id']}")
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.force_flush()
    spans = [
        span for request in received for r in request.resource_spans for scope in r.scope_spans for span in scope.spans
    ]
    by_name = {span.name: span for span in spans}
    stages = {"condense", "retrieve", "embed", "evidence", "prompt", "first token", "stream", "attribute", "save"}
    assert set(by_name) >= stages | {"answer"}
    root = by_name["answer"]
    assert events[0].data["run_id"] in str(root.attributes)
    assert by_name["embed"].parent_span_id == by_name["retrieve"].span_id
    for name in stages - {"embed"}:
        assert by_name[name].parent_span_id == root.span_id, name
        assert root.start_time_unix_nano <= by_name[name].start_time_unix_nano
        assert by_name[name].end_time_unix_nano <= root.end_time_unix_nano


def test_without_a_collector_nothing_is_set_up(monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Server]) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    before = trace.get_tracer_provider()
    configure_tracing()
    assert trace.get_tracer_provider() is before
