"""
P9: the load of P1 on 100,000 tenants, drawn by Zipf's law, over 10,000,000 receipts, beside P1 on an empty store.

The store is filled once and its service started once; it waits, idle, while the other side of a round is measured. The
warm-up asks for every tenant until each has its lane, as the bound of lanes allows: the rounds measure a service in
its stride, and what a cold lane costs is the warm-up's own figure.
"""

import re
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.fill import ZIPF_S, fill
from benchmarks.load import Load, order_load, prime
from benchmarks.measure import Series, Size, interleave, ratio, record, say
from benchmarks.servers import Server, ServerGone, fresh_directory, service
from benchmarks.tenants import TenantsFile, evenly, in_turn, zipf
from benchmarks.throughput import TENANTS, Round, measured

TENANTS_FULL: Final = 100_000
RECEIPTS: Final = 10_000_000
RECEIPTS_SHORT: Final = 200_000
WARM_UP_RUNS_MAX: Final = 20
"""Each a few times as long as a round's own warm-up. A service that forgets lanes ends the benchmark, not this loop."""
WARM_UP_FACTOR: Final = 5


def measure_large(size: Size) -> None:
    with TemporaryDirectory() as made, fresh_directory() as directory:
        few, many = evenly(Path(made), TENANTS), zipf(Path(made), TENANTS_FULL, s=ZIPF_S)
        receipts = RECEIPTS_SHORT if size.short else RECEIPTS
        fill(directory, receipts=receipts, tenants=TENANTS_FULL)
        stored_mib = (directory / "tai.db").stat().st_size >> 20
        with service(directory) as full:
            say(f"  serving {receipts:,} receipts, {stored_mib:,} MiB, after {full.ready_seconds:.2f} s")
            cold = _warm_up(full, in_turn(Path(made), TENANTS_FULL), size)
            runs = iter(range(size.rounds))
            rounds = interleave(
                size.rounds,
                {
                    "full store": lambda: measured(full, many, size, order_load, run=f"round-{next(runs)}"),
                    "empty store": lambda: _on_empty(few, size),
                },
            )
            start = full.ready_seconds
    ours, empty = _per_second("full store", rounds["full store"]), _per_second("empty store", rounds["empty store"])
    rows = [
        *(ours, empty, ratio("full store / empty store", ours, empty)),
        Series("resident memory", "MiB", tuple(each.resident_mib for each in rounds["full store"])),
        Series("full store p99, closed loop", "ms", tuple(each.load.p99_us / 1e3 for each in rounds["full store"])),
        Series("start on the full store", "s", (start,)),
        Series("first warm-up run, lanes cold", "requests/s", (cold.per_second,)),
    ]
    notes = {"receipts": receipts, "tenants": TENANTS_FULL, "zipf_s": ZIPF_S, "stored_mib": stored_mib}
    record("P9", rows, notes=notes, short=size.short)


def _warm_up(server: Server, tenants: TenantsFile, size: Size) -> Load:
    """Until every tenant has a lane; what the first run saw."""
    runs: list[Load] = []
    while (lanes := _lanes(server)) < tenants.count:
        if len(runs) == WARM_UP_RUNS_MAX:
            raise ServerGone(f"only {lanes} lanes after {len(runs)} runs over {tenants.count} tenants")
        runs.append(order_load(server, tenants, run=f"cold-{len(runs)}", seconds=size.warm_up_seconds * WARM_UP_FACTOR))
    return runs[0]


def _lanes(server: Server) -> int:
    token = server.token_file.read_text().strip()
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/metrics", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        found = re.search(r"^tai_lanes (\S+)$", reply.read().decode(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def _on_empty(tenants: TenantsFile, size: Size) -> Round:
    with service() as server:
        prime(server, tenants)
        return measured(server, tenants, size, order_load)


def _per_second(name: str, rounds: list[Round]) -> Series:
    return Series(name, "requests/s", tuple(each.load.per_second for each in rounds))
