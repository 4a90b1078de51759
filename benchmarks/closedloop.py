"""
A closed loop over several instances that knows every command it sent: each connection sends when it was answered.

    tenants -> spread: any tenant at any instance | apart: each tenant at one
    every 20th command -> the next instance too, at once: both answer with one receipt

The loop stops sending at its end and takes every answer, so that what was sent is what must be stored, once each.
"""

import argparse
import gc
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, Literal
from zlib import crc32

import msgspec
from msgspec import Struct

from benchmarks.load import FailedRequests
from benchmarks.openloop import Stream, drive, orders
from benchmarks.quantiles import at
from benchmarks.servers import LOAD_CORE, Server, pinned
from benchmarks.tenants import TenantsFile

Routing = Literal["spread", "apart"]
COPY_EVERY: Final = 20
REST_SECONDS: Final = 0.01
"""Nothing is due but when an answer comes, so that the instances may have the core meanwhile."""
COMMANDS_MAX: Final = 10_000_000


class Sent(Struct, frozen=True):
    """`commands` is how many each instance was sent first, numbered from 1; `copies` went to another one as well."""

    commands: tuple[int, ...]
    copies: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Commands alone: a copy decides nothing."""
        return sum(self.commands) / self.seconds

    def ids(self, run: str) -> Iterator[str]:
        """The idempotency key of every command."""
        for instance, count in enumerate(self.commands):
            yield from (f"{run_of(run, instance)}-{number}" for number in range(1, count + 1))


def run_of(run: str, instance: int) -> str:
    """Each instance's commands have numbers of their own."""
    return f"{run}.{instance}"


def closed_loop(
    servers: list[Server], tenants: TenantsFile, *, run: str, routing: Routing, seconds: int, connections: int
) -> Sent:
    """Run this module in a process of its own on the load's core. Raises FailedRequests when any did not end well."""
    ports = ",".join(str(server.port) for server in servers)
    done = subprocess.run(
        [
            *pinned(LOAD_CORE),
            *(sys.executable, "-m", "benchmarks.closedloop", "--ports", ports, "--run", run, "--routing", routing),
            *("--token-file", str(servers[0].token_file), "--tenants", str(tenants.path)),
            *("--seconds", str(seconds), "--connections", str(connections)),
        ],
        stdout=subprocess.PIPE,
        check=False,
        timeout=seconds + 60,
    )
    if done.returncode:
        raise FailedRequests("the load ended with an error, see above")
    return msgspec.json.decode(done.stdout, type=Sent)


class Caller(Stream):
    """One instance's connections. What it sends first is counted, and every 20th is given to `other` as well."""

    def __init__(self, requests: Iterator[bytes], *, seconds: float, connections: int, port: int) -> None:
        super().__init__(requests, rate=COMMANDS_MAX, seconds=1, connections=connections, port=port)
        self.seconds = seconds
        self.other = self
        self.copies: deque[bytes] = deque(maxlen=connections)
        self.commands = 0

    def send_due(self, start: float, now: float) -> None:
        if now >= start + self.seconds:
            self.count = self.sent
            return
        while self.idle:
            connection = self.idle.popleft()
            request = self.copies.popleft() if self.copies else self._command()
            assert connection.send(request) == len(request), "a socket takes a whole request"
            self.scheduled_at[connection.fileno()] = now
            self.sent += 1

    def _command(self) -> bytes:
        command = next(self.requests)
        self.commands += 1
        if self.commands % COPY_EVERY == 0:
            self.other.copies.append(command)
        return command


def callers(ports: list[int], drawn: list[str], token: str, chosen: argparse.Namespace) -> list[Caller]:
    made = []
    for instance, port in enumerate(ports):
        if chosen.routing == "apart":
            own = [tenant for tenant in drawn if crc32(tenant.encode()) % len(ports) == instance]
        else:
            own = list(islice(drawn, instance, None, len(ports)))
        requests = orders(own, token, run_of(chosen.run, instance))
        share = chosen.connections // len(ports)
        made.append(Caller(requests, seconds=chosen.seconds, connections=share, port=port))
    for instance, caller in enumerate(made):
        caller.other = made[(instance + 1) % len(made)]
    return made


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ports", required=True, help="of the instances, between commas")
    options.add_argument("--run", required=True)
    options.add_argument("--routing", required=True)
    options.add_argument("--token-file", type=Path, required=True)
    options.add_argument("--tenants", type=Path, required=True)
    options.add_argument("--seconds", type=int, required=True)
    options.add_argument("--connections", type=int, required=True, help="of all instances together")
    chosen = options.parse_args()
    token = chosen.token_file.read_text().strip()
    drawn = TenantsFile(chosen.tenants, 0).drawn(chosen.run)
    made = callers([int(port) for port in chosen.ports.split(",")], drawn, token, chosen)
    gc.disable()
    elapsed = drive(list(made), chosen.seconds, rest_seconds=REST_SECONDS)
    latencies = sorted(latency for caller in made for latency in caller.latencies)
    failed = sum(caller.errors for caller in made)
    sent = sum(caller.sent for caller in made)
    if failed or len(latencies) != sent:
        sys.exit(f"{failed} failed, {sent - len(latencies)} unanswered of {sent}")
    commands = tuple(caller.commands for caller in made)
    done = Sent(commands, sent - sum(commands), elapsed, at(latencies, 0.5) * 1e3, at(latencies, 0.99) * 1e3)
    sys.stdout.buffer.write(msgspec.json.encode(done))


if __name__ == "__main__":
    main()
