"""What a soak saw over time, a figure at a time: from the samples, from locust's history and from the health probe."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.quantiles import at
from benchmarks.steady.probe import Second
from benchmarks.steady.sampling import Sample

Points = list[tuple[float, float]]
"""(seconds since the load began, figure), in the order of time."""


class Told(Struct, frozen=True):
    """A line of locust's history: the requests since the line before."""

    seconds: float
    requests: int
    failures: int
    p50_ms: float
    p99_ms: float
    receipt_p99_ms: float


def history(file: Path) -> list[Told]:
    """Without the last line, whose time the end of the load has cut."""
    return [msgspec.json.decode(line, type=Told) for line in file.read_bytes().splitlines()][:-1]


def figures(
    samples: Sequence[Sample], told: Sequence[Told], health: Sequence[Second], *, every: float
) -> Mapping[str, Points]:
    """Each figure by its name; `every` is how many seconds of the probe make one point."""
    used = [(b.seconds, (b.cpu_seconds - a.cpu_seconds) / (b.seconds - a.seconds)) for a, b in pairwise(samples)]
    return {
        "resident memory": [(each.seconds, each.resident_mib) for each in samples],
        "descriptors": [(each.seconds, each.descriptors) for each in samples],
        "threads": [(each.seconds, each.threads) for each in samples],
        "lanes": [(each.seconds, each.lanes) for each in samples],
        "commands waiting": [(each.seconds, each.waiting) for each in samples],
        "write-ahead log": [(each.seconds, each.log_mib) for each in samples],
        "store": [(each.seconds, each.store_mib) for each in samples],
        "cores used": used,
        "throughput": [(b.seconds, b.requests / (b.seconds - a.seconds)) for a, b in pairwise(told)],
        "p50 of all requests": [(each.seconds, each.p50_ms) for each in told],
        "p99 of all requests": [(each.seconds, each.p99_ms) for each in told],
        "p99 of receipts": [(each.seconds, each.receipt_p99_ms) for each in told],
        "p99 of GET /health": list(_health(health, every)),
    }


def _health(health: Sequence[Second], every: float) -> Iterator[tuple[float, float]]:
    for _, some in groupby(health, key=lambda each: int((each.seconds - 0.5) / every)):
        seconds = list(some)
        if latencies := sorted(latency for each in seconds for latency in each.latencies_ms):
            yield seconds[-1].seconds, at(latencies, 0.99)
