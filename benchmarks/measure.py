"""
Measuring: rounds A B A B …, medians with their spread, and a record that says on what and from which commit.

    interleave -> Series, one a side -> ratio -> record -> results/<name>.json
"""

import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"
RESULTS_SHORT: Final = RESULTS / "short"
PACKAGES: Final = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "orjson", "pyjwt", "fastapi", "sqlalchemy")
LOAD_BEFORE: Final = os.getloadavg()[0]
"""The machine's one-minute load average before the first measurement: near 0, or someone else was at work."""

T = TypeVar("T")


class Size(Struct, frozen=True):
    """How long a measurement takes. A short one shows that the harness works; its figures mean nothing."""

    short: bool
    rounds: int
    seconds: int
    warm_up_seconds: int


FULL: Final = Size(short=False, rounds=5, seconds=10, warm_up_seconds=3)
SHORT: Final = Size(short=True, rounds=1, seconds=2, warm_up_seconds=1)


class Series(Struct, frozen=True):
    """One quantity, measured once a round."""

    name: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.rounds)

    def line(self) -> str:
        low, high = min(self.rounds), max(self.rounds)
        return f"{self.name}: {_figure(self.median)} {self.unit} ({_figure(low)} to {_figure(high)})"


def interleave(rounds: int, sides: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Run every side once, in order, then again, `rounds` times: what drifts on the machine hits all sides alike."""
    measured: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(1, rounds + 1):
        for name, run in sides.items():
            outcome = run()
            measured[name].append(outcome)
            say(f"  round {number}/{rounds} {name}: {outcome}")
    return measured


def ratio(name: str, of: Series, to: Series) -> Series:
    """`of` divided by `to`, round by round: the two figures of a round were taken next to each other."""
    return Series(name, "ratio", tuple(a / b for a, b in zip(of.rounds, to.rounds, strict=True)))


def record(name: str, rows: Sequence[Series], *, notes: Mapping[str, Any] | None = None, short: bool = False) -> Path:
    """Print the rows and keep them, with all rounds, under results/<name>.json (short ones apart, never committed)."""
    for row in rows:
        say(f"{name} {row.line()}")
    where = RESULTS_SHORT if short else RESULTS
    where.mkdir(parents=True, exist_ok=True)
    path = where / f"{name}.json"
    written = {
        "name": name,
        **circumstances(),
        "rows": [_written(row) for row in rows],
        "notes": dict(notes or {}),
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n")
    return path


def circumstances() -> dict[str, Any]:
    """When, from which commit, on what: they stand beside every figure that is kept."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "commit": _commit(),
        "machine": _machine(),
        "versions": _versions(),
    }


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _written(row: Series) -> dict[str, Any]:
    return {
        "name": row.name,
        "unit": row.unit,
        "median": _rounded(row.median),
        "spread": [_rounded(min(row.rounds)), _rounded(max(row.rounds))],
        "rounds": [_rounded(figure) for figure in row.rounds],
    }


def _rounded(figure: float) -> float:
    return float(f"{figure:.4g}") if abs(figure) < 1_000 else round(figure)


def _figure(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def _commit() -> str:
    revision = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks", ":!benchmarks/results")
    return (revision or "none") + ("+changes" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=HERE.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _machine() -> dict[str, Any]:
    return {
        "cpu": _after_colon("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": f"{platform.system()} {platform.release()}",
        "load_average_before": round(LOAD_BEFORE, 2),
    }


def _after_colon(path: str, key: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return "unknown"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
