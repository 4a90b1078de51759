"""
Load Test: so many requests a second for so long, each sent when it is due whatever became of those before it.

A latency counts from when its request was due, so that a service that stands still is not asked less.
"""

import asyncio
import time
from collections import Counter
from typing import Final

import httpx
import msgspec
from msgspec import Struct

from tai_autonomics.cli.checklist.asking import Asking, Sealed
from tai_autonomics.cli.checklist.health import REQUESTS, network_ms, told_within
from tai_autonomics.cli.checklist.lines import Found, Row, Section, failed, left_open, shown
from tai_autonomics.cli.checklist.quantiles import latencies
from tai_autonomics.cli.checklist.run import ENTITLEMENT, Measured, Run
from tai_autonomics.cli.checklist.telling import scraped_if_it_can_be

SECONDS_MAX: Final = 900
RATE_MAX: Final = 1000
REQUESTS_MAX: Final = 100_000
IN_FLIGHT_MAX: Final = 400
ERRORS_SHARE_MAX: Final = 0.01
COMMAND_P99_MS_MAX: Final = 100.0
RECEIPT_P99_MS_MAX: Final = 50.0
RATE_FLOOR: Final = 100.0
FILES_SHARE_MAX: Final = 0.8
NO_LOAD: Final = "give --load 60s: a load of so long"


class Due(Struct, frozen=True):
    """One request of a load."""

    tenant: str
    path: str
    body: bytes
    is_command: bool


async def load_is_carried(run: Run) -> Found:
    wanted = run.wanted
    if not wanted.load_seconds:
        return left_open(NO_LOAD)
    for tenant in run.names.loaded:
        (await run.ask.post("/marketplace", run.grant(tenant), key=run.key(f"grant-{tenant}"))).expect(200)
        run.entitled.append(tenant)
    before = await scraped_if_it_can_be(run)
    measured = await send(run.ask, due(run), rate=wanted.rate, seconds=wanted.load_seconds)
    run.measured = msgspec.structs.replace(measured, before=before, after=await scraped_if_it_can_be(run))
    said = f"{measured.asked:,} requests in {measured.seconds:.1f} s"
    if not measured.answered:
        return failed(f"{said}, and not one was answered with 200", errors=measured.errors)
    return shown(said, asked=measured.asked, seconds=measured.seconds, rate=wanted.rate)


def due(run: Run) -> list[Due]:
    """Commands that leave a receipt and checks that leave none, in turn, over the load's tenants."""
    each = []
    for tenant in run.names.loaded:
        each.append(Due(tenant, "/marketplace", msgspec.json.encode(run.verify(tenant)), is_command=True))
        check = msgspec.json.encode({"entitlement_id": ENTITLEMENT})
        each.append(Due(tenant, f"/v1/tenants/{tenant}/check", check, is_command=False))
    return each


async def send(ask: Asking, requests: list[Due], *, rate: int, seconds: int) -> Measured:
    """The requests in turn, `rate` a second."""
    count = rate * seconds
    errors: Counter[str] = Counter()
    took: dict[bool, list[float]] = {True: [], False: []}
    in_flight: set[asyncio.Task[None]] = set()
    headers = {"authorization": f"Bearer {ask.token}", "content-type": "application/json"}
    started = time.monotonic()

    async def one(request: Due, at: float) -> None:
        try:
            answer = await ask.client.post(request.path, content=request.body, headers=headers)
        except httpx.HTTPError as error:
            errors[error.__class__.__name__] += 1
            return
        if answer.status_code == 200:
            took[request.is_command].append(time.monotonic() - at)
            if request.is_command:
                ask.sealed.append(Sealed(request.tenant, answer.headers.get("receipt-hash", "")))
        else:
            errors[str(answer.status_code)] += 1

    for number in range(count):
        at = started + number / rate
        if (ahead := at - time.monotonic()) > 0:
            await asyncio.sleep(ahead)
        if len(in_flight) >= IN_FLIGHT_MAX:
            # Its time goes on while it waits, as every caller's would.
            await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(one(requests[number % len(requests)], at))
        in_flight.add(task)
        task.add_done_callback(in_flight.discard)
    if in_flight:
        await asyncio.wait(in_flight)
    elapsed = max(time.monotonic() - started, seconds)
    return Measured(count, round(elapsed, 3), dict(errors), latencies(took[True]), latencies(took[False]), None, None)


