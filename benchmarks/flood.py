"""
FLOOD: 2,000 bad requests a second beside P4's good ones, and what /health and the good ones take without and with them.

    half of P1's peak and /health -> the same, and every kind of bad request in turn, open loop

Each bad request must have its documented refusal, every good one its 200, and the tenant that they are aimed at must
have no ledger at the end.
"""

import argparse
import base64
import gc
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from functools import partial
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Struct
from tests.journey.tokens import minted

from benchmarks.latency import HEALTH_PER_SECOND, SECONDS_FACTOR, half_peak
from benchmarks.load import FailedRequests, order_load, prime
from benchmarks.measure import Series, Size, interleave, record, say
from benchmarks.openloop import CONNECTIONS, Latencies, Stream, connect, drive, orders
from benchmarks.servers import LOAD_CORE, Server, pinned, service
from benchmarks.tenants import TenantsFile, evenly
from benchmarks.throughput import TENANTS

BAD_PER_SECOND: Final = 2_000.0
BAD_CONNECTIONS: Final = 128
VICTIM: Final = "flooded"
"""The tenant that every bad request is aimed at."""
GRANT: Final = json.dumps(
    {"tenant_id": VICTIM, "entitlement_id": "e", "action": "grant", "plan": "professional"}
).encode()


class Flooded(Struct, frozen=True):
    """`bad` is of the bad requests, None without them; `core` is the service's share of its core."""

    orders: Latencies
    health: Latencies
    bad: Latencies | None
    core: float

    def __str__(self) -> str:
        flood = f"; bad {self.bad}" if self.bad else ""
        return f"orders {self.orders}; health {self.health}{flood}; {self.core:.0%} of its core"


def measure_flood(size: Size) -> None:
    with TemporaryDirectory() as made:
        tenants = evenly(Path(made), TENANTS)
        rate = half_peak(tenants, size)
        say(f"  half of the peak is {rate:,.0f} requests/s")
        seconds = size.seconds * SECONDS_FACTOR
        rounds = interleave(
            size.rounds,
            {
                name: partial(_round, tenants, size, rate=rate, seconds=seconds, bad_rate=bad_rate)
                for name, bad_rate in {"quiet": 0.0, "flood": BAD_PER_SECOND}.items()
            },
        )
    rows = [row for name, taken in rounds.items() for row in _rows(name, taken)]
    answered = tuple(each.bad.per_second for each in rounds["flood"] if each.bad)
    rows.append(Series("bad requests refused", "requests/s", answered))
    notes = {"requests_per_second": round(rate), "bad_per_second": BAD_PER_SECOND, "seconds": seconds}
    record("FLOOD", rows, notes={**notes, "health_per_second": HEALTH_PER_SECOND}, short=size.short)


def _rows(name: str, taken: list[Flooded]) -> list[Series]:
    return [
        Series(f"health p99, {name}", "ms", tuple(each.health.p99_ms for each in taken)),
        Series(f"health p50, {name}", "ms", tuple(each.health.p50_ms for each in taken)),
        Series(f"good p99, {name}", "ms", tuple(each.orders.p99_ms for each in taken)),
        Series(f"share of its core, {name}", "ratio", tuple(each.core for each in taken)),
    ]


def _round(tenants: TenantsFile, size: Size, *, rate: float, seconds: int, bad_rate: float) -> Flooded:
    with service() as server:
        prime(server, tenants)
        order_load(server, tenants, run="warm", seconds=size.warm_up_seconds)
        done = subprocess.run(
            [
                *pinned(LOAD_CORE),
                *(sys.executable, "-m", "benchmarks.flood", "--port", str(server.port), "--pid", str(server.pid)),
                *("--token-file", str(server.token_file), "--tenants", str(tenants.path), "--rate", f"{rate:.3f}"),
                *("--bad-rate", f"{bad_rate:.3f}", "--seconds", str(seconds)),
            ],
            stdout=subprocess.PIPE,
            check=False,
            timeout=seconds + 60,
        )
    if done.returncode:
        raise FailedRequests("the flood ended with an error, see above")
    return msgspec.json.decode(done.stdout, type=Flooded)


# ---- what is bad


