"""
P8: verifying one ledger of a million receipts beside the least that anyone must do with its bytes, on one core.

    hash and parse  SHA-256 and orjson.loads of each body
    verify          steps 1 to 7 of ledger/chain.py on each body and the hash beside it
    export          the same from the lines of an export, each taken apart first: `receipts verify FILE`
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import perf_counter
from typing import Final

import orjson

from benchmarks.ledgers import Ledgers, shipped_plans
from benchmarks.measure import Series, Size, interleave, ratio, record
from benchmarks.servers import SERVER_CORE
from tai_autonomics.ledger.chain import Chain, verify
from tai_autonomics.ledger.lines import reply
from tai_autonomics.ledger.records import Receipt

RECEIPTS: Final = 1_000_000
RECEIPTS_SHORT: Final = 20_000
TENANT: Final = "tenant-0"


def measure_verify(size: Size) -> None:
    """About 2 GiB of memory: the ledger and its export lie there, so that nothing but the work is timed."""
    count = RECEIPTS_SHORT if size.short else RECEIPTS
    ledgers = Ledgers(shipped_plans(), first=datetime(2026, 11, 24, tzinfo=UTC), step=timedelta(milliseconds=10))
    receipts = [ledgers.extend(TENANT) for _ in range(count)]
    export = [reply(receipt.body, receipt.hash, ()) + b"\n" for receipt in receipts]
    os.sched_setaffinity(0, {SERVER_CORE})
    rounds = interleave(
        size.rounds,
        {
            "hash and parse": lambda: _per_second(count, lambda: _hash_and_parse(receipts)),
            "verify": lambda: _per_second(count, lambda: _verify(receipts)),
            "export": lambda: _per_second(count, lambda: verify(export, {TENANT: receipts[-1].hash})),
        },
    )
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    least, verified, exported = (Series(name, "receipts/s", tuple(each)) for name, each in rounds.items())
    against = [ratio(f"{side.name} / {least.name}", side, least) for side in (verified, exported)]
    body_bytes = sum(len(receipt.body) for receipt in receipts) // count
    notes = {"receipts": count, "body_bytes_mean": body_bytes}
    record("P8", [least, verified, exported, *against], notes=notes, short=size.short)


def _per_second(count: int, work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return count / (perf_counter() - started)


def _hash_and_parse(receipts: list[Receipt]) -> None:
    for receipt in receipts:
        sha256(receipt.body).hexdigest()
        orjson.loads(receipt.body)


def _verify(receipts: list[Receipt]) -> None:
    chain = Chain(TENANT)
    for receipt in receipts:
        chain.extend(receipt.body, hash=receipt.hash)
    chain.close(receipts[-1].hash)
