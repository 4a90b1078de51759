"""Spans wait up to a bound, are sent in bulk, and what is lost is counted; nobody ever waits for their receiver."""

import threading
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tai_autonomics.telemetry.span_queue import BATCH_MAX, SpanQueue

WAIT_SECONDS = 10
SPAN = ReadableSpan("span")


class Receiver(SpanExporter):
    """Takes batches once `open` is set; then `result` is its answer, or it raises."""

    def __init__(self, result: SpanExportResult | Exception = SpanExportResult.SUCCESS) -> None:
        self.result = result
        self.batches: list[int] = []
        self.asked, self.open = threading.Event(), threading.Event()
        self.is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        assert self.open.wait(WAIT_SECONDS)
        self.batches.append(len(spans))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def shutdown(self) -> None:
        self.is_shut_down = True


def put(queue: SpanQueue, count: int) -> None:
    for _ in range(count):
        queue.on_end(SPAN)


def test_what_waits_is_sent_at_the_end_in_batches() -> None:
    receiver = Receiver()
    receiver.open.set()
    queue = SpanQueue(receiver)
    put(queue, BATCH_MAX + 1)
    assert queue.close(timeout_seconds=WAIT_SECONDS) == 0
    assert (sum(receiver.batches), max(receiver.batches) <= BATCH_MAX) == (BATCH_MAX + 1, True)
    assert (queue.exported, queue.dropped, receiver.is_shut_down) == (BATCH_MAX + 1, 0, True)


def test_what_is_there_is_sent_soon_though_it_fills_no_batch() -> None:
    receiver = Receiver()
    queue = SpanQueue(receiver)
    put(queue, 1)
    assert receiver.asked.wait(WAIT_SECONDS)
    receiver.open.set()
    assert queue.close(timeout_seconds=WAIT_SECONDS) == 0


def test_over_the_bound_spans_are_counted_and_nobody_waits() -> None:
    receiver = Receiver()
    queue = SpanQueue(receiver, spans_max=BATCH_MAX)
    put(queue, BATCH_MAX)
    assert receiver.asked.wait(WAIT_SECONDS)
    put(queue, BATCH_MAX + 7)
    assert (queue.waiting, queue.dropped) == (BATCH_MAX, 7)
    receiver.open.set()
    assert queue.close(timeout_seconds=WAIT_SECONDS) == 0
    assert (queue.exported, queue.dropped) == (2 * BATCH_MAX, 7)


def test_what_a_receiver_does_not_take_is_counted() -> None:
    for result in (SpanExportResult.FAILURE, RuntimeError("forced")):
        receiver = Receiver(result)
        receiver.open.set()
        queue = SpanQueue(receiver)
        put(queue, 3)
        assert queue.close(timeout_seconds=WAIT_SECONDS) == 0
        assert (queue.exported, queue.dropped) == (0, 3)


def test_an_end_waits_no_longer_than_its_time_for_a_receiver_that_hangs() -> None:
    receiver = Receiver()
    queue = SpanQueue(receiver)
    put(queue, 1)
    assert receiver.asked.wait(WAIT_SECONDS)
    put(queue, 2)
    assert queue.close(timeout_seconds=0.01) == 3
    assert receiver.is_shut_down
    receiver.open.set()
    queue._thread.join(WAIT_SECONDS)
    assert receiver.batches == [1]
