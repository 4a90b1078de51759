"""One way to read a quantile, for everything that measures; standard library only."""

from collections.abc import Sequence


def at(ordered: Sequence[float], quantile: float) -> float:
    """The smallest figure that at least this share of the figures does not exceed; 0 when there are none."""
    return ordered[max(0, -int(-len(ordered) * quantile // 1) - 1)] if ordered else 0.0
