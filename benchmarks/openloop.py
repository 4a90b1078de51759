"""
An open-loop load: each request has the moment it is to be sent at, and its latency counts from that moment.

    schedule (count / rate) -> due and a connection idle: send -> reply complete: now - scheduled

So a server that stalls is charged for every request that it held up (no coordinated omission). A second, slow stream
asks GET /health meanwhile, on a connection of its own. The loop never sleeps: it owns the load's core, and a timer
would be late by up to a millisecond. Bounded by `rate * seconds` requests and by the seconds to drain.
"""

import argparse
import gc
import select
import socket
import subprocess
import sys
from array import array
from collections import deque
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.load import PLAN, FailedRequests
from benchmarks.quantiles import at
from benchmarks.servers import LOAD_CORE, Server, pinned
from benchmarks.tenants import TenantsFile

CONNECTIONS: Final = 256
"""Enough that a scheduled request finds one idle, unless the server holds up more than this many."""
DRAIN_SECONDS_MAX: Final = 10.0
REPLY_BYTES_MAX: Final = 1 << 18
GRANT_EVERY: Final = 20
GRANTS_MAX: Final = 16


class Latencies(Struct, frozen=True):
    """Of one stream, in milliseconds. `late` is the p99 of sending after the scheduled moment: the generator's own."""

    requests: int
    per_second: float
    errors: int
    unanswered: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    late_p99_ms: float

    def __str__(self) -> str:
        return (
            f"{self.per_second:,.0f}/s p50 {self.p50_ms:.2f} p99 {self.p99_ms:.2f} p99.9 {self.p999_ms:.2f} "
            f"max {self.max_ms:.1f} ms"
        )


class Observed(Struct, frozen=True):
    orders: Latencies
    health: Latencies

    def __str__(self) -> str:
        return f"orders {self.orders}; health {self.health}"


def open_loop(
    server: Server, tenants: TenantsFile, *, run: str, rate: float, seconds: int, health_rate: float
) -> Observed:
    """Run this module in a process of its own on the load's core. Raises FailedRequests when any did not end well."""
    done = subprocess.run(
        [
            *pinned(LOAD_CORE),
            *(sys.executable, "-m", "benchmarks.openloop", "--port", str(server.port), "--run", run),
            *("--token-file", str(server.token_file), "--tenants", str(tenants.path), "--rate", f"{rate:.3f}"),
            *("--health-rate", f"{health_rate:.3f}", "--seconds", str(seconds)),
        ],
        capture_output=True,
        check=True,
        timeout=seconds + 60,
    )
    observed = msgspec.json.decode(done.stdout, type=Observed)
    for stream in (observed.orders, observed.health):
        if stream.errors or stream.unanswered:
            raise FailedRequests(f"{stream.errors} failed, {stream.unanswered} unanswered of {stream.requests}")
    return observed


class Stream:
    """Requests on their schedule, the connections that carry them, and what came back."""

    def __init__(self, requests: Iterator[bytes], *, rate: float, seconds: float, connections: int, port: int) -> None:
        self.requests, self.interval, self.count = requests, 1 / rate, int(rate * seconds)
        self.sent = 0
        self.idle = deque(connect(port) for _ in range(connections))
        self.scheduled_at: dict[int, float] = {}
        self.partial: dict[int, bytearray] = {}
        self.latencies, self.late = array("d"), array("d")
        self.errors = 0
        self.renewed: list[socket.socket] = []
        """Connections in place of those that an answer closed, for `drive` to watch."""

    @property
    def done(self) -> bool:
        return self.sent == self.count and not self.scheduled_at

    def send_due(self, start: float, now: float) -> None:
        while self.sent < self.count and self.idle and (due := start + self.sent * self.interval) <= now:
            connection = self.idle.popleft()
            request = next(self.requests)
            assert connection.send(request) == len(request), "a socket takes a whole request"
            self.scheduled_at[connection.fileno()] = due
            self.late.append(now - due)
            self.sent += 1

    def receive(self, connection: socket.socket) -> None:
        number = connection.fileno()
        reply = connection.recv(REPLY_BYTES_MAX)
        if not reply:
            raise FailedRequests("the server closed a connection")
        if number in self.partial:
            self.partial[number] += reply
            reply = bytes(self.partial[number])
        if not _complete(reply):
            self.partial.setdefault(number, bytearray(reply))
            return
        self.partial.pop(number, None)
        self.latencies.append(perf_counter() - self.scheduled_at.pop(number))
        self.errors += not self.is_good(reply)
        self.idle.append(self.after(reply, connection))

    def after(self, reply: bytes, connection: socket.socket) -> socket.socket:
        """The connection that the next request can take."""
        return connection

    def is_good(self, reply: bytes) -> bool:
        return reply.startswith(b"HTTP/1.1 200")

    def close(self) -> None:
        """Every connection that is idle: all of them, once all is answered."""
        while self.idle:
            self.idle.popleft().close()

    def observed(self, elapsed: float) -> Latencies:
        latencies, late = sorted(self.latencies), sorted(self.late)
        return Latencies(
            requests=self.sent,
            per_second=len(latencies) / elapsed,
            errors=self.errors,
            unanswered=self.count - len(latencies),
            p50_ms=at(latencies, 0.5) * 1e3,
            p99_ms=at(latencies, 0.99) * 1e3,
            p999_ms=at(latencies, 0.999) * 1e3,
            max_ms=at(latencies, 1.0) * 1e3,
            late_p99_ms=at(late, 0.99) * 1e3,
        )


