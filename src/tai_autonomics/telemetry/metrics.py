"""
Metrics of one process, as Prometheus reads them: `tai_` first, units in names, no label that grows with the callers.
"""

import platform
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from tai_autonomics import __version__
from tai_autonomics.application.ports import Answered
from tai_autonomics.telemetry.tallies import RequestTallies, Tally

STORE_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10)
ATTEMPT_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
BATCH: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
OPENMETRICS_TYPE: Final = "application/openmetrics-text"


class Metrics:
    """The counts of one process in a registry of its own; every method costs about a microsecond."""

    def __init__(self, *, environment: str) -> None:
        # A second series for each counter, which says when it began, would double what is scraped.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, doc: str, *labels: str) -> Tally:
            return Tally(name, doc, labels, registry)

        def histogram(name: str, doc: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, doc, registry=registry, buckets=buckets)

        Gauge(
            "tai_build_info", "What is running; always 1.", ("version", "python", "environment"), registry=registry
        ).labels(__version__, platform.python_version(), environment).set(1)
        self._requests = RequestTallies(registry)
        self._problems = counter(
            "tai_http_problems_total", "Requests answered with a problem, by its reason.", "reason"
        )
        self._commands = counter(
            "tai_commands_total", "Commands decided and durable, or replayed.", "command", "outcome"
        )
        self._refusals = counter("tai_refusals_total", "Decisions against a command, by reason.", "reason")
        self._receipts = counter("tai_receipts_total", "Receipts sealed and durable.", "type")
        self._append_receipts = histogram("tai_append_receipts", "Receipts in one append.", BATCH)
        self._append_tenants = histogram("tai_append_tenants", "Tenants in one append.", BATCH)
        self._append_seconds = histogram(
            "tai_append_duration_seconds", "One append, until it is durable.", STORE_SECONDS
        )
        self._load_seconds = histogram(
            "tai_lane_load_duration_seconds", "Reading and folding a cold lane.", STORE_SECONDS
        )
        self._load_receipts = counter("tai_lane_load_receipts_total", "Receipts folded to load cold lanes.")
        self._conflicts = counter("tai_conflicts_total", "Appends whose place another instance had taken.")
        self._duplicates = counter("tai_duplicates_total", "Commands whose id the store already held.")
        self._went_back = counter("tai_ledgers_went_back_total", "Store heads behind what was seen durable.")
        self._signals_refused = counter(
            "tai_signals_refused_total", "Signals that were refused and are gone, one by one, by reason.", "reason"
        )
        self._attempts = counter(
            "tai_action_attempts_total", "Attempts of actions, by how they ended.", "type", "outcome"
        )
        self._attempt_seconds = histogram(
            "tai_action_attempt_duration_seconds", "One attempt of an action.", ATTEMPT_SECONDS
        )
        self._store_errors = counter("tai_store_errors_total", "Store calls that failed.", "verb")
        self._failures = counter("tai_background_failures_total", "Errors of tasks that nobody waits for.", "task")
        self._observing_failures = counter("tai_telemetry_failures_total", "Events that could not be told.")
        self._check_up = Gauge("tai_check_up", "1 while a health check passes.", ("check",), registry=registry)

    def watch(
        self,
        *,
        lanes: Callable[[], int],
        waiting: Callable[[], int],
        actions: Callable[[], tuple[int, int]],
        log_lines_dropped: Callable[[], int],
    ) -> None:
        """
        Reads these at every scrape: the lanes in memory, the commands that wait in them, the actions in hand and those
        of them that reach out, the log lines lost.
        """
        self._registry.register(_Watched(lanes, waiting, actions, log_lines_dropped))

    def watch_spans(self, *, exported: Callable[[], int], dropped: Callable[[], int]) -> None:
        """Reads these at every scrape: the spans that a receiver took, and those that were lost."""
        self._registry.register(_WatchedSpans(exported, dropped))

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """The text format, or OpenMetrics 1.0 for whoever names it in Accept."""
        if OPENMETRICS_TYPE in accept.lower():
            text = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]
            return text, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def answered(self, request: Answered) -> None:
        self._requests.add(request)
        if request.reason:
            self._problems.add(request.reason)

    def decided(self, command: str, outcome: str, reason: str) -> None:
        self._commands.add(command, outcome)
        if reason:
            self._refusals.add(reason)

    def appended(self, receipts: int, tenants: int, seconds: float) -> None:
        self._append_receipts.observe(receipts)
        self._append_tenants.observe(tenants)
        self._append_seconds.observe(seconds)

    def sealed(self, type: str) -> None:
        self._receipts.add(type)

    def conflicted(self) -> None:
        self._conflicts.add()

    def duplicated(self, count: int) -> None:
        self._duplicates.add(count=count)

    def store_failed(self, verb: str) -> None:
        self._store_errors.add(verb)

    def probed(self, check: str, *, ok: bool) -> None:
        self._check_up.labels(check).set(ok)

    def loaded(self, receipts: int, seconds: float) -> None:
        self._load_receipts.add(count=receipts)
        self._load_seconds.observe(seconds)

    def went_back(self) -> None:
        self._went_back.add()

    def signals_refused(self, reason: str, count: int) -> None:
        self._signals_refused.add(reason, count=count)

    def attempted(self, type: str, outcome: str, seconds: float) -> None:
        self._attempts.add(type, outcome)
        self._attempt_seconds.observe(seconds)

    def failed(self, what: str) -> None:
        self._failures.add(what)

    def not_told(self) -> None:
        self._observing_failures.add()


class _Watched(Collector):
    """What is read at a scrape, because it is counted elsewhere."""

    def __init__(
        self,
        lanes: Callable[[], int],
        waiting: Callable[[], int],
        actions: Callable[[], tuple[int, int]],
        log_lines_dropped: Callable[[], int],
    ) -> None:
        self._lanes = lanes
        self._waiting = waiting
        self._actions = actions
        self._log_lines_dropped = log_lines_dropped

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("tai_lanes", "Tenants whose state is in memory.", value=self._lanes())
        yield GaugeMetricFamily("tai_commands_waiting", "Commands that wait for their receipt.", value=self._waiting())
        in_hand, attempting = self._actions()
        yield GaugeMetricFamily("tai_actions_in_hand", "Actions that this process works on.", value=in_hand)
        yield GaugeMetricFamily("tai_actions_attempting", "Attempts that reach out now.", value=attempting)
        dropped = self._log_lines_dropped()
        yield CounterMetricFamily("tai_log_lines_dropped", "Log lines lost over the bound.", value=dropped)


class _WatchedSpans(Collector):
    """The same for spans, where traces go somewhere."""

    def __init__(self, exported: Callable[[], int], dropped: Callable[[], int]) -> None:
        self._exported, self._dropped = exported, dropped

    def collect(self) -> Iterator[Metric]:
        exported, dropped = self._exported(), self._dropped()
        yield CounterMetricFamily("tai_spans_exported", "Spans that their receiver took.", value=exported)
        yield CounterMetricFamily(
            "tai_spans_dropped", "Spans lost: the queue was full, or their receiver did not take them.", value=dropped
        )