def bad_requests(directory: Path) -> Mapping[str, tuple[int, bytes]]:
    """Each kind of bad request with its documented status; `directory` is the service's own, for its key and token."""
    admin = (directory / "admin.token").read_text().strip()
    head, claims, signature = admin.split(".")
    forged = f"{head}.{claims}.{signature[:-8]}AAAAAAAA"
    other = minted(directory, "integration", tenants=frozenset({"another"}))
    viewer = minted(directory, "viewer")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    chunk = b"%x\r\n" % len(GRANT) + GRANT + b"\r\n0\r\n\r\n"
    twice = f"Authorization: Bearer {admin}\r\n".encode()
    return {
        "a forged signature": (401, _post(forged)),
        "no signature": (401, _post(f"{unsigned}.{claims}.")),
        "no token": (401, _post("")),
        "another tenant's token": (403, _post(other)),
        "a role that may not": (403, _post(viewer)),
        "a credential twice": (400, _post(admin, more=twice)),
        "half a body": (400, _post(admin, body=GRANT[:40])),
        "a member twice": (400, _post(admin, body=b'{"tenant_id":"a",' + GRANT[1:])),
        "a deep body": (400, _post(admin, body=GRANT[:-1] + b',"metadata":' + b"[" * 5_000 + b"]" * 5_000 + b"}")),
        "a long number": (400, _post(admin, body=GRANT[:-1] + b',"metadata":' + b"9" * 10_000 + b"}")),
        "no envelope": (400, _post(admin, path="/pubsub", body=b'{"message":{"data":"dGVzdA=="}}')),
        "another type": (415, _post(admin, more=b"Content-Type: text/xml\r\n")),
        "no such path": (404, _post(admin, path=f"/v1/tenants/{VICTIM}/../{VICTIM}")),
        "another method": (405, _post(admin, path=f"/v1/tenants/{VICTIM}")),
        "two framings": (400, _post(admin, more=b"Transfer-Encoding: chunked\r\n", body=chunk)),
        "a long header": (431, _post(admin, more=b"X: " + b"a" * 17_000 + b"\r\n")),
        "a body of 20 MB announced": (413, _post(admin, body=b"", length=20_000_000)),
    }


def _post(token: str, *, path: str = "/marketplace", body: bytes = GRANT, more: bytes = b"", length: int = -1) -> bytes:
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{bearer}Content-Length: {len(body) if length < 0 else length}\r\n"
    )
    return head.encode() + more + b"\r\n" + body


class BadStream(Stream):
    """What must be refused; a connection that a refusal closes is replaced."""

    def __init__(self, kinds: Mapping[str, tuple[int, bytes]], *, rate: float, seconds: float, port: int) -> None:
        super().__init__(
            cycle([request for _, request in kinds.values()]),
            rate=rate,
            seconds=seconds,
            connections=BAD_CONNECTIONS,
            port=port,
        )
        self.port = port
        self.statuses: Counter[int] = Counter()
        expected = cycle([status for status, _ in kinds.values()])
        self.expected = Counter(next(expected) for _ in range(self.count))

    def is_good(self, reply: bytes) -> bool:
        status = int(reply[9:12])
        self.statuses[status] += 1
        return 400 <= status < 500

    def after(self, reply: bytes, connection: socket.socket) -> socket.socket:
        if b"connection: close\r\n" not in reply.partition(b"\r\n\r\n")[0] + b"\r\n":
            return connection
        connection.close()
        fresh = connect(self.port)
        self.renewed.append(fresh)
        return fresh


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--pid", type=int, required=True)
    options.add_argument("--token-file", type=Path, required=True)
    options.add_argument("--tenants", type=Path, required=True)
    options.add_argument("--rate", type=float, required=True, help="orders a second")
    options.add_argument("--bad-rate", type=float, required=True, help="bad requests a second; 0 is none")
    options.add_argument("--seconds", type=int, required=True)
    chosen = options.parse_args()
    token = chosen.token_file.read_text().strip()
    good = orders(TenantsFile(chosen.tenants, 0).drawn("flood"), token, "flood")
    probe = cycle([b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"])
    every = partial(Stream, seconds=chosen.seconds, port=chosen.port)
    streams = [
        every(good, rate=chosen.rate, connections=CONNECTIONS),
        every(probe, rate=HEALTH_PER_SECOND, connections=4),
    ]
    bad: BadStream | None = None
    if chosen.bad_rate:
        kinds = bad_requests(chosen.token_file.parent)
        bad = BadStream(kinds, rate=chosen.bad_rate, seconds=chosen.seconds, port=chosen.port)
    server = Server(chosen.port, chosen.pid, chosen.token_file.parent, 0.0)
    gc.disable()
    used = server.cpu_seconds()
    elapsed = drive([*streams, *([bad] if bad else [])], chosen.seconds)
    core = (server.cpu_seconds() - used) / elapsed
    seen = Flooded(*(stream.observed(elapsed) for stream in streams), bad.observed(elapsed) if bad else None, core)
    for stream in filter(None, (seen.orders, seen.health, seen.bad)):
        if stream.errors or stream.unanswered:
            sys.exit(f"{stream.errors} failed, {stream.unanswered} unanswered of {stream.requests}")
    if bad and bad.statuses != bad.expected:
        sys.exit(f"refused with {dict(bad.statuses)} instead of {dict(bad.expected)}")
    if _status(server, f"/v1/tenants/{VICTIM}") != 404:
        sys.exit("a bad request was written")
    sys.stdout.buffer.write(msgspec.json.encode(seen))


def _status(server: Server, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path, headers={"Authorization": f"Bearer {server.token_file.read_text().strip()}"})
    return connection.getresponse().status


if __name__ == "__main__":
    main()
