"""Latencies and their quantiles, by the nearest rank."""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in ascending order, at least one."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


class Latencies(Struct, frozen=True):
    """In milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float

    def said(self) -> str:
        return f"p50 {self.p50:.1f} ms, p95 {self.p95:.1f} ms, p99 {self.p99:.1f} ms of {self.count:,}"


def latencies(seconds: Sequence[float]) -> Latencies:
    """Zeros for none."""
    if not seconds:
        return Latencies(0, 0.0, 0.0, 0.0, 0.0)
    ordered = sorted(each * 1000 for each in seconds)
    p50, p95, p99 = (round(quantile(ordered, share), 3) for share in (0.5, 0.95, 0.99))
    return Latencies(len(ordered), p50, p95, p99, round(ordered[-1], 3))
