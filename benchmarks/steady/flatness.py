"""
Is it flat? The rule of a soak: what a figure has risen by over the judged part of a run, and how much it may.

    samples -> without the first fifth -> median of all slopes between two of them (Theil and Sen) * the part's length

The median of slopes follows a leak and is not moved by what comes and goes: a collection, a checkpoint, a scrape. It is
a rise over the run, not over an hour: the longer the run, the smaller the leak that it finds.
"""

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import Final

from msgspec import Struct

SETTLING_SHARE: Final = 0.2
"""Of the samples, at the beginning, are shown and not judged."""
SAMPLES_MIN: Final = 20
"""Fewer judged samples say nothing: not flat."""
SAMPLES_MAX: Final = 400
"""Of a longer run every second, third, … sample is judged: there are as many slopes as pairs."""


class Rule(Struct, frozen=True):
    """
    `figure` may rise by `rise_max` in its own unit, or by `share_max` of its median, whichever is more.

    With `falls` it is a fall that is judged. `why` says where the bound comes from.
    """

    figure: str
    unit: str
    rise_max: float
    share_max: float
    why: str
    falls: bool = False


class Verdict(Struct, frozen=True):
    """`rise` is over the judged part, or the fall where that is judged; `bound` is the most that it may be."""

    figure: str
    unit: str
    flat: bool
    median: float
    rise: float
    bound: float
    why: str
    falls: bool = False
    judged: bool = True

    def __str__(self) -> str:
        if not self.judged:
            return f"NOT FLAT: {self.figure}: {self.why}"
        said, moved = "flat" if self.flat else "NOT FLAT", "fell" if self.falls else "rose"
        return (
            f"{said}: {self.figure}: median {self.median:.4g} {self.unit}, {moved} by {self.rise:.3g} "
            f"(at most {self.bound:.3g})"
        )


RULES: Final = (
    Rule("resident memory", "MiB", 2.0, 0.03, "what is bounded was filled by the warm-up; a leak is a rise"),
    Rule("descriptors", "files", 2.0, 0.0, "the load's connections stay; a scrape may be seen"),
    Rule("threads", "threads", 1.0, 0.0, "pools are full after the warm-up"),
    Rule("lanes", "tenants", 1.0, 0.0, "the tenants are always the same"),
    Rule("commands waiting", "commands", 20.0, 0.0, "below the peak no queue grows"),
    Rule("write-ahead log", "MiB", 1.0, 0.05, "checkpoints let it be used again"),
    Rule("throughput", "requests/s", 0.0, 0.05, "the load asks evenly", falls=True),
    Rule("p99 of all requests", "ms", 10.0, 0.5, "a longer ledger is no slower"),
    Rule("p99 of GET /health", "ms", 2.0, 0.5, "nor is the event loop"),
)


def judge(rule: Rule, samples: Sequence[tuple[float, float]]) -> Verdict:
    """`samples` are (seconds, figure) in the order of time."""
    kept = judged(samples)
    if len(kept) < SAMPLES_MIN:
        why = f"only {len(kept)} samples to judge, at least {SAMPLES_MIN} are needed"
        return Verdict(rule.figure, rule.unit, False, 0.0, 0.0, 0.0, why, rule.falls, judged=False)
    rise = slope(kept) * (kept[-1][0] - kept[0][0]) * (-1 if rule.falls else 1)
    middle = median(figure for _, figure in kept)
    bound = max(rule.rise_max, rule.share_max * middle)
    return Verdict(rule.figure, rule.unit, rise <= bound, middle, rise, bound, rule.why, rule.falls)


def judged(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that are judged: without the first, and thinned to at most SAMPLES_MAX."""
    kept = samples[int(len(samples) * SETTLING_SHARE) :]
    return list(kept[:: -(-len(kept) // SAMPLES_MAX) or 1])


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Of the figure, a second (Theil 1950, Sen 1968); two samples or more, no two at one time."""
    return median((b - a) / (t - s) for (s, a), (t, b) in combinations(samples, 2))