def drive(streams: list[Stream], seconds: float, *, rest_seconds: float = 0.0) -> float:
    """
    Send what is due and take what arrives, until all is answered or the drain's bound; the seconds it took.

    With `rest_seconds` it leaves its core to others while nothing arrives, and sends up to that much late.
    """
    waiting = select.epoll()
    owner = {}
    for stream in streams:
        for connection in stream.idle:
            owner[connection.fileno()] = (stream, connection)
            waiting.register(connection.fileno(), select.EPOLLIN)
    start = now = perf_counter()
    while not all(stream.done for stream in streams) and now < start + seconds + DRAIN_SECONDS_MAX:
        for stream in streams:
            stream.send_due(start, now)
        for number, _ in waiting.poll(rest_seconds):
            stream, connection = owner[number]
            stream.receive(connection)
            while stream.renewed:
                fresh = stream.renewed.pop()
                owner[fresh.fileno()] = (stream, fresh)
                waiting.register(fresh.fileno(), select.EPOLLIN)
        now = perf_counter()
    return now - start


def orders(tenants: list[str], token: str, run: str) -> Iterator[bytes]:
    """The mix of wrk/order.lua, request for request."""
    head = (
        "POST /marketplace HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nIdempotency-Key: {run}-"
    )
    granted: dict[str, int] = {}
    for number, tenant in enumerate(cycle(tenants), 1):
        if number % GRANT_EVERY == 0 and granted.get(tenant, 0) < GRANTS_MAX:
            granted[tenant] = granted.get(tenant, 0) + 1
            asked = f'"entitlement_id":"ent_{run}_{number}","action":"grant","plan":"{PLAN}"'
        else:
            asked = '"entitlement_id":"ent_1","action":"verify"'
        body = f'{{"tenant_id":"{tenant}",{asked}}}'
        yield f"{head}{number}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _complete(reply: bytes) -> bool:
    head_ends = reply.find(b"\r\n\r\n")
    if head_ends < 0:
        return False
    head = reply[:head_ends].lower()
    length_at = head.index(b"content-length:") + 15
    line_ends = head.find(b"\r\n", length_at)
    length = int(head[length_at : line_ends if line_ends >= 0 else head_ends])
    return len(reply) >= head_ends + 4 + length


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    return connection


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--run", required=True)
    options.add_argument("--token-file", type=Path, required=True)
    options.add_argument("--tenants", type=Path, required=True)
    options.add_argument("--rate", type=float, required=True, help="orders a second")
    options.add_argument("--health-rate", type=float, required=True, help="GET /health a second")
    options.add_argument("--seconds", type=int, required=True)
    chosen = options.parse_args()
    token = chosen.token_file.read_text().strip()
    drawn = TenantsFile(chosen.tenants, 0).drawn(chosen.run)
    probe = cycle([b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"])
    streams = [
        Stream(
            orders(drawn, token, chosen.run),
            rate=chosen.rate,
            seconds=chosen.seconds,
            connections=CONNECTIONS,
            port=chosen.port,
        ),
        Stream(probe, rate=chosen.health_rate, seconds=chosen.seconds, connections=4, port=chosen.port),
    ]
    gc.disable()
    elapsed = drive(streams, chosen.seconds)
    sys.stdout.buffer.write(msgspec.json.encode(Observed(*(stream.observed(elapsed) for stream in streams))))


if __name__ == "__main__":
    main()
