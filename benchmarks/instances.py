"""
P11: two and four instances on one PostgreSQL beside one, the same load, rounds interleaved.

    spread  any tenant's commands at any instance: what a load balancer does that knows nothing of tenants
    apart   each tenant's at one instance

Afterwards the store must hold every command that was answered, once each, though every 20th went to two instances; and
every chain must verify. Otherwise the benchmark ends. Instances and server may use all cores, the load has one of them:
with the cores saturated, throughput says what they have left, and only the rest is judged.
"""

import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from msgspec import Struct
from tests.engines import postgresql

from benchmarks.closedloop import Routing, Sent, closed_loop
from benchmarks.load import prime
from benchmarks.machine import busy_seconds, children_seconds
from benchmarks.measure import Series, Size, interleave, ratio, record
from benchmarks.servers import Server, fresh_directory, service
from benchmarks.tenants import TenantsFile, evenly
from benchmarks.throughput import TENANTS

CONNECTIONS: Final = 256
"""Of all instances together, so that all sides have the same load and each of four still has 64."""
RUN: Final = "measured"
SIDES: Final[dict[str, tuple[int, Routing]]] = {
    "1 instance": (1, "spread"),
    "2 instances": (2, "spread"),
    "4 instances": (4, "spread"),
    "2 instances, tenants apart": (2, "apart"),
    "4 instances, tenants apart": (4, "apart"),
}


class WrongLedger(AssertionError):
    """The store holds something else than what was answered."""


class Round(Struct, frozen=True):
    """`cores` is the share of its core that each instance used, `server` PostgreSQL's, `busy` that of all cores."""

    sent: Sent
    cores: tuple[float, ...]
    server: float
    busy: float

    def __str__(self) -> str:
        each = ", ".join(f"{core:.0%}" for core in self.cores)
        return (
            f"{self.sent.per_second:,.0f} commands/s, {self.sent.copies} copies, p50 {self.sent.p50_ms:.1f} "
            f"p99 {self.sent.p99_ms:.1f} ms; instances {each} of a core, PostgreSQL {self.server:.0%}; "
            f"cores {self.busy:.0%} busy"
        )


def measure_instances(size: Size) -> None:
    with TemporaryDirectory() as made, postgresql.running(durable=True) as cluster:
        version = cluster.execute("SHOW server_version")[0][0]
        tenants = evenly(Path(made), TENANTS)
        rounds = interleave(
            size.rounds,
            {
                name: partial(_round, cluster, tenants, size, count=count, routing=routing)
                for name, (count, routing) in SIDES.items()
            },
        )
    record("P11", rows_of(rounds), notes=_notes(rounds, version), short=size.short)


def rows_of(rounds: dict[str, list[Round]]) -> list[Series]:
    rates = {
        name: _series(name, "commands/s", [each.sent.per_second for each in taken]) for name, taken in rounds.items()
    }
    one, *others = rates.values()
    # A round in which one was lost or repeated ends the benchmark, so that whoever reads this reads 0.
    lost = Series("commands lost or repeated", "commands", (0.0,) * len(one.rounds))
    rows = [lost, *rates.values(), *(ratio(f"{series.name} / {one.name}", series, one) for series in others)]
    for name, taken in rounds.items():
        rows += [
            _series(f"{name}, p99", "ms", [each.sent.p99_ms for each in taken]),
            _series(
                f"{name}, each one's share of a core", "ratio", [sum(each.cores) / len(each.cores) for each in taken]
            ),
            _series(f"{name}, PostgreSQL's share of a core", "ratio", [each.server for each in taken]),
            _series(f"{name}, all cores busy", "ratio", [each.busy for each in taken]),
        ]
    return rows


def _series(name: str, unit: str, figures: list[float]) -> Series:
    return Series(name, unit, tuple(figures))


def _notes(rounds: dict[str, list[Round]], version: str) -> dict[str, object]:
    every = [each for taken in rounds.values() for each in taken]
    return {
        "connections": CONNECTIONS,
        "tenants": TENANTS,
        "postgresql": version,
        "commands": sum(sum(each.sent.commands) for each in every),
        "copies": sum(each.sent.copies for each in every),
    }


def _round(cluster: postgresql.Cluster, tenants: TenantsFile, size: Size, *, count: int, routing: Routing) -> Round:
    database = cluster.database()
    environ = {"STORE_URL": cluster.url(database)}
    with fresh_directory() as directory, ExitStack() as running:
        servers = [running.enter_context(service(directory, environ=environ, core=None)) for _ in range(count)]
        prime(servers[0], tenants)
        load = partial(closed_loop, servers, tenants, routing=routing, connections=CONNECTIONS)
        warm = load(run="warm", seconds=size.warm_up_seconds)
        measured = _measured(servers, cluster, partial(load, run=RUN, seconds=size.seconds))
    expected = {"warm": warm, RUN: measured.sent}
    check_stored(stored_keys(cluster, database), expected)
    command = [sys.executable, "-m", "tai_autonomics", "receipts", "verify", "--quiet", "--store", environ["STORE_URL"]]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
    cluster.execute(f"DROP DATABASE {database}")
    return measured


def _measured(servers: list[Server], cluster: postgresql.Cluster, load: partial[Sent]) -> Round:
    postmaster = int((cluster.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    before = [server.cpu_seconds() for server in servers]
    server_before, busy_before, started = children_seconds(postmaster), busy_seconds(), perf_counter()
    sent = load()
    cores = tuple((server.cpu_seconds() - used) / sent.seconds for server, used in zip(servers, before, strict=True))
    busy = (busy_seconds() - busy_before) / (perf_counter() - started) / (os.cpu_count() or 1)
    return Round(sent, cores, (children_seconds(postmaster) - server_before) / sent.seconds, busy)


def stored_keys(cluster: postgresql.Cluster, database: str) -> Counter[str]:
    """How many receipts have each idempotency key."""
    rows = cluster.execute("SELECT command_id FROM tai.receipts WHERE command_id LIKE 'http:%'", database)
    return Counter(row[0].rpartition(":")[2] for row in rows)


def check_stored(stored: Counter[str], runs: dict[str, Sent]) -> None:
    """Every command that was answered has one receipt. Raises WrongLedger."""
    sent = {key for run, each in runs.items() for key in each.ids(run)}
    of_runs = {key: count for key, count in stored.items() if not key.startswith("prime-")}
    lost, foreign = sent - of_runs.keys(), of_runs.keys() - sent
    repeated = [key for key, count in of_runs.items() if count > 1]
    if lost or foreign or repeated:
        raise WrongLedger(f"{len(lost)} lost, {len(repeated)} repeated, {len(foreign)} that nobody sent")
