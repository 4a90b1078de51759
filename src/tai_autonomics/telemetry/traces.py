"""
Traces of one process, by the OpenTelemetry SDK. Imported only where they go somewhere.

    a caller's word, or the ratio --sampled--> span --ended--> queue --> exporter
                                  --not-----> nothing is built

Sampling is parent-based: who calls has decided, and where nobody has, a share of the traces is recorded, told by their
ids, so that every instance decides alike.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, Status, StatusCode, TraceFlags, TraceState

from tai_autonomics import __version__
from tai_autonomics.application.ports import Clock, Span, SpanContext
from tai_autonomics.ledger.records import Receipt
from tai_autonomics.telemetry.span_queue import SpanQueue

LINKS_MAX: Final = 128
"""Of one append to the requests that it carries; each of them is linked to it in any case."""
LEADING_MAX: Final = 10_000
"""Decisions that something is due because of, and whose traces are recorded: about 500 bytes each."""
SPAN_ID_DIGITS: Final = 16
"""Of a receipt's hash."""
_ATTRIBUTES: Final = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
}
"""Facts that have a name in OpenTelemetry's semantic conventions; any other is `tai.` and its name."""

Facts = Mapping[str, str | int]
_Answer = TypeVar("_Answer")


class Traces:
    """The Tracer of this process (ports.Tracer). Close it with `close`."""

    def __init__(
        self,
        exporter: SpanExporter,
        clock: Clock,
        *,
        ratio: float,
        resource: Mapping[str, str],
        not_told: Callable[[], None],
    ) -> None:
        """`ratio` of the traces that nobody has decided on is recorded; `not_told` hears of what could not be."""
        self._clock, self._not_told = clock, not_told
        self._bound = TraceIdRatioBased.get_bound_for_rate(ratio)
        self._ids = _Ids()
        self._leading: OrderedDict[str, SpanContext] = OrderedDict()
        self.queue = SpanQueue(exporter)
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            # What the environment says of the process in OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME goes first.
            resource=Resource({**resource, "service.version": __version__}).merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
            id_generator=self._ids,
            span_limits=SpanLimits(max_links=LINKS_MAX),
        )
        provider.add_span_processor(self.queue)
        self._tracer = provider.get_tracer("tai_autonomics", __version__)

    def request(self, name: str, caller: SpanContext | None, seconds: float) -> Span | None:
        return self.safely(lambda: self._begin(name, caller, kind=SpanKind.SERVER, ago=seconds), None)

    def append(self, carried: Sequence[Span], receipts: int) -> Span | None:
        return self.safely(lambda: self._append(carried, receipts), None)

    def decision(self, trace: str, receipt: Receipt) -> SpanContext:
        span = receipt.hash[:SPAN_ID_DIGITS]
        return self._leading.get(span) or SpanContext(trace, span, None)

    def attempt(self, requested_by: SpanContext, name: str, **facts: str | int) -> Span | None:
        return self.safely(lambda: self._begin(name, requested_by, facts=facts), None)

    def close(self, *, timeout_seconds: float) -> int:
        """Export what waits; how many spans could not be in time."""
        return self.queue.close(timeout_seconds=timeout_seconds)

    # ---- for its spans

    def safely(self, told: Callable[[], _Answer], otherwise: _Answer) -> _Answer:
        """What cannot be recorded is counted; the request that it was about goes on."""
        try:
            return told()
        except Exception:  # noqa: BLE001 (the promise of ports.Tracer)
            self._ids.forget()
            self._not_told()
            return otherwise

    def begin_within(self, parent: api.Span, name: str, kind: SpanKind) -> "_Recorded":
        return self._start(name, api.set_span_in_context(parent, Context()), kind)

    def record_decision(self, parent: api.Span, receipt: Receipt, seconds: float, facts: Facts, *, leads: bool) -> None:
        ended = nanoseconds(self._clock.now())
        within = api.set_span_in_context(parent, Context())
        self._ids.next_span = int(receipt.hash[:SPAN_ID_DIGITS], 16)
        span = self._start("decide", within, SpanKind.INTERNAL, facts, started=ended - round(seconds * 1e9))
        span.end_at(ended)
        if leads:
            self._leading[span.context.span] = span.context
            if len(self._leading) > LEADING_MAX:
                self._leading.popitem(last=False)

    # ---- inside

    def _append(self, carried: Sequence[Span], receipts: int) -> Span:
        recorded = [each for each in carried if isinstance(each, _Recorded)]
        asked = list({each.context.span: each for each in recorded}.values())
        links = [Link(each.otel.get_span_context()) for each in asked[:LINKS_MAX]]
        span = self._start("append", Context(), SpanKind.CLIENT, {"receipts": receipts, "spans": len(asked)}, links)
        for each in asked:
            # Who asked may be gone already: the SDK would warn of a link to a span that has ended.
            if each.otel.is_recording():
                each.otel.add_link(span.otel.get_span_context(), {"tai.link": "append"})
        return span

    def _begin(
        self,
        name: str,
        parent: SpanContext | None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        facts: Facts | None = None,
        ago: float = 0.0,
    ) -> Span | None:
        trace = self._ids.generate_trace_id() if parent is None else int(parent.trace, 16)
        sampled = None if parent is None else parent.sampled
        if not (trace & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound if sampled is None else sampled):
            return None
        if parent is None or not parent.span:
            self._ids.next_trace = trace
            within = Context()
        else:
            within = api.set_span_in_context(NonRecordingSpan(_otel(parent)), Context())
        return self._start(name, within, kind, facts or {}, started=nanoseconds(self._clock.now()) - round(ago * 1e9))

    def _start(
        self,
        name: str,
        within: Context,
        kind: SpanKind,
        facts: Facts | None = None,
        links: Sequence[Link] = (),
        started: int | None = None,
    ) -> "_Recorded":
        attributes = attributes_of(facts or {})
        span = self._tracer.start_span(name, within, kind, attributes, links=links, start_time=started)
        if not span.is_recording():
            raise RuntimeError("the SDK records nothing: OTEL_SDK_DISABLED is set")
        return _Recorded(self, span)


