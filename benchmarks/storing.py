"""
One round of STORES in a process of its own, on the store that STORE_URL names (none: SQLite in the directory).

What is appended to the store alone is sealed before its time is taken.
"""

import argparse
import asyncio
import gc
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from os import environ
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Final

import msgspec
import uvloop

from benchmarks.append import first_grants, noting_appends, submission, submissions, submit
from benchmarks.ledgers import Ledgers, shipped_plans
from tai_autonomics.application.corridor import Submission
from tai_autonomics.application.ports import Store
from tai_autonomics.domain.entitlement import Verify
from tai_autonomics.domain.identifiers import EntitlementId
from tai_autonomics.ledger.records import GENESIS, Append, Appended, Outcome, Receipt
from tai_autonomics.settings import Settings
from tai_autonomics.wiring.house import house, open_store, telemetry

HUNDRED: Final = 100
APPENDS_MAX: Final = 4_000
"""Of one receipt: more than an engine stores in the time."""
APPENDS_OF_HUNDRED_MAX: Final = 320
COLD_LEDGERS: Final = 50
COLD_RECEIPTS: Final = 100
COLD_APPENDS: Final = 2


class Prepared:
    """Appends that follow on each other, made before they are needed."""

    def __init__(self) -> None:
        first = datetime.now(UTC) - timedelta(hours=2)
        self._ledgers = Ledgers(shipped_plans(), first=first, step=timedelta(milliseconds=1))
        self._heads: dict[str, Receipt] = {}

    def append(self, tenant: str, receipts: int) -> Append:
        head = self._heads.get(tenant)
        sealed = tuple(self._ledgers.extend(tenant) for _ in range(receipts))
        self._heads[tenant] = sealed[-1]
        return Append(tenant, *((head.seq, head.hash) if head else (0, GENESIS)), sealed)


async def rate(store: Store, work: list[list[list[Append]]], seconds: float) -> float:
    """Receipts a second: each worker makes its appends one after another, until the time or the first of them ends."""
    stored = 0
    start = perf_counter()
    until = start + seconds

    def told(append: Append, outcome: Outcome) -> None:
        nonlocal stored
        assert isinstance(outcome, Appended), f"{append.tenant}: {outcome}"
        stored += len(append.receipts)

    async def worker(appends: list[list[Append]]) -> None:
        for each in appends:
            if perf_counter() >= until:
                return
            await store.append(each, told)

    async with asyncio.TaskGroup() as group:
        for appends in work:
            group.create_task(worker(appends))
    return stored / (perf_counter() - start)


async def alone(store: Store, seconds: float) -> dict[str, float]:
    """The store without the corridor."""
    prepared, at_once = Prepared(), store.bounds.appends_at_once_max

    def ones(name: str, workers: int) -> list[list[list[Append]]]:
        each = range(APPENDS_MAX // workers)
        return [[[prepared.append(f"{name}-{worker}", 1)] for _ in each] for worker in range(workers)]

    def hundreds(name: str, workers: int) -> list[list[list[Append]]]:
        tenants = [[f"{name}-{worker}-{number}" for number in range(HUNDRED)] for worker in range(workers)]
        each = range(APPENDS_OF_HUNDRED_MAX // workers)
        return [[[prepared.append(tenant, 1) for tenant in own] for _ in each] for own in tenants]

    return {
        "one_commits": await rate(store, ones("one", 1), seconds),
        "hundred_receipts": await rate(store, hundreds("hundred", 1), seconds),
        "at_once": at_once,
        "at_once_commits": await rate(store, ones("ones", at_once), seconds),
        "at_once_hundred_receipts": await rate(store, hundreds("hundreds", at_once), seconds),
    }


async def leave_cold(store: Store) -> None:
    prepared = Prepared()
    for number in range(COLD_LEDGERS):
        for _ in range(COLD_APPENDS):
            await rate(store, [[[prepared.append(f"cold-{number}", COLD_RECEIPTS // COLD_APPENDS)]]], 60.0)


async def cold(settings: Settings) -> dict[str, float]:
    """Milliseconds of a ledger, read and folded by a process that has not seen it: until it is there, and of CPU."""
    taken = []
    with (settings.data_dir / "cold.log").open("wb") as log:
        async with house(settings, observer=telemetry(settings, log)) as opened:
            used = process_time()
            for number in range(COLD_LEDGERS):
                start = perf_counter()
                durable = await opened.corridor.durable(f"cold-{number}")
                taken.append((perf_counter() - start) * 1e3)
                assert durable.head.seq == COLD_RECEIPTS
            used = process_time() - used
    return {"cold_ms": median(taken), "cold_cpu_ms": used / COLD_LEDGERS * 1e3}


async def under_load(settings: Settings, seconds: float) -> dict[str, float]:
    """The corridor on the store."""
    noted: list[tuple[int, int]] = []
    with (settings.data_dir / "output.log").open("wb") as log:
        noting = noting_appends(telemetry(settings, log), lambda receipts, tenants: noted.append((receipts, tenants)))
        async with house(settings, observer=noting) as opened:
            await submit(opened, first_grants())

            async def load(coming: Iterator[Submission]) -> tuple[float, float, float]:
                noted.clear()
                start, used = perf_counter(), process_time()
                await submit(opened, _until(coming, start + seconds))
                elapsed, used = perf_counter() - start, process_time() - used
                receipts, commits = (sum(figures) for figures in zip(*noted, strict=True))
                return receipts / elapsed, commits / elapsed, used / receipts

            one, one_commits, _ = await load(_of_one_tenant())
            many, commits, cpu = await load(submissions())
    return {
        "one_tenant_receipts": one,
        "one_tenant_receipts_a_commit": one / one_commits,
        "tenants_receipts": many,
        "tenants_commits": commits,
        "tenants_receipts_a_commit": many / commits,
        "tenants_cpu_us": cpu * 1e6,
    }


def _until(coming: Iterator[Submission], end: float) -> Iterator[Submission]:
    for each in coming:
        if perf_counter() >= end:
            return
        yield each


def _of_one_tenant() -> Iterator[Submission]:
    first = submission(0, Verify(EntitlementId("ent_1")))
    for number in count(1):
        yield msgspec.structs.replace(first, command_id=f"http:admin:one-{number}")


async def measure(directory: Path, seconds: float) -> dict[str, float]:
    settings = Settings.load({**environ, "TAI_DATA_DIR": str(directory)}).settings
    store = await open_store(settings)
    gc.collect()
    gc.disable()
    parts = await alone(store, seconds)
    await leave_cold(store)
    await store.aclose()
    gc.enable()
    return {**parts, **await cold(settings), **await under_load(settings, seconds)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, required=True, help="of each part")
    options.add_argument("--data-dir", type=Path, required=True)
    chosen = options.parse_args()
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(measure(chosen.data_dir, chosen.seconds))))


if __name__ == "__main__":
    main()
