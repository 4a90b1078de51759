"""
STORES: what each engine stores and reads a second, beside SQLite; rounds interleaved, each on a fresh database.

    the store alone   appends of one receipt, one after another, of one tenant; of 100 tenants' receipts; as many at
                      once as the engine takes (1, 4, 64); a cold ledger of 100 receipts read
    the corridor      256 commands in flight, of one tenant and of 1,000: how many receipts a commit has under load

A commit is one tenant's append, all or nothing. Everything that decides and asks runs on the server's core, the
engine's server where it wants. PostgreSQL keeps fsync on. Firestore is Google's emulator, in memory.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct
from tests.engines import firestore, postgresql
from tests.engines.emulator import new_project

from benchmarks.measure import Series, Size, interleave, ratio, record
from benchmarks.servers import SERVER_CORE, fresh_directory, pinned

SQLITE: Final = "SQLite"
POSTGRESQL: Final = "PostgreSQL"
EMULATOR: Final = "Firestore's emulator"
SECONDS_SHARE: Final = 0.3
"""Of a measurement's time, for each of its seven parts."""


class Stored(Struct, frozen=True):
    """One engine's round; figures a second, but where a unit is named."""

    one_commits: float
    hundred_receipts: float
    at_once: int
    at_once_commits: float
    at_once_hundred_receipts: float
    cold_ms: float
    cold_cpu_ms: float
    one_tenant_receipts: float
    one_tenant_receipts_a_commit: float
    tenants_receipts: float
    tenants_commits: float
    tenants_receipts_a_commit: float
    tenants_cpu_us: float

    def __str__(self) -> str:
        return (
            f"one tenant {self.one_commits:,.0f} commits/s, 256 in flight {self.one_tenant_receipts:,.0f} receipts/s "
            f"({self.one_tenant_receipts_a_commit:.1f} a commit); 1,000 tenants {self.tenants_commits:,.0f} commits/s, "
            f"{self.tenants_receipts:,.0f} receipts/s; cold ledger {self.cold_ms:.2f} ms"
        )


RATES: Final = {
    "one tenant, one receipt a commit": ("commits/s", "one_commits"),
    "appends of 100 tenants' receipts, one at a time": ("receipts/s", "hundred_receipts"),
    "appends of one receipt, as many at once as it takes": ("commits/s", "at_once_commits"),
    "appends of 100 tenants' receipts, as many at once as it takes": ("receipts/s", "at_once_hundred_receipts"),
    "one tenant, 256 in flight": ("receipts/s", "one_tenant_receipts"),
    "1,000 tenants, 256 in flight": ("commits/s", "tenants_commits"),
    "cold ledger of 100 receipts": ("ms", "cold_ms"),
    "cold ledger of 100 receipts, CPU": ("ms", "cold_cpu_ms"),
    "1,000 tenants, 256 in flight, CPU a receipt": ("us", "tenants_cpu_us"),
}
"""What is compared with SQLite, in its unit. CPU is that of the process that decides and asks, not of a server."""
COUNTS: Final = {
    "one tenant, 256 in flight, receipts a commit": ("receipts", "one_tenant_receipts_a_commit"),
    "1,000 tenants, 256 in flight, receipts a commit": ("receipts", "tenants_receipts_a_commit"),
    "appends at once": ("appends", "at_once"),
}


def measure_stores(size: Size) -> None:
    emulator = firestore.Emulator().start()
    try:
        with postgresql.running(durable=True) as cluster:
            version = cluster.execute("SHOW server_version")[0][0]
            engines: dict[str, Callable[[], Mapping[str, str]]] = {
                SQLITE: dict,
                POSTGRESQL: lambda: {"STORE_URL": cluster.url(cluster.database())},
                EMULATOR: lambda: {
                    "STORE_URL": f"firestore://{new_project()}",
                    "FIRESTORE_EMULATOR_HOST": emulator.address,
                },
            }
            rounds = interleave(size.rounds, {name: partial(_round, made, size) for name, made in engines.items()})
    finally:
        emulator.stop()
    notes = {
        "postgresql": version,
        "firestore": "Google's emulator, in memory: its figures are not Firestore's",
    }
    record("STORES", rows_of(rounds), notes=notes, short=size.short)


def rows_of(rounds: Mapping[str, list[Stored]]) -> list[Series]:
    rows = []
    for what, (unit, field) in RATES.items():
        each = {name: Series(f"{name}: {what}", unit, _field(taken, field)) for name, taken in rounds.items()}
        rows += each.values()
        rows += [
            ratio(f"{name} / {SQLITE}: {what}", series, each[SQLITE]) for name, series in each.items() if name != SQLITE
        ]
    for what, (unit, field) in COUNTS.items():
        rows += [Series(f"{name}: {what}", unit, _field(taken, field)) for name, taken in rounds.items()]
    return rows


def _field(taken: list[Stored], field: str) -> tuple[float, ...]:
    return tuple(getattr(each, field) for each in taken)


def _round(made: Callable[[], Mapping[str, str]], size: Size) -> Stored:
    seconds = size.seconds * SECONDS_SHARE
    with fresh_directory() as directory:
        done = subprocess.run(
            [
                *pinned(SERVER_CORE),
                *(sys.executable, "-m", "benchmarks.storing", "--seconds", f"{seconds}", "--data-dir", str(directory)),
            ],
            stdout=subprocess.PIPE,
            check=True,
            timeout=seconds * 20 + 120,
            env={**os.environ, **made()},
        )
    return msgspec.json.decode(done.stdout, type=Stored)
