"""
The tracer of src with what it exports kept in memory.

    keeping = Keeping(); keeping.traces is the Tracer; keeping.spans() are those that ended, by then all of them
"""

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tai_autonomics.application.ports import Clock, SpanContext
from tai_autonomics.telemetry.traces import Traces
from tai_autonomics.wiring.machine import SystemClock

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
SAMPLED = SpanContext(TRACE, CALLER, True)
UNSAMPLED = SpanContext(TRACE, CALLER, False)


class Kept(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


class Keeping:
    """`untold` counts what could not be recorded."""

    def __init__(self, *, ratio: float = 0.0, clock: Clock | None = None, **resource: str) -> None:
        self._kept, self.untold = Kept(), 0
        self.traces = Traces(
            self._kept, clock or SystemClock(), ratio=ratio, resource=resource, not_told=self._not_told
        )

    def _not_told(self) -> None:
        self.untold += 1

    def spans(self) -> list[ReadableSpan]:
        """The tracer is closed by it."""
        assert self.traces.close(timeout_seconds=10) == 0
        return self._kept.spans

    def by_name(self) -> dict[str, list[ReadableSpan]]:
        found: dict[str, list[ReadableSpan]] = {}
        for span in self.spans():
            found.setdefault(span.name, []).append(span)
        return found


def id_of(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


def trace_of(span: ReadableSpan) -> str:
    return f"{span.context.trace_id:032x}"


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def linked_to(span: ReadableSpan) -> list[str]:
    return [f"{link.context.span_id:016x}" for link in span.links]


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
