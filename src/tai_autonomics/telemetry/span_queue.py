"""
Spans on their way out: put on the event loop, exported in bulk by a thread, dropped and counted over the bound.

    put --bounded queue--> thread, at most every second --OTLP--> receiver
"""

import threading
from collections import deque
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

SPANS_MAX: Final = 4_096
"""That wait, about 3 kB each."""
BATCH_MAX: Final = 512
"""Spans in one export; so many make the thread begin at once."""
GATHER_SECONDS: Final = 1.0
LAST_WORD_SECONDS: Final = 0.1


class SpanQueue(SpanProcessor):
    """
    Never blocks and never raises in `on_end`: a receiver that is slow or gone costs spans, not requests.

    The SDK's own processor drops as well, and tells nobody how many.
    """

    def __init__(self, exporter: SpanExporter, *, spans_max: int = SPANS_MAX) -> None:
        self._exporter = exporter
        self._spans_max = spans_max
        self._spans: deque[ReadableSpan] = deque()
        # Two counts, because each is written by one thread alone.
        self._over_bound = 0
        self._not_taken = 0
        self.exported = 0
        """Spans that the receiver took."""
        self._under_way = 0
        self._gave_up = False
        self._has_batch = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Spans lost since the start."""
        return self._over_bound + self._not_taken

    @property
    def waiting(self) -> int:
        """Spans that no export has begun for."""
        return len(self._spans)

    def on_end(self, span: ReadableSpan) -> None:
        if len(self._spans) >= self._spans_max:
            self._over_bound += 1
            return
        self._spans.append(span)
        if len(self._spans) >= BATCH_MAX and not self._has_batch.is_set():
            self._has_batch.set()

    def close(self, *, timeout_seconds: float) -> int:
        """Export what waits, within the time; of how many spans it is not known that they were taken."""
        self._closing.set()
        self._has_batch.set()
        self._thread.join(timeout_seconds)
        self._gave_up = True
        left = self._under_way + len(self._spans)
        # Ends the exporter's pauses between its tries, and lets it say so while there is a log. A call under way is
        # left alone: its thread holds up no exit.
        self._exporter.shutdown()
        self._thread.join(LAST_WORD_SECONDS)
        return left

    def _run(self) -> None:
        closing = False
        while not closing:
            self._has_batch.wait(GATHER_SECONDS)
            closing = self._closing.is_set()
            self._has_batch.clear()
            while self._spans and not self._gave_up:
                self._export([self._spans.popleft() for _ in range(min(len(self._spans), BATCH_MAX))])

    def _export(self, batch: list[ReadableSpan]) -> None:
        self._under_way = len(batch)
        try:
            result = self._exporter.export(batch)
        except Exception:  # noqa: BLE001  # whatever it is, the next batch may fare better
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self.exported += len(batch)
        else:
            self._not_taken += len(batch)
        self._under_way = 0
