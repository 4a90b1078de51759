"""
The bare store at a rate: sealed receipts are appended when they are due; latency counts from that moment to durable.

What is due while an append is under way goes with the next one. Only the store works here: receipts are sealed before.
The event loop's timer wakes up to a millisecond late, which counts as the store's.
"""

import argparse
import asyncio
import gc
import itertools
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec
import uvloop
from msgspec import Struct

from benchmarks.ledgers import Ledgers, shipped_plans
from benchmarks.quantiles import at
from benchmarks.servers import SERVER_CORE, fresh_directory, pinned
from benchmarks.tenants import TenantsFile
from tai_autonomics.ledger.records import GENESIS, Append, Appended, Outcome, Receipt
from tai_autonomics.stores.sqlite import SQLiteStore

RECEIPTS_MAX: Final = 1_000
"""In one append, as in the service."""


class Commits(Struct, frozen=True):
    """Milliseconds from due to durable."""

    receipts: int
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f}/s p50 {self.p50_ms:.2f} p99 {self.p99_ms:.2f} max {self.max_ms:.1f} ms"


def bare_commits(tenants: TenantsFile, *, rate: float, seconds: int) -> Commits:
    """Run this module in a process of its own on the server's core, on an empty store."""
    with fresh_directory() as directory:
        done = subprocess.run(
            [
                *pinned(SERVER_CORE),
                *(sys.executable, "-m", "benchmarks.commit", "--tenants", str(tenants.path)),
                *("--rate", f"{rate:.3f}", "--seconds", str(seconds), "--data-dir", str(directory)),
            ],
            stdout=subprocess.PIPE,
            check=True,
            timeout=seconds * 10 + 60,
        )
    return msgspec.json.decode(done.stdout, type=Commits)


class Drive:
    """Appends receipts on their schedule and takes down how long each took."""

    def __init__(self, store: SQLiteStore, receipts: list[Receipt], rate: float) -> None:
        self._store, self._receipts, self._interval = store, receipts, 1 / rate
        self._heads: dict[str, tuple[int, str]] = {}
        self.latencies: list[float] = []

    async def run(self) -> float:
        """The seconds until the last one was durable."""
        start = perf_counter()
        sent = 0
        while sent < len(self._receipts):
            now = perf_counter()
            due = min(len(self._receipts), int((now - start) / self._interval) + 1, sent + RECEIPTS_MAX)
            if due == sent:
                await asyncio.sleep(start + sent * self._interval - now)
                continue
            await self._store.append(list(self._appends(self._receipts[sent:due])), self._told)
            done = perf_counter()
            self.latencies.extend(done - start - number * self._interval for number in range(sent, due))
            sent = due
        return perf_counter() - start

    def _appends(self, receipts: list[Receipt]) -> Iterator[Append]:
        for tenant, own in itertools.groupby(sorted(receipts, key=_place), key=lambda receipt: receipt.tenant):
            chained = tuple(own)
            yield Append(tenant, *self._heads.get(tenant, (0, GENESIS)), chained)
            self._heads[tenant] = (chained[-1].seq, chained[-1].hash)

    @staticmethod
    def _told(append: Append, outcome: Outcome) -> None:
        assert isinstance(outcome, Appended), f"{append.tenant}: {outcome}"


def _place(receipt: Receipt) -> tuple[str, int]:
    return receipt.tenant, receipt.seq


async def measure(directory: Path, tenants: list[str], rate: float, seconds: int) -> Commits:
    ledgers = Ledgers(shipped_plans(), first=datetime.now(UTC) - timedelta(days=1), step=timedelta(milliseconds=1))
    receipts = [ledgers.extend(tenant) for tenant in itertools.islice(itertools.cycle(tenants), int(rate * seconds))]
    store = await SQLiteStore.open(str(directory / "tai.db"))
    drive = Drive(store, receipts, rate)
    gc.collect()
    gc.disable()
    elapsed = await drive.run()
    await store.aclose()
    latencies = sorted(drive.latencies)
    p50, p99, longest = (at(latencies, quantile) * 1e3 for quantile in (0.5, 0.99, 1.0))
    return Commits(len(receipts), len(receipts) / elapsed, p50, p99, longest)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tenants", type=Path, required=True)
    options.add_argument("--rate", type=float, required=True, help="receipts a second")
    options.add_argument("--seconds", type=int, required=True)
    options.add_argument("--data-dir", type=Path, required=True)
    chosen = options.parse_args()
    drawn = TenantsFile(chosen.tenants, 0).drawn("commits")
    commits = uvloop.run(measure(chosen.data_dir, drawn, chosen.rate, chosen.seconds))
    sys.stdout.buffer.write(msgspec.json.encode(commits))


if __name__ == "__main__":
    main()
