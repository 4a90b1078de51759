"""
Measurements as they come from real fleets, made from a seed: daily cycles, ramps, spikes, flapping, gaps, duplicates.

    trace = ramp(daily(...)) --> duplicated(late(gap(trace))) --> the messages of a journey

Values are decimals in percent with two places, times whole seconds from the start.
"""

import math
import random
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

DAY = 86_400


class Measured(NamedTuple):
    at: int
    """Seconds from the start."""
    value: Decimal


Trace = tuple[Measured, ...]


def daily(
    seed: int, *, seconds: int = DAY, every: int = 60, low: float = 25, high: float = 70, noise: float = 3
) -> Trace:
    """A day's load: least at four in the morning, most at four in the afternoon."""
    chance = random.Random(seed)

    def value(at: int) -> float:
        cycle = (1 - math.cos((at - 4 * 3_600) / DAY * math.tau)) / 2
        return low + (high - low) * cycle + chance.gauss(0, noise)

    return tuple(Measured(at, percent(value(at))) for at in range(0, seconds, every))


def ramp(trace: Trace, *, start: int, end: int, by: float) -> Trace:
    """The trace, rising by `by` between the two times and staying there: a leak, or a customer who grows."""
    return tuple(
        Measured(each.at, percent(float(each.value) + by * min(max((each.at - start) / (end - start), 0), 1)))
        for each in trace
    )


def spike(trace: Trace, *, at: int, seconds: int, value: float) -> Trace:
    """The trace with one plateau."""
    return tuple(Measured(each.at, percent(value)) if at <= each.at < at + seconds else each for each in trace)


def flapping(*, seconds: int = DAY, every: int = 60, around: float = 80, by: float = 5, runs: int = 4) -> Trace:
    """`runs` measurements over the threshold, as many under it, all day."""
    return tuple(
        Measured(at, percent(around + (by if number // runs % 2 == 0 else -by)))
        for number, at in enumerate(range(0, seconds, every))
    )


def gap(trace: Trace, *, start: int, seconds: int) -> Trace:
    """The trace without what an agent that was down did not measure."""
    return tuple(each for each in trace if not start <= each.at < start + seconds)


def duplicated(trace: Trace, seed: int, *, share: float = 0.3, burst_max: int = 4) -> Trace:
    """A share of the measurements comes again at once, some of them several times."""
    chance = random.Random(seed)
    return tuple(
        copy
        for each in trace
        for copy in [each] * (1 + (chance.randint(1, burst_max) if chance.random() < share else 0))
    )


def percent(value: float) -> Decimal:
    """Between 0 and 100, to two places."""
    return Decimal(min(max(value, 0), 100)).quantize(Decimal("0.01"))


def batches(trace: Iterable[Measured], size: int) -> list[list[Measured]]:
    """As an agent sends them: at most `size` a message."""
    every = list(trace)
    return [every[start : start + size] for start in range(0, len(every), size)]
