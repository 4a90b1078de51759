"""
The ceilings of both load generators, on a server that answers anything alike: no figure near them counts.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.load import Load, order_load
from benchmarks.measure import Series, Size, interleave, record
from benchmarks.openloop import Observed, open_loop
from benchmarks.servers import constant
from benchmarks.tenants import TenantsFile, evenly
from benchmarks.throughput import TENANTS

RATES: Final = (5_000, 10_000, 20_000, 30_000)


def measure_ceilings(size: Size) -> None:
    """wrk at full speed with the mix of P1, and how late the open loop sends at several rates."""
    with TemporaryDirectory() as made:
        tenants = evenly(Path(made), TENANTS)
        full = interleave(size.rounds, {"wrk": lambda: _full_speed(tenants, size)})["wrk"]
        rows = [Series("wrk", "requests/s", tuple(load.per_second for load in full))]
        for rate in RATES:
            rows += _at_rate(tenants, rate, size)
    record("ceilings", rows, short=size.short)


def _at_rate(tenants: TenantsFile, rate: int, size: Size) -> list[Series]:
    seen = interleave(size.rounds, {f"open loop at {rate}/s": lambda: _observe(tenants, rate, size)})
    observed = seen[f"open loop at {rate}/s"]
    return [
        Series(f"open loop at {rate}/s: answered", "requests/s", tuple(each.orders.per_second for each in observed)),
        Series(f"open loop at {rate}/s: sent late, p99", "ms", tuple(each.orders.late_p99_ms for each in observed)),
        Series(f"open loop at {rate}/s: latency p99", "ms", tuple(each.orders.p99_ms for each in observed)),
    ]


def _full_speed(tenants: TenantsFile, size: Size) -> Load:
    with constant() as server:
        return order_load(server, tenants, run="ceiling", seconds=size.seconds)


def _observe(tenants: TenantsFile, rate: int, size: Size) -> Observed:
    with constant() as server:
        return open_loop(server, tenants, run="ceiling", rate=rate, seconds=size.seconds, health_rate=100)
