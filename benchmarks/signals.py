"""
SIGNALS: 5,000 signals a second over /pubsub in messages of 100, and what /health takes before and meanwhile.

    before  GET /health alone, then with 50 messages a second of 100 signals each:
            of 1 tenant (2 receipts), of 10 (10 receipts), of 100 (100 receipts: every signal is a command of its own)

No rule acts on them. Every message must be answered 200 and leave nothing in the quarantine; in the order of their
schedule, open loop, on a fresh service each time.
"""

import argparse
import gc
import subprocess
import sys
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks import push
from benchmarks.load import FailedRequests, prime
from benchmarks.measure import Series, Size, interleave, record
from benchmarks.openloop import Latencies, Stream, drive
from benchmarks.servers import LOAD_CORE, Server, fresh_directory, pinned, service
from benchmarks.tenants import TenantsFile, evenly

SIGNALS_PER_SECOND: Final = 5_000
SIGNALS_EACH: Final = 100
TENANTS: Final = 1_000
TENANTS_EACH: Final = (1, 10, 100)
HEALTH_PER_SECOND: Final = 100.0
CONNECTIONS: Final = 64
"""As many pushes are under way at most."""
FIRST: Final = 1_000_000
"""Number of the first measured message; those of the warm-up are below."""
HEALTH: Final = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Health(Struct, frozen=True):
    """`before` and `during` are of /health, `messages` of the pushes; `core` is the service's share of its core."""

    before: Latencies
    during: Latencies
    messages: Latencies
    core: float

    def __str__(self) -> str:
        return (
            f"health before {self.before}; during {self.during}; messages {self.messages}; {self.core:.0%} of its core"
        )


def measure_signals(size: Size) -> None:
    with TemporaryDirectory() as made:
        tenants = evenly(Path(made), TENANTS)
        rounds = interleave(
            size.rounds, {_name(each): partial(_round, tenants, size, tenants_each=each) for each in TENANTS_EACH}
        )
    rows = [row for name, taken in rounds.items() for row in _rows(name, taken)]
    notes = {"signals_per_second": SIGNALS_PER_SECOND, "signals_each": SIGNALS_EACH, "tenants": TENANTS}
    record("SIGNALS", rows, notes=notes, short=size.short)


def _name(tenants_each: int) -> str:
    return "1 tenant a message" if tenants_each == 1 else f"{tenants_each} tenants a message"


def _rows(name: str, taken: list[Health]) -> list[Series]:
    signals = tuple(each.messages.per_second * SIGNALS_EACH for each in taken)
    return [
        Series(f"health p99, {name}", "ms", tuple(each.during.p99_ms for each in taken)),
        Series(f"health p99 before, {name}", "ms", tuple(each.before.p99_ms for each in taken)),
        Series(f"signals taken, {name}", "signals/s", signals),
        Series(f"message p99, {name}", "ms", tuple(each.messages.p99_ms for each in taken)),
        Series(f"share of its core, {name}", "ratio", tuple(each.core for each in taken)),
    ]


def _round(tenants: TenantsFile, size: Size, *, tenants_each: int) -> Health:
    with fresh_directory() as directory:
        plans = push.plans_file(directory, url="http://127.0.0.1:9/never")
        with service(directory, environ=push.environ(plans)) as server:
            prime(server, tenants)
            load = partial(_load, server, tenants, tenants_each)
            load(seconds=size.warm_up_seconds, first=0)
            return load(seconds=size.seconds, first=FIRST)


def _load(server: Server, tenants: TenantsFile, tenants_each: int, *, seconds: int, first: int) -> Health:
    done = subprocess.run(
        [
            *pinned(LOAD_CORE),
            *(sys.executable, "-m", "benchmarks.signals", "--port", str(server.port), "--first", str(first)),
            *("--pid", str(server.pid)),
            *("--token-file", str(server.token_file), "--tenants", str(tenants.path)),
            *("--tenants-each", str(tenants_each), "--seconds", str(seconds)),
        ],
        stdout=subprocess.PIPE,
        check=False,
        timeout=seconds * 2 + 60,
    )
    if done.returncode:
        raise FailedRequests("the signals ended with an error, see above")
    return msgspec.json.decode(done.stdout, type=Health)


class Pushes(Stream):
    """Answered well is: all of it decided, nothing quarantined, nothing refused."""

    def is_good(self, reply: bytes) -> bool:
        return super().is_good(reply) and b'"quarantined"' not in reply and b"/problems/" not in reply


def _probe(chosen: argparse.Namespace) -> Stream:
    return Stream(cycle([HEALTH]), rate=HEALTH_PER_SECOND, seconds=chosen.seconds, connections=4, port=chosen.port)


def _pushes(chosen: argparse.Namespace) -> Pushes:
    requests = push.calm_requests(
        TenantsFile(chosen.tenants, 0).drawn(str(chosen.first)),
        chosen.token_file.read_text().strip(),
        signals=SIGNALS_EACH,
        tenants_each=chosen.tenants_each,
        first=chosen.first,
    )
    rate = SIGNALS_PER_SECOND / SIGNALS_EACH
    return Pushes(requests, rate=rate, seconds=chosen.seconds, connections=CONNECTIONS, port=chosen.port)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--pid", type=int, required=True)
    options.add_argument("--first", type=int, required=True, help="number of the first message")
    options.add_argument("--token-file", type=Path, required=True)
    options.add_argument("--tenants", type=Path, required=True)
    options.add_argument("--tenants-each", type=int, required=True)
    options.add_argument("--seconds", type=int, required=True)
    chosen = options.parse_args()
    gc.disable()
    before = _probe(chosen)
    quiet = drive([before], chosen.seconds)
    # Connected only now: the service closes connections that rest.
    during, messages = _probe(chosen), _pushes(chosen)
    server = Server(chosen.port, chosen.pid, chosen.token_file.parent, 0.0)
    used = server.cpu_seconds()
    loud = drive([during, messages], chosen.seconds)
    core = (server.cpu_seconds() - used) / loud
    seen = Health(before.observed(quiet), during.observed(loud), messages.observed(loud), core)
    for stream in (seen.before, seen.during, seen.messages):
        if stream.errors or stream.unanswered:
            sys.exit(f"{stream.errors} failed, {stream.unanswered} unanswered of {stream.requests}")
    sys.stdout.buffer.write(msgspec.json.encode(seen))


if __name__ == "__main__":
    main()
