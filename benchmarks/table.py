"""
The table of README.md: each figure that the design promises, its goal, and what was measured, from results/*.json.

It stands between two markers; everything else in README.md is written by hand.
"""

from collections.abc import Callable
from functools import partial
from operator import ge
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.measure import HERE, RESULTS

README: Final = HERE / "README.md"
BEGIN: Final = "<!-- results begin: written by `python -m benchmarks --table` -->"
END: Final = "<!-- results end -->"


class Goal(Struct, frozen=True):
    """
    `row` is the result's row that is judged; `met` says so of its median.

    `unless_busy` names a row with the share of all cores that was busy: where they were saturated, nothing is judged.
    """

    number: str
    what: str
    against: str
    goal: str
    row: str
    met: Callable[[float], bool]
    unless_busy: str = ""


class Row(Struct, frozen=True):
    name: str
    unit: str
    median: float
    spread: tuple[float, float]


class Result(Struct, frozen=True):
    name: str
    time: str
    commit: str
    machine: dict[str, str | int | float]
    versions: dict[str, str]
    rows: tuple[Row, ...]

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)


SATURATED: Final = 0.9

GOALS: Final = (
    Goal(
        "P1",
        "`POST /marketplace`, 1,000 tenants, 64 connections, one core",
        "bare echo",
        "at least 0.25, better 0.40",
        "service / echo",
        lambda figure: figure >= 0.25,
    ),
    Goal(
        "P2",
        "the same",
        "plain FastAPI + SQLAlchemy + SQLite",
        "at least 5",
        "service / faster plain",
        lambda figure: figure >= 5,
    ),
    Goal(
        "P3",
        "p99 of P1 at half its peak rate",
        "commit p99 of the bare store at that rate",
        "at most 10 ms more",
        "service p99 - bare store p99",
        lambda figure: figure <= 10,
    ),
    Goal("P4", "p99 of `GET /health` meanwhile", "", "under 5 ms", "health p99", lambda figure: figure < 5),
    Goal(
        "P5",
        "`POST /v1/…/check`, 64 connections",
        "bare echo",
        "at least 0.60",
        "service / echo",
        lambda figure: figure >= 0.6,
    ),
    Goal(
        "P6",
        "signal over `/pubsub` to the webhook being called, p99, 50 a second",
        "",
        "under 100 ms",
        "signal to webhook, p99",
        lambda figure: figure < 100,
    ),
    Goal(
        "P7",
        "append in process, 256 in flight",
        "`executemany` of the same rows",
        "at least 0.25, better 0.35",
        "corridor / executemany",
        lambda figure: figure >= 0.25,
    ),
    Goal(
        "P8",
        "verifying 1,000,000 receipts",
        "SHA-256 and orjson parse",
        "at least 0.5",
        "verify / hash and parse",
        lambda figure: figure >= 0.5,
    ),
    Goal(
        "P9",
        "P1 with 100,000 tenants (Zipf 1.1) on 10,000,000 receipts",
        "P1 on an empty store",
        "at least 0.8",
        "full store / empty store",
        lambda figure: figure >= 0.8,
    ),
    Goal(
        "P9",
        "resident memory meanwhile",
        "",
        "under 512 MiB",
        "resident memory",
        lambda figure: figure < 512,
    ),
    Goal(
        "P10",
        "process start to the first 200 on `/health`",
        '`python -c "import starlette, uvicorn"`',
        "at most 3",
        "first start / imports",
        lambda figure: figure <= 3,
    ),
    Goal("P10", "the same", "", "under 1 s", "first start", lambda figure: figure < 1),
    Goal(
        "P11",
        "commands lost or repeated by 2 and 4 instances on one PostgreSQL, every 20th sent to two of them",
        "",
        "none",
        "commands lost or repeated",
        lambda figure: figure == 0,
    ),
    Goal(
        "P11",
        "commands/s of 2 instances",
        "1 instance",
        "at least 1",
        "2 instances / 1 instance",
        lambda figure: figure >= 1,
        unless_busy="2 instances, all cores busy",
    ),
    Goal(
        "P11",
        "commands/s of 4 instances",
        "1 instance",
        "at least 1",
        "4 instances / 1 instance",
        lambda figure: figure >= 1,
        unless_busy="4 instances, all cores busy",
    ),
    Goal("P12", "replay of a ledger", "P8", "at least 0.3", "replay / verify", lambda figure: figure >= 0.3),
    *(
        Goal(
            "SIGNALS",
            f"p99 of `GET /health` under 5,000 signals/s in messages of 100, {each}",
            "",
            "under 5 ms, as P4",
            f"health p99, {each}",
            lambda figure: figure < 5,
        )
        for each in ("1 tenant a message", "10 tenants a message", "100 tenants a message")
    ),
    *(
        Goal(
            "DRILL",
            f"restoring 1,000,000 receipts and verifying every chain ({figure}), {store}",
            "",
            f"at most {seconds:,} s",
            f"{figure}, {store}",
            partial(ge, seconds),
        )
        for store in ("SQLite", "PostgreSQL")
        for figure, seconds in (("RTO", 3_600), ("RPO", 900))
    ),
    Goal(
        "FLOOD",
        "p99 of `GET /health` under 2,000 bad requests/s beside half of P1's peak",
        "",
        "under 5 ms, as P4",
        "health p99, flood",
        lambda figure: figure < 5,
    ),
    Goal(
        "TELEMETRY",
        "P1 with its logs and metrics",
        "P1 without them",
        "at least 0.9",
        "told / untold",
        lambda figure: figure >= 0.9,
    ),
)


