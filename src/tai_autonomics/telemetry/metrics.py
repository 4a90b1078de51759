"""
Metrics of one process, as Prometheus reads them: `tai_` first, units in names, no label that grows with the callers.
"""

import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from tai_autonomics import __version__
from tai_autonomics.application.ports import Answered
from tai_autonomics.application.surveying import Surveyed
from tai_autonomics.telemetry.tallies import Level, RequestTallies, Tally, Timing

STORE_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10)
ATTEMPT_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PUSH_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
GATE_SECONDS: Final = (1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 1e-4, 1e-3, 1e-2)
BATCH: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
COMMAND_OUTCOMES_MAX: Final = 96
"""Label sets of the commands: there are 41, most of which end in at most three ways."""
TASKS_MAX: Final = 56
"""The door's routes, and some twenty tasks in the background."""
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

        def histogram(name: str, doc: str, limits: tuple[float, ...]) -> Timing:
            return Timing(name, doc, None, limits, registry)

        Gauge(
            "tai_build_info", "What is running; always 1.", ("version", "python", "environment"), registry=registry
        ).labels(__version__, platform.python_version(), environment).set(1)
        self._requests = RequestTallies(registry)
        self._problems = counter(
            "tai_http_problems_total", "Requests answered with a problem, by its reason.", "reason"
        )
        self._commands = Tally(
            "tai_commands_total",
            "Commands decided and durable, or replayed.",
            ("command", "outcome"),
            registry,
            COMMAND_OUTCOMES_MAX,
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
        self._gate_seconds = Timing(
            "tai_gate_duration_seconds",
            "One gate of a decision, until it has answered; timed in one decision of 16.",
            "gate",
            GATE_SECONDS,
            registry,
        )
        self._signals_refused = counter(
            "tai_signals_refused_total", "Signals that were refused and are gone, one by one, by reason.", "reason"
        )
        self._attempts = counter(
            "tai_action_attempts_total", "Attempts of actions, by how they ended.", "type", "outcome"
        )
        self._attempt_seconds = histogram(
            "tai_action_attempt_duration_seconds", "One attempt of an action.", ATTEMPT_SECONDS
        )
        self._actions = counter("tai_actions_total", "Actions settled, by how they ended.", "type", "outcome")
        self._pushes = counter(
            "tai_push_messages_total",
            "Deliveries of push messages: decided, quarantined, refused, or wanted again.",
            "outcome",
        )
        self._push_seconds = histogram(
            "tai_push_message_age_seconds", "From the publishing of a message until it was decided.", PUSH_SECONDS
        )
        self._store_errors = counter("tai_store_errors_total", "Store calls that failed.", "verb")
        self._failures = Tally(
            "tai_background_failures_total", "Errors of tasks that nobody waits for.", ("task",), registry, TASKS_MAX
        )
        self._observing_failures = counter("tai_telemetry_failures_total", "Events that could not be told.")
        self._check_up = Level("tai_check_up", "1 while a health check passes, else 0.", "check", registry)

    def watch(
        self,
        *,
        lanes: Callable[[], int],
        waiting: Callable[[], int],
        actions: Callable[[], tuple[int, int]],
        queue: Callable[[], tuple[int, float]],
        survey: Callable[[], Surveyed],
        check_ages: Callable[[], Mapping[str, float]],
        log_lines_dropped: Callable[[], int],
    ) -> None:
        """
        Reads these at every scrape: the lanes in memory, the commands that wait in them, the actions in hand and those
        of them that reach out, how many are due and wait and the seconds that the oldest has, what the last survey
        found, the seconds since each health check ended, the log lines lost.
        """
        self._registry.register(_Watched(lanes, waiting, actions, queue, survey, check_ages, log_lines_dropped))

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
        self._append_receipts.add(receipts)
        self._append_tenants.add(tenants)
        self._append_seconds.add(seconds)

    def sealed(self, type: str) -> None:
        self._receipts.add(type)

    def conflicted(self) -> None:
        self._conflicts.add()

    def duplicated(self, count: int) -> None:
        self._duplicates.add(count=count)

    def store_failed(self, verb: str) -> None:
        self._store_errors.add(verb)

    def probed(self, check: str, *, ok: bool) -> None:
        self._check_up.put(check, ok)

    def loaded(self, receipts: int, seconds: float) -> None:
        self._load_receipts.add(count=receipts)
        self._load_seconds.add(seconds)

    def went_back(self) -> None:
        self._went_back.add()

    def gate_asked(self, gate: str, seconds: float) -> None:
        self._gate_seconds.add(seconds, gate)

    def signals_refused(self, reason: str, count: int) -> None:
        self._signals_refused.add(reason, count=count)

    def attempted(self, type: str, outcome: str, seconds: float) -> None:
        self._attempts.add(type, outcome)
        self._attempt_seconds.add(seconds)

    def settled(self, type: str, result: str) -> None:
        self._actions.add(type, result)

    def pushed(self, outcome: str, age_seconds: float | None) -> None:
        self._pushes.add(outcome)
        if age_seconds is not None:
            self._push_seconds.add(age_seconds)

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
        queue: Callable[[], tuple[int, float]],
        survey: Callable[[], Surveyed],
        check_ages: Callable[[], Mapping[str, float]],
        log_lines_dropped: Callable[[], int],
    ) -> None:
        self._lanes = lanes
        self._waiting = waiting
        self._actions = actions
        self._queue = queue
        self._survey = survey
        self._check_ages = check_ages
        self._log_lines_dropped = log_lines_dropped

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("tai_lanes", "Tenants whose state is in memory.", value=self._lanes())
        yield GaugeMetricFamily("tai_commands_waiting", "Commands that wait for their receipt.", value=self._waiting())
        in_hand, attempting = self._actions()
        yield GaugeMetricFamily("tai_actions_in_hand", "Actions that this process works on.", value=in_hand)
        yield GaugeMetricFamily("tai_actions_attempting", "Attempts that reach out now.", value=attempting)
        due, oldest = self._queue()
        yield GaugeMetricFamily(
            "tai_actions_waiting", "Actions that are due and wait for their attempt, as this process sees.", value=due
        )
        yield GaugeMetricFamily(
            "tai_actions_oldest_due_seconds",
            "For how long the one that waits longest has been due; 0 without any.",
            value=oldest,
        )
        yield from _surveyed(self._survey())
        ages = GaugeMetricFamily(
            "tai_check_age_seconds", "Since a health check last ended, with whatever result.", labels=("check",)
        )
        for check, seconds in self._check_ages().items():
            ages.add_metric((check,), seconds)
        yield ages
        dropped = self._log_lines_dropped()
        yield CounterMetricFamily("tai_log_lines_dropped", "Log lines lost over the bound.", value=dropped)


