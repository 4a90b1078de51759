"""
Which tenant each request names: drawn once, with a fixed seed, into a file that every load generator reads.

The number on a line is the tenant's rank; `name_of` makes its name.
"""

import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final
from zlib import crc32

from msgspec import Struct

SEED: Final = 2026
DRAWS: Final = 1_000_000
"""More than one round sends, so that a round does not repeat itself."""


class TenantsFile(Struct, frozen=True):
    """A drawn file, and how many tenants it draws from."""

    path: Path
    count: int

    def names(self) -> Iterator[str]:
        return map(name_of, range(self.count))

    def drawn(self, run: str) -> list[str]:
        """The tenants in the order in which that run names them."""
        lines, start = self.path.read_text().splitlines(), start_of(run)
        return [f"tenant-{line}" for line in lines[start:] + lines[:start]]


def start_of(run: str) -> int:
    """The line of a tenants file that a run begins at: each its own, so that no run repeats the one before."""
    return crc32(run.encode()) % DRAWS


def name_of(rank: int) -> str:
    return f"tenant-{rank:06d}"


def evenly(directory: Path, count: int) -> TenantsFile:
    """Every tenant as likely as the others."""
    return _draw(directory / f"evenly-{count}.txt", [1.0] * count)


def in_turn(directory: Path, count: int) -> TenantsFile:
    """Every tenant once, in the order of rank."""
    path = directory / f"in-turn-{count}.txt"
    path.write_text("".join(f"{rank:06d}\n" for rank in range(count)))
    return TenantsFile(path, count)


def zipf(directory: Path, count: int, *, s: float) -> TenantsFile:
    """The tenant of rank r (from 1) as likely as 1 / r^s."""
    return _draw(directory / f"zipf-{count}.txt", zipf_weights(count, s=s))


def zipf_weights(count: int, *, s: float) -> list[float]:
    return [1 / rank**s for rank in range(1, count + 1)]


def _draw(path: Path, weights: list[float]) -> TenantsFile:
    ranks = random.Random(SEED).choices(range(len(weights)), cum_weights=list(accumulate(weights)), k=DRAWS)
    path.write_text("".join(f"{rank:06d}\n" for rank in ranks))
    return TenantsFile(path, len(weights))