def write_table() -> None:
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


def table() -> str:
    numbers = dict.fromkeys(goal.number for goal in GOALS)
    paths = {number: RESULTS / f"{number}.json" for number in numbers}
    results = {number: result_of(path) for number, path in paths.items() if path.exists()}
    head = ["| # | what | compared with | goal | measured (spread) | met |", "|---|---|---|---|---|---|"]
    lines = [*head, *(_line(goal, results.get(goal.number)) for goal in GOALS)]
    return "\n".join([*lines, "", *_provenance(results)])


def result_of(path: Path) -> Result:
    return msgspec.json.decode(path.read_bytes(), type=Result)


def _line(goal: Goal, result: Result | None) -> str:
    cells = [goal.number, goal.what, goal.against, goal.goal, *_judged(goal, result)]
    return f"| {' | '.join(cells)} |"


def _judged(goal: Goal, result: Result | None) -> tuple[str, str]:
    if result is None:
        return ("not measured", "")
    row = result.row(goal.row)
    unit = "" if row.unit == "ratio" else f" {row.unit}"
    low, high = row.spread
    measured = f"**{row.median:g}**{unit} ({low:g} to {high:g})"
    if goal.unless_busy and result.row(goal.unless_busy).median >= SATURATED:
        return (measured, "not judged: the cores were saturated")
    return (measured, "yes" if goal.met(row.median) else "**no**")


def _provenance(results: dict[str, Result]) -> list[str]:
    """On which machine, from which commits, and the absolute figures behind the ratios."""
    lines = []
    for name, result in results.items():
        rows = "; ".join(f"{row.name} {row.median:g} {row.unit}" for row in result.rows if row.unit != "ratio")
        lines.append(f"- {name}, {result.time}, commit {result.commit}: {rows}")
    machines = {machine_of(result) for result in results.values()}
    return [*lines, "", *sorted(f"Measured on {machine}." for machine in machines)]


def machine_of(result: Result) -> str:
    machine, versions = result.machine, result.versions
    used = ", ".join(f"{name} {versions[name]}" for name in ("uvicorn", "starlette", "msgspec", "orjson"))
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mib']} MiB, {machine['kernel']}, "
        f"Python {versions['python']}, SQLite {versions['sqlite']}, {used}"
    )