class _WatchedSpans(Collector):
    """The same for spans, where traces go somewhere."""

    def __init__(self, exported: Callable[[], int], dropped: Callable[[], int]) -> None:
        self._exported, self._dropped = exported, dropped

    def collect(self) -> Iterator[Metric]:
        exported, dropped = self._exported(), self._dropped()
        yield CounterMetricFamily(
            "tai_spans_exported", "Spans that their receiver took; only where traces go somewhere.", value=exported
        )
        yield CounterMetricFamily(
            "tai_spans_dropped", "Spans lost, as the queue was full or their receiver did not take them.", value=dropped
        )


def _surveyed(found: Surveyed) -> Iterator[Metric]:
    left = GaugeMetricFamily(
        "tai_action_budget_left",
        "Actions that the fleet's budget has left in its window, where a type has one; seen every 15 s.",
        labels=("type",),
    )
    for action, count in found.budget_left.items():
        left.add_metric((action,), count)
    yield left
    yield GaugeMetricFamily(
        "tai_quotas_nearly_used",
        "Tenants in memory of which a quota is used to its last threshold below 100 % (80 % without one); every 15 s.",
        value=found.quotas_nearly_used,
    )
    held = GaugeMetricFamily("tai_quarantined_messages", "Messages in quarantine; counted once a minute.")
    if found.quarantined is not None:
        held.add_metric((), found.quarantined)
    yield held
