"""
P7: decide, seal and append in process, 256 commands in flight, beside executemany of the rows that this left.

    corridor: submissions -> house (wiring) -> file, noting the size of each append
    raw:      the same rows, in appends of the same sizes, to a file of the same schema and settings
"""

import argparse
import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final

import msgspec
import uvloop
from msgspec import Struct

from benchmarks.measure import Series, Size, interleave, ratio, record
from benchmarks.servers import SERVER_CORE, fresh_directory, pinned
from benchmarks.tenants import name_of
from tai_autonomics.application.corridor import Submission
from tai_autonomics.domain.entitlement import Grant, Verify
from tai_autonomics.domain.identifiers import EntitlementId, PlanName
from tai_autonomics.settings import Settings
from tai_autonomics.stores.sqlite import SQLiteStore, files
from tai_autonomics.stores.sqlite.checkpoints import ROWS_MAX
from tai_autonomics.telemetry.observer import Telemetry
from tai_autonomics.wiring.house import House, house, telemetry

IN_FLIGHT: Final = 256
TENANTS: Final = 1_000
COMMANDS: Final = 100_000
COMMANDS_SHORT: Final = 5_000
WARM_UP: Final = 5_000
GRANT_EVERY: Final = 20
PLAN: Final = PlanName("professional")
TIMEOUT_SECONDS: Final = 10.0
REQUEST: Final = "0" * 64
"""The digest of what a caller sent is the front door's work."""

SELECT: Final = """
    SELECT tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body
    FROM receipts ORDER BY id
"""
INSERT: Final = """
    INSERT INTO receipts (tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Sides(Struct, frozen=True):
    """Receipts a second on either side, and how many an append had."""

    corridor: float
    raw: float
    append_median: float
    append_max: int

    def __str__(self) -> str:
        return f"corridor {self.corridor:,.0f}, raw {self.raw:,.0f} receipts/s, {self.append_median:.0f} in an append"


def measure_append(size: Size) -> None:
    commands = COMMANDS_SHORT if size.short else COMMANDS
    rounds = interleave(size.rounds, {"corridor, then raw": lambda: _in_own_process(commands)})["corridor, then raw"]
    corridor = Series("corridor", "receipts/s", tuple(each.corridor for each in rounds))
    raw = Series("executemany", "receipts/s", tuple(each.raw for each in rounds))
    sizes = Series("receipts in an append, median", "receipts", tuple(each.append_median for each in rounds))
    notes = {"in_flight": IN_FLIGHT, "commands": commands, "append_max": max(each.append_max for each in rounds)}
    record("P7", [corridor, raw, ratio("corridor / executemany", corridor, raw), sizes], notes=notes, short=size.short)


def _in_own_process(commands: int) -> Sides:
    with fresh_directory() as directory:
        done = subprocess.run(
            [
                *pinned(SERVER_CORE),
                *(sys.executable, "-m", "benchmarks.append"),
                *("--commands", str(commands), "--data-dir", str(directory)),
            ],
            stdout=subprocess.PIPE,
            check=True,
            timeout=600,
        )
    return msgspec.json.decode(done.stdout, type=Sides)


async def corridor_side(directory: Path, commands: int) -> tuple[float, list[int]]:
    """Receipts a second, and the size of each append after the warm-up."""
    settings = Settings.load({"TAI_DATA_DIR": str(directory)}).settings
    sizes: list[int] = []
    with (directory / "output.log").open("wb") as log:
        noting = noting_appends(telemetry(settings, log), lambda receipts, _: sizes.append(receipts))
        async with house(settings, observer=noting) as opened:
            coming = submissions()
            await submit(opened, first_grants())
            await submit(opened, [next(coming) for _ in range(WARM_UP)])
            sizes.clear()
            timed = [next(coming) for _ in range(commands)]
            started = perf_counter()
            await submit(opened, timed)
            elapsed = perf_counter() - started
    return commands / elapsed, sizes


def noting_appends(observer: Telemetry, note: Callable[[int, int], None]) -> Telemetry:
    """The observer, which also tells `note` of the receipts and the tenants of each append."""
    tell = observer.appended

    def appended(receipts: int, tenants: int, seconds: float) -> None:
        note(receipts, tenants)
        tell(receipts, tenants, seconds)

    observer.appended = appended  # type: ignore[method-assign]
    return observer


def first_grants() -> list[Submission]:
    """Every tenant's first."""
    return [submission(number, Grant(EntitlementId("ent_1"), PLAN)) for number in range(TENANTS)]


def submissions() -> Iterator[Submission]:
    """The mix of P1."""
    number = TENANTS
    while True:
        number += 1
        is_grant = number % GRANT_EVERY == 0
        yield submission(
            number, Grant(EntitlementId(f"ent_{number}"), PLAN) if is_grant else Verify(EntitlementId("ent_1"))
        )


def submission(number: int, command: Grant | Verify) -> Submission:
    # A prime step, so that neighbours in flight are different tenants, and grants fall on all of them.
    tenant = name_of(number * 7_919 % TENANTS) if number >= TENANTS else name_of(number)
    return Submission(tenant, command, f"http:admin:{number}", "marketplace", "admin", REQUEST)


async def submit(opened: House, submissions: Iterable[Submission]) -> None:
    """All of them, IN_FLIGHT at a time."""
    left = iter(submissions)

    async def caller() -> None:
        for each in left:
            answer = await opened.corridor.submit(each, timeout_seconds=TIMEOUT_SECONDS)
            assert answer.receipt.type == "transition", answer.receipt.body

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(caller())


async def raw_side(source: Path, target: Path, sizes: list[int]) -> float:
    """Receipts a second by executemany, one transaction an append, checkpointed as often as the store does."""
    with sqlite3.connect(source) as reading:
        rows = reading.execute(SELECT).fetchall()
    reading.close()
    await (await SQLiteStore.open(str(target))).aclose()
    writing = files.connect(target)
    timed = sum(sizes)
    _insert(writing, rows[:-timed], [len(rows) - timed])
    started = perf_counter()
    _insert(writing, rows[-timed:], sizes)
    elapsed = perf_counter() - started
    writing.close()
    return timed / elapsed


def _insert(connection: sqlite3.Connection, rows: list[tuple[Any, ...]], sizes: list[int]) -> None:
    at = since_checkpoint = 0
    for size in sizes:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, rows[at : at + size])
        connection.execute("COMMIT")
        at += size
        since_checkpoint += size
        if since_checkpoint >= ROWS_MAX:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            since_checkpoint = 0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--commands", type=int, required=True)
    options.add_argument("--data-dir", type=Path, required=True)
    chosen = options.parse_args()
    corridor, sizes = uvloop.run(corridor_side(chosen.data_dir, chosen.commands))
    raw = asyncio.run(raw_side(chosen.data_dir / "tai.db", chosen.data_dir / "raw.db", sizes))
    sys.stdout.buffer.write(msgspec.json.encode(Sides(corridor, raw, median(sizes), max(sizes))))


if __name__ == "__main__":
    main()
