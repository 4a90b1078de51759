"""
Fills an empty store with valid ledgers, straight through its schema: indexes are made at the end, as that is faster.

    python -m benchmarks.fill --data-dir DIR --receipts 10000000 --tenants 100000

Each tenant begins with a grant, in order of rank; then come verifies, of tenants drawn by Zipf's law, all in the order
of their time, with the snapshots that the service would have left.
"""

import argparse
import asyncio
import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Final

from msgspec.structs import astuple

from benchmarks.ledgers import Ledgers, shipped_plans
from benchmarks.measure import say
from benchmarks.tenants import SEED, name_of, zipf_weights
from tai_autonomics.application.codec import STATE_VERSION, state_to_bytes
from tai_autonomics.ledger.records import Receipt
from tai_autonomics.settings import Settings
from tai_autonomics.stores.sqlite import SQLiteStore

ZIPF_S: Final = 1.1
CHUNK: Final = 50_000
SPAN: Final = timedelta(hours=20)
"""The ledgers' time, ending some hours before now."""

INSERT_RECEIPT: Final = """
    INSERT INTO receipts (tenant, ledger, seq, hash, time, type, subject_kind, subject_id, command_id, claims, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
INSERT_SNAPSHOT: Final = """
    INSERT INTO snapshots (tenant, seq, ledger, hash, time, state_version, state) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
SELECT_INDEXES: Final = (
    "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'receipts' AND sql <> ''"
)


def fill(directory: Path, *, receipts: int, tenants: int) -> None:
    """Leave DIR/tai.db with that many receipts. Raises when there is one already."""
    path = directory / "tai.db"
    asyncio.run(_make_schema(path))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -262144")
    indexes = connection.execute(SELECT_INDEXES).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    ledgers = Ledgers(shipped_plans(), first=datetime.now(UTC) - timedelta(days=1), step=SPAN / receipts)
    _insert(connection, ledgers, receipts, tenants)
    for name, statement in indexes:
        say(f"  indexing {name}")
        connection.execute(statement)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


async def _make_schema(path: Path) -> None:
    store = await SQLiteStore.open(str(path))
    if await store.newest_time() is not None:
        raise FileExistsError("the store holds receipts already")
    await store.aclose()


def _insert(connection: sqlite3.Connection, ledgers: Ledgers, receipts: int, tenants: int) -> None:
    newest: dict[str, Receipt] = {}
    every = Settings.load({}).settings.snapshot_receipts
    connection.execute("BEGIN")
    for done, ranks in enumerate(_ranks(receipts, tenants)):
        sealed = [ledgers.extend(name_of(rank)) for rank in ranks]
        connection.executemany(INSERT_RECEIPT, map(astuple, sealed))
        newest.update((receipt.tenant, receipt) for receipt in sealed if receipt.seq % every == 0)
        if done % 20 == 19:
            say(f"  {(done + 1) * CHUNK:,} receipts")
    connection.executemany(INSERT_SNAPSHOT, (_snapshot(ledgers, receipt) for receipt in newest.values()))
    connection.execute("COMMIT")


def _snapshot(ledgers: Ledgers, receipt: Receipt) -> tuple[str, int, str, str, str, int, bytes]:
    state = state_to_bytes(ledgers.state_of(receipt.tenant))
    return (receipt.tenant, receipt.seq, receipt.ledger, receipt.hash, receipt.time, STATE_VERSION, state)


def _ranks(receipts: int, tenants: int) -> Iterator[range | list[int]]:
    for first in range(0, tenants, CHUNK):
        yield range(first, min(first + CHUNK, tenants))
    drawing, cumulative = random.Random(SEED), list(accumulate(zipf_weights(tenants, s=ZIPF_S)))
    for first in range(tenants, receipts, CHUNK):
        yield drawing.choices(range(tenants), cum_weights=cumulative, k=min(CHUNK, receipts - first))


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.fill", description=__doc__)
    options.add_argument("--data-dir", type=Path, required=True)
    options.add_argument("--receipts", type=int, required=True)
    options.add_argument("--tenants", type=int, required=True)
    chosen = options.parse_args()
    fill(chosen.data_dir, receipts=chosen.receipts, tenants=chosen.tenants)


if __name__ == "__main__":
    main()