def _measured(run: Run) -> Measured:
    assert run.measured is not None, "needs says so"
    return run.measured


async def errors_are_rare(run: Run) -> Found:
    measured = _measured(run)
    count = sum(measured.errors.values())
    said = f"{count:,} of {measured.asked:,} requests, {count / measured.asked:.2%}"
    if count / measured.asked >= ERRORS_SHARE_MAX:
        return failed(said, errors=measured.errors)
    return shown(said, errors=measured.errors)


async def commands_are_fast(run: Run) -> Found:
    """From here, less the network; of a service that is far away by what it says of itself."""
    measured = _measured(run)
    if not measured.commands.count:
        return left_open("not one command was answered with 200")
    said = f"{measured.commands.said()} commands; checks: {measured.checks.said()}"
    evidence = {"commands": measured.commands, "checks": measured.checks}
    if run.is_near:
        network = await network_ms(run)
        slow = max(measured.commands.p99, measured.checks.p99) - network >= COMMAND_P99_MS_MAX
        return (failed if slow else shown)(
            f"{said}, of which the network {network:.1f} ms", **evidence, network_ms=network
        )
    return told_within(measured.before, measured.after, f"{said} from here", REQUESTS, "0.1", route="/marketplace")


async def receipts_are_durable_fast(run: Run) -> Found:
    """By the whole answer where even that is fast enough, else by what the service says of its own appends."""
    measured = _measured(run)
    network = await network_ms(run) if run.is_near else 0.0
    said = f"the whole answer to a command: p99 {measured.commands.p99:.1f} ms from here"
    if measured.commands.count and measured.commands.p99 - network < RECEIPT_P99_MS_MAX:
        return shown(said, commands=measured.commands)
    return told_within(measured.before, measured.after, said, "tai_append_duration_seconds", "0.05")


async def enough_is_carried(run: Run) -> Found:
    measured = _measured(run)
    rate = measured.answered / measured.seconds
    said = f"{rate:.1f} a second were answered with 200"
    if run.wanted.rate <= RATE_FLOOR:
        return left_open(f"{said}, and no more than {run.wanted.rate} were asked for: give --rate 120")
    return (shown if rate > RATE_FLOOR else failed)(said, rate=round(rate, 1))


async def nothing_is_exhausted(run: Run) -> Found:
    measured = _measured(run)
    if measured.after is None:
        return left_open("/metrics could not be read after the load")
    files, files_max = measured.after.total("process_open_fds"), measured.after.total("process_max_fds")
    memory = measured.after.total("process_resident_memory_bytes")
    turned_away = measured.errors.get("429", 0)
    said = (
        f"{files:.0f} of {files_max:.0f} files open, {memory / 2**20:.0f} MiB resident, {turned_away} turned away (429)"
    )
    evidence = {"open_files": files, "open_files_max": files_max, "resident_bytes": memory, "turned_away": turned_away}
    if turned_away or (files_max and files / files_max > FILES_SHARE_MAX):
        return failed(said, **evidence)
    return shown(said, **evidence)


_LOADED: Final = ("load",)
SECTION: Final = Section(
    "Load Test",
    (
        Row("load", "Load test completed successfully", load_is_carried),
        Row("load-errors", "Error rate below 1%", errors_are_rare, needs=_LOADED),
        Row("load-latency", "Latency within SLO: action execution <100ms (p99)", commands_are_fast, needs=_LOADED),
        Row("load-receipts", "Receipt emission: <50ms (p99)", receipts_are_durable_fast, needs=_LOADED),
        Row("load-throughput", "Throughput: >100 RPS per instance", enough_is_carried, needs=_LOADED),
        Row("load-resources", "No resource exhaustion", nothing_is_exhausted, needs=_LOADED),
    ),
)
