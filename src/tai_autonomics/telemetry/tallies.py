"""
Counts on the way of every request: plain numbers, handed to prometheus_client when somebody scrapes.

Its own counters take a lock at every step, and cost three times as much. Everything here is told and scraped on the
event loop, so that no lock is needed.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from math import inf
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from tai_autonomics.application.ports import Answered

REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS: Final = {each: each for each in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")} | {"HEAD": "GET"}
"""As a label: a HEAD is answered as the GET that it could be."""
LABEL_SETS_MAX: Final = 44
"""Label sets of one metric: a bound that holds even if a label should come from outside by mistake."""
ROUTES_MAX: Final = 38
"""Methods and routes together: the door has 30 routes, and what finds none of them comes with 7 methods."""
STATUSES_MAX: Final = 400
"""Methods, routes and statuses together."""
FEW_MAX: Final = 8
"""Label values of a gauge, and of a histogram beside the requests'."""
LABEL_CHARACTERS_MAX: Final = 52
OTHER: Final = "other"


class Tally(Collector):
    """A counter by its labels; what is past a bound, or no name of ours, counts as "other"."""

    def __init__(
        self, name: str, doc: str, labels: tuple[str, ...], registry: CollectorRegistry, sets_max: int = LABEL_SETS_MAX
    ) -> None:
        self._name, self._doc, self._labels, self._sets_max = name, doc, labels, sets_max
        self._counts: dict[tuple[str, ...], int] = {} if labels else {(): 0}
        registry.register(self)

    def add(self, *labels: str, count: int = 1) -> None:
        """Raises ValueError for a negative count."""
        if count < 0:
            raise ValueError("a counter only grows")
        counts = self._counts
        if labels not in counts and not (len(counts) < self._sets_max and all(map(_is_name, labels))):
            labels = (OTHER,) * len(labels)
        counts[labels] = counts.get(labels, 0) + count

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._doc, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        yield family


class Level(Collector):
    """A gauge by one label; past the bound the last of all others counts as "other"."""

    def __init__(self, name: str, doc: str, label: str, registry: CollectorRegistry) -> None:
        self._name, self._doc, self._label = name, doc, label
        self._levels: dict[str, float] = {}
        registry.register(self)

    def put(self, label: str, level: float) -> None:
        """Where it stands now."""
        if label not in self._levels and not (len(self._levels) < FEW_MAX and _is_name(label)):
            label = OTHER
        self._levels[label] = level

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._doc, labels=(self._label,))
        for label, level in self._levels.items():
            family.add_metric((label,), level)
        yield family


class _Spread:
    """Values by the first limit that holds them, and the last one that was seen in a trace."""

    __slots__ = ("_limits", "_names", "_sum", "_traced", "_within")

    def __init__(self, limits: tuple[float, ...], names: tuple[str, ...]) -> None:
        self._limits, self._names = limits, names
        self._within = [0] * len(names)
        """How many were at most each limit, and more than the one before it."""
        self._sum = 0.0
        self._traced: tuple[int, str, float] | None = None

    def add(self, value: float, trace: str = "") -> None:
        place = bisect_left(self._limits, value)
        self._within[place] += 1
        self._sum += value
        if trace:
            self._traced = place, trace, value

    def add_to(self, family: HistogramMetricFamily, labels: tuple[str, ...]) -> None:
        counts = zip(self._names, accumulate(self._within), strict=True)
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = [*counts]
        if self._traced is not None:
            place, trace, value = self._traced
            buckets[place] = (*buckets[place][:2], Exemplar({"trace_id": trace}, value))
        family.add_metric(labels, buckets, self._sum)


class Timing(Collector):
    """A histogram by at most one label, which has few values; past the bound everything counts as "other"."""

    def __init__(
        self, name: str, doc: str, label: str | None, limits: tuple[float, ...], registry: CollectorRegistry
    ) -> None:
        self._name, self._doc, self._limits = name, doc, limits
        self._names = _names_of(limits)
        self._labels = () if label is None else (label,)
        self._spreads: dict[str, _Spread] = {} if label else {"": _Spread(limits, self._names)}
        registry.register(self)

    def add(self, value: float, label: str = "") -> None:
        """One value more."""
        spread = self._spreads.get(label) or self._first(label)
        spread.add(value)

    def _first(self, label: str) -> _Spread:
        if len(self._spreads) >= FEW_MAX or not _is_name(label):
            label = OTHER
        return self._spreads.setdefault(label, _Spread(self._limits, self._names))

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._doc, labels=self._labels)
        for label, spread in self._spreads.items():
            spread.add_to(family, (label,) if self._labels else ())
        yield family


class _Answers:
    """The requests of one method and route."""

    __slots__ = ("seconds", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int | str, int] = {}
        self.seconds = _Spread(REQUEST_SECONDS, _REQUEST_NAMES)


class RequestTallies(Collector):
    """Requests answered, by method, route and status, and how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers: dict[tuple[str, str], _Answers] = {}
        self._statuses = 0
        registry.register(self)

    def add(self, request: Answered) -> None:
        of = request.method, request.route
        answers = self._answers.get(of) or self._first(*of)
        status = request.status
        try:
            answers.statuses[status] += 1
        except KeyError:
            self._first_of_status(answers, status)
        answers.seconds.add(request.seconds, request.trace)

    def _first(self, method: str, route: str) -> _Answers:
        of = (METHODS.get(method, OTHER), route if _is_name(route) else OTHER)
        if of not in self._answers and len(self._answers) >= ROUTES_MAX:
            of = (OTHER, OTHER)
        return self._answers.setdefault(of, _Answers())

    def _first_of_status(self, answers: _Answers, status: int) -> None:
        known: int | str = status if self._statuses < STATUSES_MAX else OTHER
        self._statuses += known not in answers.statuses
        answers.statuses[known] = answers.statuses.get(known, 0) + 1

    def collect(self) -> Iterator[Metric]:
        total = CounterMetricFamily(
            "tai_http_requests_total",
            "Requests answered; a HEAD counts as a GET.",
            labels=("method", "route", "status"),
        )
        seconds = HistogramMetricFamily(
            "tai_http_request_duration_seconds",
            "From the first byte of a request to the last of its response.",
            labels=("method", "route"),
        )
        for of, answers in self._answers.items():
            for status, count in answers.statuses.items():
                total.add_metric((*of, str(status)), count)
            answers.seconds.add_to(seconds, of)
        yield total
        yield seconds


def _is_name(label: str) -> bool:
    """Whether it can be a name of ours: what a caller sends is longer, or has other characters, sooner or later."""
    return len(label) <= LABEL_CHARACTERS_MAX and label.isascii() and label.isprintable()


def _names_of(limits: tuple[float, ...]) -> tuple[str, ...]:
    return tuple(map(floatToGoString, (*limits, inf)))


_REQUEST_NAMES: Final = _names_of(REQUEST_SECONDS)
