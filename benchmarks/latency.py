"""
P3 and P4: latencies of the service at half its peak rate, checkpoints of the store included.

    peak (wrk) -> half of it, open loop: the mix of P1, and GET /health beside it | the bare store at the same rate
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.commit import Commits, bare_commits
from benchmarks.load import order_load, prime
from benchmarks.measure import Series, Size, interleave, record, say
from benchmarks.openloop import Observed, open_loop
from benchmarks.servers import service
from benchmarks.tenants import TenantsFile, evenly
from benchmarks.throughput import TENANTS, measured

SECONDS_FACTOR: Final = 3
"""Longer than a round at full speed, so that each sees several checkpoints."""
HEALTH_PER_SECOND: Final = 100.0


def measure_latencies(size: Size) -> None:
    """P3 and P4, from the same runs."""
    with TemporaryDirectory() as made:
        tenants = evenly(Path(made), TENANTS)
        rate = half_peak(tenants, size)
        say(f"  half of the peak is {rate:,.0f} requests/s")
        seconds = size.seconds * SECONDS_FACTOR
        rounds: dict[str, list[Observed | Commits]] = interleave(
            size.rounds,
            {
                "service": lambda: _observe(tenants, rate, seconds, size),
                "bare store": lambda: bare_commits(tenants, rate=rate, seconds=seconds),
            },
        )
    observed = [each for each in rounds["service"] if isinstance(each, Observed)]
    commits = [each for each in rounds["bare store"] if isinstance(each, Commits)]
    ours = Series("service p99", "ms", tuple(each.orders.p99_ms for each in observed))
    bare = Series("bare store p99", "ms", tuple(each.p99_ms for each in commits))
    more = tuple(a - b for a, b in zip(ours.rounds, bare.rounds, strict=True))
    rows = [
        *(Series("service p99 - bare store p99", "ms", more), ours, bare),
        Series("service p50", "ms", tuple(each.orders.p50_ms for each in observed)),
        Series("service p99.9", "ms", tuple(each.orders.p999_ms for each in observed)),
        Series("sent late by the generator, p99", "ms", tuple(each.orders.late_p99_ms for each in observed)),
    ]
    notes = {"requests_per_second": round(rate), "seconds": seconds}
    record("P3", rows, notes=notes, short=size.short)
    health = [
        Series("health p99", "ms", tuple(each.health.p99_ms for each in observed)),
        Series("health p50", "ms", tuple(each.health.p50_ms for each in observed)),
        Series("health p99.9", "ms", tuple(each.health.p999_ms for each in observed)),
    ]
    record("P4", health, notes={**notes, "health_per_second": HEALTH_PER_SECOND}, short=size.short)


def half_peak(tenants: TenantsFile, size: Size) -> float:
    """Half of what P1's load gets out of the service now, in requests/s."""
    with service() as server:
        prime(server, tenants)
        return measured(server, tenants, size, order_load).load.per_second / 2


def _observe(tenants: TenantsFile, rate: float, seconds: int, size: Size) -> Observed:
    with service() as server:
        prime(server, tenants)
        order_load(server, tenants, run="warm", seconds=size.warm_up_seconds)
        return open_loop(server, tenants, run="measured", rate=rate, seconds=seconds, health_rate=HEALTH_PER_SECOND)
