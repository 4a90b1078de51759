"""
Counts on the way of every request: plain integers, handed to prometheus_client when somebody scrapes.

Its own counters take a lock at every step, and cost three times as much. Everything here is told and scraped on the
event loop, so that no lock is needed.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from math import inf
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from tai_autonomics.application.ports import Answered

REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LABEL_SETS_MAX: Final = 1000
"""Label sets of one metric: a bound that holds even if a label should come from outside by mistake."""
_LIMITS: Final = tuple(map(floatToGoString, (*REQUEST_SECONDS, inf)))


class Tally(Collector):
    """A counter by its labels; past the bound everything counts as "other"."""

    def __init__(self, name: str, doc: str, labels: tuple[str, ...], registry: CollectorRegistry) -> None:
        self._name, self._doc, self._labels = name, doc, labels
        self._counts: dict[tuple[str, ...], int] = {} if labels else {(): 0}
        registry.register(self)

    def add(self, *labels: str, count: int = 1) -> None:
        """Raises ValueError for a negative count."""
        if count < 0:
            raise ValueError("a counter only grows")
        counts = self._counts
        if labels not in counts and len(counts) >= LABEL_SETS_MAX:
            labels = ("other",) * len(labels)
        counts[labels] = counts.get(labels, 0) + count

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._doc, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class _Answers:
    """The requests of one method and route."""

    __slots__ = ("seconds", "statuses", "within")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.within = [0] * len(_LIMITS)
        """How many took at most each limit, and more than the one before it."""
        self.seconds = 0.0


class RequestTallies(Collector):
    """Requests answered, by method, route and status, and how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers: dict[tuple[str, str], _Answers] = {}
        registry.register(self)

    def add(self, request: Answered) -> None:
        of = request.method, request.route
        answers = self._answers.get(of) or self._first(*of)
        statuses = answers.statuses
        statuses[request.status] = statuses.get(request.status, 0) + 1
        answers.within[bisect_left(REQUEST_SECONDS, request.seconds)] += 1
        answers.seconds += request.seconds

    def _first(self, method: str, route: str) -> _Answers:
        of = (method if method in METHODS else "other", route)
        if of not in self._answers and len(self._answers) >= LABEL_SETS_MAX:
            of = ("other", "other")
        return self._answers.setdefault(of, _Answers())

    def collect(self) -> Iterator[Metric]:
        total = CounterMetricFamily(
            "tai_http_requests_total", "Requests answered.", labels=("method", "route", "status")
        )
        seconds = HistogramMetricFamily(
            "tai_http_request_duration_seconds",
            "From the first byte of a request to the last of its response.",
            labels=("method", "route"),
        )
        for of, answers in self._answers.items():
            for status, count in answers.statuses.items():
                total.add_metric((*of, str(status)), count)
            seconds.add_metric(of, list(zip(_LIMITS, accumulate(answers.within), strict=True)), answers.seconds)
        yield total
        yield seconds
