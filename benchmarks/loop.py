"""
P6: from a signal over /pubsub to the webhook being called, at a rate.

    scheduled --> POST /pubsub (three high samples of a tenant) --> answered
                     rule acts --> reserved --> attempt receipt --> POST to the receiver: now - scheduled

Each alarm is another tenant's, so that no cool-down or budget holds it back. The receiver is this process, which counts
from the moment an alarm was to be sent to the end of the body that it gets for it.
"""

import argparse
import asyncio
import gc
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

import msgspec
import uvloop
from msgspec import Struct

from benchmarks import push
from benchmarks.load import FailedRequests, prime
from benchmarks.measure import Series, Size, interleave, record
from benchmarks.quantiles import at
from benchmarks.servers import LOAD_CORE, Server, free_port, fresh_directory, pinned, service
from benchmarks.tenants import TenantsFile, in_turn, name_of

ALARMS_PER_SECOND: Final = 50
SECONDS_FACTOR: Final = 3
CONNECTIONS: Final = 16
ARRIVED_SECONDS_MAX: Final = 30.0
HEAD_ENDS: Final = b"\r\n\r\n"
ANSWER: Final = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Called(Struct, frozen=True):
    """Milliseconds from when each alarm was to be sent: to its answer, and to the webhook."""

    alarms: int
    answered_p99: float
    called_p50: float
    called_p99: float
    called_max: float

    def __str__(self) -> str:
        return (
            f"{self.alarms} alarms, answered p99 {self.answered_p99:.1f} ms; webhook called p50 {self.called_p50:.1f} "
            f"p99 {self.called_p99:.1f} max {self.called_max:.1f} ms"
        )


def measure_loop(size: Size) -> None:
    warm, alarms = (ALARMS_PER_SECOND * seconds for seconds in (size.warm_up_seconds, size.seconds * SECONDS_FACTOR))
    with TemporaryDirectory() as made:
        tenants = in_turn(Path(made), warm + alarms)
        rounds = interleave(size.rounds, {"service": lambda: _round(tenants, warm=warm)})["service"]
    rows = [
        Series("signal to webhook, p99", "ms", tuple(each.called_p99 for each in rounds)),
        Series("signal to webhook, p50", "ms", tuple(each.called_p50 for each in rounds)),
        Series("signal to webhook, longest", "ms", tuple(each.called_max for each in rounds)),
        Series("signal answered, p99", "ms", tuple(each.answered_p99 for each in rounds)),
    ]
    record("P6", rows, notes={"alarms": alarms, "alarms_per_second": ALARMS_PER_SECOND}, short=size.short)


def _round(tenants: TenantsFile, *, warm: int) -> Called:
    hooks = free_port()
    with fresh_directory() as directory:
        environ = push.environ(push.plans_file(directory, url=f"http://127.0.0.1:{hooks}/hooks"))
        with service(directory, environ=environ) as server:
            prime(server, tenants)
            return _alarmed(server, hooks, tenants.count, warm)


def _alarmed(server: Server, hooks: int, alarms: int, warm: int) -> Called:
    done = subprocess.run(
        [
            *pinned(LOAD_CORE),
            *(sys.executable, "-m", "benchmarks.loop", "--port", str(server.port), "--hooks", str(hooks)),
            *("--token-file", str(server.token_file), "--alarms", str(alarms), "--warm", str(warm)),
        ],
        stdout=subprocess.PIPE,
        check=False,
        timeout=alarms / ALARMS_PER_SECOND + ARRIVED_SECONDS_MAX + 30,
    )
    if done.returncode:
        raise FailedRequests("the alarms ended with an error, see above")
    return msgspec.json.decode(done.stdout, type=Called)


class Alarms:
    """Sends them on their schedule and receives the webhooks; times are perf_counter's."""

    def __init__(self, *, port: int, token: str, count: int) -> None:
        self._port, self._token = port, token
        self._connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._left = count
        self.due: dict[str, float] = {}
        self.answered: dict[str, float] = {}
        self.called: dict[str, float] = {}
        self.all_called = asyncio.Event()

    async def run(self, hooks: int) -> None:
        """Raises FailedRequests for any other answer than 200, TimeoutError when a webhook is not called."""
        receiver = await asyncio.start_server(self._receive, "127.0.0.1", hooks)
        for _ in range(CONNECTIONS):
            self._connections.put_nowait(await asyncio.open_connection("127.0.0.1", self._port))
        start = perf_counter()
        async with asyncio.TaskGroup() as sending:
            for number in range(self._left):
                due = start + number / ALARMS_PER_SECOND
                await asyncio.sleep(due - perf_counter())
                sending.create_task(self._send(number, due))
        async with asyncio.timeout(ARRIVED_SECONDS_MAX):
            await self.all_called.wait()
        receiver.close()

    async def _send(self, number: int, due: float) -> None:
        tenant = name_of(number)
        self.due[tenant] = due
        body = push.message(number, [(tenant, value) for value in push.HIGH])
        reader, writer = await self._connections.get()
        writer.write(push.request(self._token, body))
        head = await reader.readuntil(HEAD_ENDS)
        answer = await reader.readexactly(_length_of(head))
        self._connections.put_nowait((reader, writer))
        if not head.startswith(b"HTTP/1.1 200") or b'"quarantined"' in answer or b"/problems/" in answer:
            raise FailedRequests(f"{head!r} {answer!r}")
        self.answered[tenant] = perf_counter()

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            head = await reader.readuntil(HEAD_ENDS)
            body = await reader.readexactly(_length_of(head))
            now = perf_counter()
            writer.write(ANSWER)
            await writer.drain()
            tenant = msgspec.json.decode(body)["data"]["tenant"]
            if self.called.setdefault(tenant, now) == now:
                self._left -= 1
        writer.close()
        if self._left == 0:
            self.all_called.set()


def _length_of(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


def _after(alarms: Alarms, times: dict[str, float], tenants: Sequence[str]) -> list[float]:
    return sorted((times[tenant] - alarms.due[tenant]) * 1e3 for tenant in tenants)


async def measure(chosen: argparse.Namespace) -> Called:
    alarms = Alarms(port=chosen.port, token=chosen.token_file.read_text().strip(), count=chosen.alarms)
    await alarms.run(chosen.hooks)
    measured = [name_of(number) for number in range(chosen.warm, chosen.alarms)]
    answered, called = (_after(alarms, times, measured) for times in (alarms.answered, alarms.called))
    return Called(len(measured), at(answered, 0.99), *(at(called, quantile) for quantile in (0.5, 0.99, 1.0)))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--hooks", type=int, required=True, help="where webhooks are received")
    options.add_argument("--token-file", type=Path, required=True)
    options.add_argument("--alarms", type=int, required=True)
    options.add_argument("--warm", type=int, required=True, help="of them, before the measured ones")
    gc.disable()
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(measure(options.parse_args()))))


if __name__ == "__main__":
    main()