class _Recorded:
    """A span that is recorded (ports.Span)."""

    __slots__ = ("_of", "context", "otel")

    def __init__(self, of: Traces, otel: api.Span) -> None:
        self._of, self.otel = of, otel
        found = otel.get_span_context()
        self.context = SpanContext(
            f"{found.trace_id:032x}", f"{found.span_id:016x}", sampled=True, state=found.trace_state.to_header()
        )

    def decided(self, command: str, receipt: Receipt, seconds: float, *, leads_on: bool) -> None:
        facts: Facts = {
            "command": command,
            "outcome": receipt.type,
            "tenant": receipt.tenant,
            "seq": receipt.seq,
            "receipt": receipt.hash,
        }
        self._of.safely(lambda: self._of.record_decision(self.otel, receipt, seconds, facts, leads=leads_on), None)

    def call(self, name: str) -> Span | None:
        return self._of.safely(lambda: self._of.begin_within(self.otel, name, SpanKind.CLIENT), None)

    def end(self, problem: str = "", **facts: str | int) -> None:
        self._of.safely(lambda: self._end(problem, facts), None)

    def end_at(self, at: int) -> None:
        self.otel.end(at)

    def _end(self, problem: str, facts: Facts) -> None:
        if not self.otel.is_recording():
            return
        self.otel.set_attributes(attributes_of(facts))
        if problem:
            self.otel.set_status(Status(StatusCode.ERROR, problem))
        self.otel.end()


class _Ids(RandomIdGenerator):
    """Random ids, but for one that is known before its span begins. Asked on the event loop alone."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.next_trace = self.next_span = 0

    def generate_trace_id(self) -> int:
        known, self.next_trace = self.next_trace, 0
        return known or super().generate_trace_id()

    def generate_span_id(self) -> int:
        known, self.next_span = self.next_span, 0
        return known or super().generate_span_id()


def otlp_exporter(url: str) -> SpanExporter:
    """To the full URL, as protobuf; headers, certificates and time-out are those of OpenTelemetry's own variables."""
    return OTLPSpanExporter(endpoint=url)


def attributes_of(facts: Facts) -> dict[str, str | int]:
    """Facts as a span's attributes; a text that is empty says nothing."""
    return {_ATTRIBUTES.get(name) or f"tai.{name}": value for name, value in facts.items() if value != ""}


def nanoseconds(at: datetime) -> int:
    """Since 1970, as OTLP counts them."""
    return round(at.timestamp() * 1e6) * 1_000


def _otel(context: SpanContext) -> api.SpanContext:
    state = TraceState.from_header([context.state]) if context.state else None
    return api.SpanContext(
        int(context.trace, 16), int(context.span, 16), is_remote=True, trace_flags=TraceFlags(1), trace_state=state
    )
