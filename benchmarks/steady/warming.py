"""
The warm-up of a soak: at full speed until all that is bounded by design is full, so that what grows later is a leak.

    every tenant's grant -> orders to every tenant in turn: the newest keys that the service remembers (1,024 a tenant),
    the pages that SQLite keeps, the write-ahead log -> every ledger read once, from its start to its head
"""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.load import PLAN, FailedRequests
from benchmarks.openloop import Stream, drive
from benchmarks.servers import Server
from benchmarks.steady.callers import claims, signed

ORDERS_EACH: Final = 1_100
"""More than the keys that are remembered of one tenant (`application/recent.py`)."""
PAGE: Final = 1_000
CONNECTIONS: Final = 64
AT_ONCE: Final = 4_000
"""Requests of one `drive`, whose bound they must keep."""
AT_ONCE_SECONDS_MAX: Final = 60.0


def warm_up(server: Server, key: Path, tenants: int) -> int:
    """Answers how many requests it took. Raises FailedRequests when one did not end well."""
    names = [f"load-{rank:06d}" for rank in range(1, tenants + 1)]
    now = int(time.time())
    commanding, reading = (
        signed(claims("load", "integration"), key, now),
        signed(claims("load-reader", "viewer"), key, now),
    )
    return sum(
        _sent(server, requests)
        for requests in (_grants(names, commanding), _orders(names, commanding), _reads(names, reading))
    )


def _sent(server: Server, requests: Iterator[bytes]) -> int:
    total = 0
    while some := list(islice(requests, AT_ONCE)):
        stream = Stream(iter(some), rate=1e6, seconds=1.0, connections=CONNECTIONS, port=server.port)
        stream.count = len(some)
        drive([stream], AT_ONCE_SECONDS_MAX)
        stream.close()
        if stream.errors or len(stream.latencies) < len(some):
            raise FailedRequests(f"{stream.errors} failed, {len(stream.latencies)} answered of {len(some)}")
        total += len(some)
    return total


def _grants(names: Sequence[str], token: str) -> Iterator[bytes]:
    """As locust sends them, so that its own are repeats."""
    for name in names:
        body = f'{{"tenant_id":"{name}","entitlement_id":"ent_1","action":"grant","plan":"{PLAN}"}}'
        yield _post(token, f"{PLAN}-ent_1", body)


def _orders(names: Sequence[str], token: str) -> Iterator[bytes]:
    for number in range(ORDERS_EACH):
        for name in names:
            body = f'{{"tenant_id":"{name}","entitlement_id":"ent_1","action":"verify"}}'
            yield _post(token, f"warm-up-{number}", body)


def _reads(names: Sequence[str], token: str) -> Iterator[bytes]:
    for name in names:
        for after in range(0, ORDERS_EACH, PAGE):
            path = f"/v1/tenants/{name}/receipts?limit={PAGE}&after={after}"
            yield f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def _post(token: str, key: str, body: str) -> bytes:
    return (
        "POST /marketplace HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nIdempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
