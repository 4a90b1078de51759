"""What a soak leaves: SOAK.json with every point, SOAK.md to read, and a picture of each figure as `simulate` draws."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks.measure import circumstances
from benchmarks.steady.flatness import SETTLING_SHARE, Verdict
from benchmarks.steady.goals import ERRORS_PERCENT
from benchmarks.steady.series import Points
from tai_autonomics.cli.plot import Picture, Sample, Threshold, svg

UNITS: Final[Mapping[str, str]] = {
    "resident memory": "MiB",
    "descriptors": "open",
    "threads": "threads",
    "lanes": "tenants",
    "commands waiting": "commands",
    "write-ahead log": "MiB",
    "store": "MiB",
    "cores used": "cores",
    "throughput": "1/s",
}
"""Of the figures that are no times; those are milliseconds."""
ZERO: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Where the time of a picture begins: it shows how long the load has lasted."""


class Soaked(Struct, frozen=True):
    """One run. `settings` is how it was asked for; `receipts` and `store_bytes` are what the load added."""

    settings: Mapping[str, float]
    requests: int
    failures: int
    receipts: int
    store_bytes: int
    stamped: str
    figures: Mapping[str, Points]
    verdicts: Sequence[Verdict]

    @property
    def errors_percent(self) -> float:
        return 100 * self.failures / self.requests if self.requests else 100.0

    @property
    def lines(self) -> list[str]:
        """What is not as it should be; none where all is flat and well answered."""
        errors = f"MISSED: errors {self.errors_percent:.3g} %: must be under {ERRORS_PERCENT:g}%"
        return [*(str(each) for each in self.verdicts if not each.flat)] + (
            [errors] if self.errors_percent >= ERRORS_PERCENT else []
        )


def write(soaked: Soaked, directory: Path) -> None:
    """The files of the run; those of the run before are replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    around = circumstances()
    bounds = {verdict.figure: verdict for verdict in soaked.verdicts}
    for figure, points in soaked.figures.items():
        if points:
            (directory / f"{_slug(figure)}.svg").write_text(_picture(figure, points, bounds.get(figure)))
    written = {"name": "SOAK", **around, "flat": not soaked.lines, **msgspec.to_builtins(soaked)}
    (directory / "SOAK.json").write_bytes(msgspec.json.encode(written) + b"\n")
    (directory / "SOAK.md").write_text(_page(soaked, around))


def _page(soaked: Soaked, around: Mapping[str, Any]) -> str:
    asked = ", ".join(f"{name.replace('_', ' ')} {figure:g}" for name, figure in soaked.settings.items())
    each_bytes = soaked.store_bytes / max(soaked.receipts, 1)
    machine = ", ".join(f"{name} {value}" for name, value in around["machine"].items())
    rows = [_row(each) for each in soaked.verdicts]
    return "\n".join(
        [
            f"# Soak: {'flat' if not soaked.lines else 'not flat'}",
            "",
            f"{around['time']}, commit {around['commit']}; {asked}.",
            "",
            f"{soaked.requests:,} requests, {soaked.failures:,} without their documented answer; {soaked.receipts:,} "
            f"receipts, {each_bytes:,.0f} bytes of store each. Health probes were stamped {soaked.stamped}.",
            "",
            "| figure | median | rose by | at most | flat | why |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"Judged without the first {SETTLING_SHARE:.0%} of the samples; the rule is in "
            "`benchmarks/steady/flatness.py`. The store grows with its receipts, as it should.",
            "",
            *(f"![{figure}]({_slug(figure)}.svg)" for figure, points in soaked.figures.items() if points),
            "",
            f"Machine: {machine}.",
            "",
        ]
    )


def _row(verdict: Verdict) -> str:
    figure = f"{verdict.figure}, its fall" if verdict.falls else verdict.figure
    middle, flat = f"{verdict.median:.4g} {verdict.unit}", "yes" if verdict.flat else "**no**"
    return f"| {figure} | {middle} | {verdict.rise:.3g} | {verdict.bound:.3g} | {flat} | {verdict.why} |"


def _picture(figure: str, points: Points, verdict: Verdict | None) -> str:
    """A dashed line where a judged figure would have changed by more than it may."""
    samples = [Sample(ZERO + timedelta(seconds=seconds), float(value)) for seconds, value in points]
    thresholds = []
    if verdict is not None and verdict.bound:
        edge = verdict.median + (-verdict.bound if verdict.falls else verdict.bound)
        thresholds = [Threshold("the median and what it may change by", edge)]
    return svg(Picture(f"{figure} under a steady load", UNITS.get(figure, "ms"), samples, thresholds))


def _slug(figure: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", figure.lower()).strip("-")
