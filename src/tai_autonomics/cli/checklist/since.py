"""
30-Day Production Validation: what the metrics of so long say of restarts, errors, SLOs, memory and distribution.

Asked by Prometheus' HTTP API, which Google's Managed Service for Prometheus has too.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec
import typer
from msgspec import Struct

from tai_autonomics.cli.checklist.judging import judge
from tai_autonomics.cli.checklist.lines import Found, Row, Section, failed, left_open, not_applicable, shown
from tai_autonomics.cli.checklist.promql import Queries
from tai_autonomics.cli.checklist.report import Report, report_of
from tai_autonomics.cli.served import is_loopback
from tai_autonomics.errors import StoreUnavailable

TIMEOUT_SECONDS: Final = 120.0
SECONDS_MIN: Final = 3600
SECONDS_MAX: Final = 400 * 86400
COVERED_MIN: Final = 0.95
AVAILABILITY_MIN: Final = 0.999
WITHIN_MIN: Final = 0.99
"""A p99 under a bound is 99 % within it, which a bucket says exactly."""
GROWTH_MAX: Final = 1.25
SLOWER_MAX: Final = 1.5
SLOWER_SECONDS_MIN: Final = 0.25
"""Half of what a request may take: below it, slower than before is still fast."""
UNEVEN_MAX: Final = 1.5
"""Of two instances one then has three quarters of the requests."""
FILES_SHARE_MAX: Final = 0.8


class Asked(Struct, frozen=True):
    """What the options say."""

    url: str
    seconds: int
    matching: str = ""
    planned_restarts: int = 0
    token: str | None = None


class _Series(Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Result(Struct):
    result: list[_Series]


class _Answer(Struct):
    """Of /api/v1/query, as far as we read it."""

    status: str
    data: _Result | None = None
    error: str = ""


class Metrics:
    """Prometheus, asked as of now."""

    def __init__(self, client: httpx.AsyncClient, asked: Asked) -> None:
        self._client = client
        self.asked = asked
        self.queries = Queries(asked.seconds, asked.matching)

    async def series(self, query: str) -> list[tuple[Mapping[str, str], float]]:
        """Raises StoreUnavailable where Prometheus does not say."""
        try:
            answer = await self._client.post("/api/v1/query", data={"query": query})
        except httpx.HTTPError as error:
            why = str(error) or error.__class__.__name__
            raise StoreUnavailable(f"{self.asked.url} has no answer: {why}") from error
        try:
            said = msgspec.json.decode(answer.content, type=_Answer)
        except msgspec.DecodeError as error:
            raise StoreUnavailable(
                f"{self.asked.url} answered {answer.status_code}, and not as Prometheus does"
            ) from error
        if said.status != "success" or said.data is None:
            raise StoreUnavailable(f"{self.asked.url} does not answer {query}: {said.error or answer.status_code}")
        values = [(each.metric, float(each.value[1])) for each in said.data.result]
        return [(metric, value) for metric, value in values if isfinite(value)]

    async def value(self, query: str) -> float | None:
        """The greatest of the series; None for none."""
        return max((value for _, value in await self.series(query)), default=None)


async def the_window_is_covered(metrics: Metrics) -> Found:
    covered = await metrics.value(metrics.queries.covered())
    said = f"an instance told its metrics for {covered or 0:.1%} of the time"
    if not covered:
        return failed("no instance told its metrics: none runs, none is scraped, or --matching selects none")
    if covered < COVERED_MIN:
        return left_open(f"{said}: the lines below judge no more than that", covered=round(covered, 4))
    return shown(said, covered=round(covered, 4))


async def nothing_critical_happened(metrics: Metrics) -> Found:
    counts = {name: await metrics.value(query) or 0.0 for name, query in metrics.queries.critical().items()}
    seen = {name: round(count) for name, count in counts.items() if count >= 0.5}
    if seen:
        return failed(", ".join(f"{name}: {count}" for name, count in seen.items()), seen=seen)
    return shown(f"none of {', '.join(counts)}")


async def restarts_were_meant(metrics: Metrics) -> Found:
    restarts = await metrics.value(metrics.queries.restarts()) or 0.0
    upgrades = await metrics.value(metrics.queries.upgrades()) or 0.0
    unexplained = round(restarts - upgrades)
    planned = metrics.asked.planned_restarts
    said = f"{restarts:.0f} restarts, {upgrades:.0f} of them into another version, {planned} planned"
    evidence = {"restarts": round(restarts), "upgrades": round(upgrades), "planned": planned}
    return (failed if unexplained > planned else shown)(said, **evidence)


async def load_is_even(metrics: Metrics) -> Found:
    instances = await metrics.value(metrics.queries.instances_max())
    if not instances or instances < 2:
        return not_applicable("there never was more than one instance")
    uneven = await metrics.value(metrics.queries.unevenness())
    if uneven is None:
        return left_open("no requests while there were several instances")
    said = (
        f"the busiest instance had {uneven:.2f} times the mean, at most {UNEVEN_MAX:g}; up to {instances:.0f} instances"
    )
    return (failed if uneven > UNEVEN_MAX else shown)(said, unevenness=uneven, instances_max=instances)


async def it_is_as_fast_as_before(metrics: Metrics) -> Found:
    first, last = [await metrics.value(query) for query in metrics.queries.p99_first_and_last()]
    if first is None or last is None:
        return left_open("no requests in the first or in the last quarter of the time")
    said = f"p99 of the first quarter {first * 1000:.1f} ms, of the last {last * 1000:.1f} ms"
    slower = last > first * SLOWER_MAX and last > SLOWER_SECONDS_MIN
    return (failed if slower else shown)(said, first_seconds=first, last_seconds=last)


async def requests_are_answered(metrics: Metrics) -> Found:
    share = await metrics.value(metrics.queries.answered())
    if share is None:
        return left_open("there were no requests")
    said = f"{share:.4%} of the requests were answered without a 5xx, at least {AVAILABILITY_MIN:.1%}"
    return (failed if share < AVAILABILITY_MIN else shown)(said, share=share)


async def targets_are_met(metrics: Metrics) -> Found:
    shares = {name: await metrics.value(query) for name, query in metrics.queries.within().items()}
    known = {name: share for name, share in shares.items() if share is not None}
    if not known:
        return left_open("there were no requests")
    said = ", ".join(f"{name}: {share:.3%}" for name, share in known.items())
    if missed := [name for name, share in known.items() if share < WITHIN_MIN]:
        return failed(f"less than 99 % within {', '.join(missed)} ({said})", shares=known)
    return shown(said, shares=known)


async def memory_is_level(metrics: Metrics) -> Found:
    growth = await metrics.series(metrics.queries.memory_growth())
    if not growth:
        return left_open("no instance lived from the first quarter of the time to the last without a restart")
    labels, most = max(growth, key=lambda each: each[1])
    name = labels.get("instance", "an instance")
    said = f"{name} has {most:.2f} times the memory of the first quarter, at most {GROWTH_MAX:g}"
    return (failed if most > GROWTH_MAX else shown)(said, growth=most, instances=len(growth))


async def nothing_was_exhausted(metrics: Metrics) -> Found:
    files = await metrics.value(metrics.queries.files_share_max())
    turned_away = await metrics.value(metrics.queries.turned_away()) or 0.0
    if files is None:
        return left_open("no instance told how many files it has open")
    said = f"at most {files:.0%} of the files open; {turned_away:.3%} of the requests turned away (429 overloaded)"
    bad = files > FILES_SHARE_MAX or turned_away > 1 - AVAILABILITY_MIN
    return (failed if bad else shown)(said, files_share=files, turned_away=turned_away)


async def it_scales(metrics: Metrics) -> Found:
    most, least = [
        await metrics.value(query) for query in (metrics.queries.instances_max(), metrics.queries.instances_min())
    ]
    if most is None or least is None:
        return left_open("no instance told its metrics")
    return shown(f"from {least:.0f} to {most:.0f} instances", least=least, most=most)


SECTIONS: Final[tuple[Section[Metrics], ...]] = (
    Section(
        "30-Day Production Validation: Stability",
        (
            Row("since-metrics", "All metrics operating normally", the_window_is_covered),
            Row("since-critical", "Zero critical errors in production", nothing_critical_happened),
            Row("since-restarts", "No unexpected restarts", restarts_were_meant),
            Row("since-distribution", "Load distribution even", load_is_even),
            Row("since-performance", "No performance degradation", it_is_as_fast_as_before),
        ),
    ),
    Section(
        "30-Day Production Validation: Performance Validation",
        (
            Row("since-availability", "SLO targets consistently met: requests without a 5xx", requests_are_answered),
            Row("since-latency", "SLO targets consistently met: latency", targets_are_met),
            Row("since-memory", "No memory leaks observed", memory_is_level),
            Row("since-resources", "No resource exhaustion", nothing_was_exhausted),
            Row("since-scaling", "Scaling works as expected", it_scales),
        ),
    ),
)


async def judged(asked: Asked) -> Report:
    """Raises BadParameter for options that cannot serve."""
    from tai_autonomics import wiring

    place = urlsplit(asked.url)
    if place.scheme not in ("http", "https") or not place.hostname or place.username:
        raise typer.BadParameter(f"--prometheus {asked.url!r} is not http(s)://host:port")
    if not SECONDS_MIN <= asked.seconds <= SECONDS_MAX:
        raise typer.BadParameter("--since is from 1h to 400d")
    clock = wiring.SystemClock()
    began_at = clock.now()
    headers = {} if asked.token is None else {"authorization": f"Bearer {asked.token}"}
    async with httpx.AsyncClient(
        base_url=asked.url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=not is_loopback(place.hostname)
    ) as client:
        lines = await judge(SECTIONS, Metrics(client, asked), lambda _: None)
    about = {"metrics": asked.url, "seconds": asked.seconds, "matching": asked.matching or "everything"}
    title = f"Validation of the last {asked.seconds / 86400:g} days"
    return report_of(title, about, lines, began_at=began_at, ended_at=clock.now(), left_behind=[])
