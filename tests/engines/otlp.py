"""
A receiver of OTLP over HTTP: the protocol's own messages, kept in memory, and the answers that a test wants.

    with Collector() as collector: …    collector.url, collector.spans()
"""

import gzip
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.proto.trace.v1.trace_pb2 import Status

WAIT_SECONDS_MAX = 20


class Received(Struct, frozen=True):
    """A span as it came: ids in hex digits, `parent` "" for a root, `links` the ids of spans."""

    trace: str
    id: str
    parent: str
    name: str
    kind: str
    state: str
    failed: bool
    facts: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    started: int
    ended: int
    resource: dict[str, Any]


class Collector:
    """`status` is what it answers; while `is_hanging` it takes what comes and answers nothing."""

    def __init__(self, *, status: int = 200, is_hanging: bool = False) -> None:
        self.status = status
        self.headers: list[dict[str, str]] = []
        self.asked = 0
        self._spans: list[Received] = []
        self._changed = threading.Condition()
        self._go_on = threading.Event()
        if not is_hanging:
            self._go_on.set()

    def __enter__(self) -> Self:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                collector._take(self)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def spans(self) -> list[Received]:
        """Those that came so far."""
        with self._changed:
            return list(self._spans)

    def until(self, *, asked: int) -> None:
        """So many exports have begun. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.asked >= asked, WAIT_SECONDS_MAX):
                raise TimeoutError(f"{self.asked} exports have come, not {asked}")

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"]))
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        with self._changed:
            self.asked += 1
            self._changed.notify_all()
        self._go_on.wait()
        if self.status == 200:
            found = _spans_of(body) if handler.path == "/v1/traces" else []
            with self._changed:
                self.headers.append({name.lower(): value for name, value in handler.headers.items()})
                self._spans.extend(found)
                self._changed.notify_all()
        answer = ExportTraceServiceResponse().SerializeToString()
        handler.send_response(self.status if handler.path == "/v1/traces" else 404)
        handler.send_header("content-type", "application/x-protobuf")
        handler.send_header("content-length", str(len(answer)))
        # Who waited in vain is gone.
        with suppress(ConnectionError):
            handler.end_headers()
            handler.wfile.write(answer)


def _spans_of(body: bytes) -> list[Received]:
    message = ExportTraceServiceRequest.FromString(body)
    return [
        _received(span, _facts(of_resource.resource.attributes))
        for of_resource in message.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def _received(span: Message, resource: dict[str, Any]) -> Received:
    return Received(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        Message.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        span.trace_state,
        span.status.code == Status.STATUS_CODE_ERROR,
        _facts(span.attributes),
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        resource,
    )


def _facts(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
