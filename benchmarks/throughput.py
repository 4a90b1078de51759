"""
P1, P2, P5 and TELEMETRY: requests a second of the service at full speed, beside the bare echo, the plain service and
the service that tells nobody of its requests.

Every round starts its server anew on an empty store, grants each of 1,000 tenants an entitlement, warms up, measures.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec import Struct

from benchmarks.load import CONNECTIONS, Load, check_load, check_reply_bytes, order_load, prime
from benchmarks.measure import Series, Size, interleave, ratio, record
from benchmarks.servers import Server, echo, plain_service, service, untold_service
from benchmarks.tenants import TenantsFile, evenly

TENANTS: Final = 1_000


class Round(Struct, frozen=True):
    """One measured run: `core` is the share of the server's core that its process used."""

    load: Load
    core: float
    resident_mib: float

    @property
    def per_cpu_second(self) -> float:
        """Requests for each second that the process ran: what a busy neighbour on the core does not change."""
        return self.load.per_second / self.core

    def __str__(self) -> str:
        return f"{self.load}, {self.core:.0%} of its core, {self.resident_mib:.0f} MiB"


def measure_orders(size: Size) -> None:
    """P1: POST /marketplace beside the echo of the same bodies."""
    with TemporaryDirectory() as made:
        tenants = evenly(Path(made), TENANTS)
        reply_bytes = _reply_bytes(tenants)
        rounds = interleave(
            size.rounds,
            {
                "service": lambda: _round(service(), tenants, size, order_load),
                "echo": lambda: _round(echo(reply_bytes), tenants, size, order_load),
            },
        )
    rows = _beside_echo(rounds)
    record("P1", rows, notes={"connections": CONNECTIONS, "reply_bytes": reply_bytes}, short=size.short)


def measure_against_plain(size: Size) -> None:
    """P2: the same load on a plain FastAPI and SQLAlchemy service, in both ways that it can run its transactions."""
    with TemporaryDirectory() as made:
        tenants = evenly(Path(made), TENANTS)
        rounds = interleave(
            size.rounds,
            {
                "service": lambda: _round(service(), tenants, size, order_load),
                "plain, in threads": lambda: _round(plain_service("threads"), tenants, size, order_load),
                "plain, in the loop": lambda: _round(plain_service("loop"), tenants, size, order_load),
            },
        )
    ours, *plain = [_per_second(name, each) for name, each in rounds.items()]
    ours_cpu, *plain_cpu = [_per_cpu_second(name, each) for name, each in rounds.items()]
    faster = plain.index(max(plain, key=lambda series: series.median))
    rows = [
        *(ours, *plain, ratio("service / faster plain", ours, plain[faster])),
        ratio("service / faster plain, per CPU second", ours_cpu, plain_cpu[faster]),
    ]
    record("P2", rows, notes={"connections": CONNECTIONS, "faster": plain[faster].name}, short=size.short)


def measure_checks(size: Size) -> None:
    """P5: POST /v1/tenants/{tenant}/check beside the echo of the same bodies."""
    with TemporaryDirectory() as made:
        tenants = evenly(Path(made), TENANTS)
        with service() as server:
            prime(server, tenants)
            reply_bytes = check_reply_bytes(server)
        rounds = interleave(
            size.rounds,
            {
                "service": lambda: _round(service(), tenants, size, check_load),
                "echo": lambda: _round(echo(reply_bytes), tenants, size, check_load),
            },
        )
    rows = _beside_echo(rounds)
    record("P5", rows, notes={"connections": CONNECTIONS, "reply_bytes": reply_bytes}, short=size.short)


def measure_telemetry(size: Size) -> None:
    """TELEMETRY: P1's load with a line and the counts of every request, and without."""
    with TemporaryDirectory() as made:
        tenants = evenly(Path(made), TENANTS)
        rounds = interleave(
            size.rounds,
            {
                "told": lambda: _round(service(), tenants, size, order_load),
                "untold": lambda: _round(untold_service(), tenants, size, order_load),
            },
        )
    told, untold = (_per_second(name, each) for name, each in rounds.items())
    told_cpu, untold_cpu = (_per_cpu_second(name, each) for name, each in rounds.items())
    rows = [
        *(told, untold, ratio("told / untold", told, untold)),
        *(told_cpu, untold_cpu, ratio("told / untold, per CPU second", told_cpu, untold_cpu)),
    ]
    record("TELEMETRY", rows, notes={"connections": CONNECTIONS}, short=size.short)


def measured(
    server: Server, tenants: TenantsFile, size: Size, load: Callable[..., Load], *, run: str = "measured"
) -> Round:
    """Warm up, then load at full speed. `run` sets its keys apart from those of other runs on the same store."""
    load(server, tenants, run=f"{run}-warm", seconds=size.warm_up_seconds)
    used = server.cpu_seconds()
    done = load(server, tenants, run=run, seconds=size.seconds)
    core = (server.cpu_seconds() - used) / (done.microseconds / 1e6)
    return Round(done, core, server.resident_mib())


def _round(
    starting: AbstractContextManager[Server], tenants: TenantsFile, size: Size, load: Callable[..., Load]
) -> Round:
    with starting as server:
        prime(server, tenants)
        return measured(server, tenants, size, load)


def _reply_bytes(tenants: TenantsFile) -> int:
    with service() as server:
        return prime(server, tenants)


def _per_second(name: str, rounds: list[Round]) -> Series:
    return Series(name, "requests/s", tuple(each.load.per_second for each in rounds))


def _beside_echo(rounds: dict[str, list[Round]]) -> list[Series]:
    service_rounds, echo_rounds = rounds["service"], rounds["echo"]
    ours, bare = _per_second("service", service_rounds), _per_second("echo", echo_rounds)
    ours_cpu, bare_cpu = _per_cpu_second("service", service_rounds), _per_cpu_second("echo", echo_rounds)
    return [
        *(ours, bare, ratio("service / echo", ours, bare)),
        *(ours_cpu, bare_cpu, ratio("service / echo, per CPU second", ours_cpu, bare_cpu)),
        Series("service p99, closed loop", "ms", tuple(each.load.p99_us / 1e3 for each in service_rounds)),
        Series("service, share of its core", "ratio", tuple(each.core for each in service_rounds)),
        Series("echo, share of its core", "ratio", tuple(each.core for each in echo_rounds)),
        Series("service, resident memory", "MiB", tuple(each.resident_mib for each in service_rounds)),
    ]


def _per_cpu_second(name: str, rounds: list[Round]) -> Series:
    return Series(f"{name}, per CPU second", "requests/s", tuple(each.per_cpu_second for each in rounds))
