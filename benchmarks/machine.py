"""What the machine and its processes have used of their cores, from /proc."""

import os
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """Of all cores together since the machine's start: neither idle nor waiting for a disk."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting = ticks[3], ticks[4]
    return (sum(ticks) - idle - waiting) / TICKS


def children_seconds(parent: int) -> float:
    """CPU of the parent's children, those that have ended included, and its own."""
    seconds = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            seconds += (int(fields[11]) + int(fields[12])) / TICKS
        elif int(stat.parent.name) == parent:
            seconds += sum(int(field) for field in fields[11:15]) / TICKS
    return seconds
