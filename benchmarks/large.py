"""
P9: the load of P1 on 100,000 tenants, drawn by Zipf's law, over 10,000,000 receipts, beside P1 on an empty store.

The store is filled once and its service started once; it waits, idle, while the other side of a round is measured.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.fill import ZIPF_S, fill
from benchmarks.load import order_load, prime
from benchmarks.measure import Series, Size, interleave, ratio, record, say
from benchmarks.servers import fresh_directory, service
from benchmarks.tenants import TenantsFile, evenly, zipf
from benchmarks.throughput import TENANTS, Round, measured

TENANTS_FULL: Final = 100_000
RECEIPTS: Final = 10_000_000
RECEIPTS_SHORT: Final = 200_000
WARM_UP_FACTOR: Final = 10
"""Times a round's own warm-up, once, before the first round: the lanes of all those tenants are cold."""


def measure_large(size: Size) -> None:
    with TemporaryDirectory() as made, fresh_directory() as directory:
        few, many = evenly(Path(made), TENANTS), zipf(Path(made), TENANTS_FULL, s=ZIPF_S)
        receipts = RECEIPTS_SHORT if size.short else RECEIPTS
        fill(directory, receipts=receipts, tenants=TENANTS_FULL)
        stored_mib = (directory / "tai.db").stat().st_size >> 20
        with service(directory) as full:
            say(f"  serving {receipts:,} receipts, {stored_mib:,} MiB, after {full.ready_seconds:.2f} s")
            order_load(full, many, run="cold", seconds=size.warm_up_seconds * WARM_UP_FACTOR)
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
    ]
    notes = {"receipts": receipts, "tenants": TENANTS_FULL, "zipf_s": ZIPF_S, "stored_mib": stored_mib}
    record("P9", rows, notes=notes, short=size.short)


def _on_empty(tenants: TenantsFile, size: Size) -> Round:
    with service() as server:
        prime(server, tenants)
        return measured(server, tenants, size, order_load)


def _per_second(name: str, rounds: list[Round]) -> Series:
    return Series(name, "requests/s", tuple(each.load.per_second for each in rounds))
