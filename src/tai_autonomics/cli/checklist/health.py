"""Health Checks: does it answer, in the documented form, with everything that it depends on, and fast?"""

from typing import Final

from msgspec import Struct

from tai_autonomics.cli.checklist.asking import connect_seconds
from tai_autonomics.cli.checklist.lines import Found, Row, Section, failed, left_open, shown
from tai_autonomics.cli.checklist.quantiles import Latencies, latencies
from tai_autonomics.cli.checklist.run import Run
from tai_autonomics.cli.checklist.telling import scraped_if_it_can_be
from tai_autonomics.telemetry.scrapes import Scrape

PROBES_A_ROUND: Final = 200
ROUNDS_MAX: Final = 3
"""A round that this machine's own business disturbed is repeated; all of them are evidence."""
P99_MS_MAX: Final = 5.0
SHARE_MIN: Final = 0.99
"""A p99 under a bound is 99 % within it, which a bucket says exactly."""
REQUESTS: Final = "tai_http_request_duration_seconds"


class _Health(Struct):
    status: str
    version: str
    checks: dict[str, str]


async def answers_200(run: Run) -> Found:
    answer = (await run.ask.get("/health")).expect(200)
    return shown(f"200 in {answer.seconds * 1000:.1f} ms")


async def is_json(run: Run) -> Found:
    answer = await run.ask.get("/health")
    health = answer.read(_Health)
    run.version = health.version
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return failed(f"content-type is {answer.headers.get('content-type')}, not application/json")
    return shown(f"version {health.version}, status {health.status}", version=health.version)


async def dependencies_are_healthy(run: Run) -> Found:
    health = (await run.ask.get("/health")).read(_Health)
    ill = {name: said for name, said in health.checks.items() if said != "ok"}
    if ill or health.status != "ok":
        named = ", ".join(f"{name} is {said}" for name, said in ill.items())
        return failed(named or f"status is {health.status}", checks=health.checks)
    if not health.checks:
        return failed("no dependency is reported, not even the store")
    return shown(", ".join(f"{name} ok" for name in health.checks), checks=health.checks)


async def is_fast(run: Run) -> Found:
    """From here, less the network; of a service that is far away by what it says of itself."""
    if not run.is_near:
        before = await scraped_if_it_can_be(run)
        probes = await _probed(run, float("inf"))
        after = await scraped_if_it_can_be(run)
        return told_within(before, after, f"{probes.said()} probes from here", REQUESTS, "0.005", route="/health")
    network = await network_ms(run)
    rounds: list[Latencies] = []
    while len(rounds) < ROUNDS_MAX:
        rounds.append(await _probed(run, P99_MS_MAX + network))
        if rounds[-1].p99 <= P99_MS_MAX + network:
            break
    last = rounds[-1]
    detail = f"{last.said()} probes, of which the network {network:.1f} ms; at most {P99_MS_MAX:g} ms besides"
    found = failed if last.p99 > P99_MS_MAX + network else shown
    return found(detail, rounds=rounds, network_ms=network)


def told_within(
    before: Scrape | None, after: Scrape | None, said: str, histogram: str, le: str, **labels: str
) -> Found:
    """Whether 99 % of what the service counted between two scrapes was within `le` seconds."""
    counted = None if before is None or after is None else after.within(before, histogram, le, **labels)
    if counted is None:
        return left_open(f"{said}; what of it is the service's, its metrics did not tell: give --network-ms")
    within, count = counted
    detail = f"{within / count:.2%} of {count:,.0f} within {float(le) * 1000:g} ms by its own metrics; {said}"
    return (shown if within / count >= SHARE_MIN else failed)(detail, within=within, count=count)


async def _probed(run: Run, ms_max: float) -> Latencies:
    """As many probes as it takes to know: where more than 1 % took longer, no others can help."""
    taken: list[float] = []
    over = 0
    while len(taken) < PROBES_A_ROUND and over <= PROBES_A_ROUND // 100:
        taken.append((await run.ask.get("/health")).seconds)
        over += taken[-1] * 1000 > ms_max
    return latencies(taken)


async def network_ms(run: Run) -> float:
    """What of every answer's time is the network's: as the option says, else what a TCP connection takes."""
    given = run.wanted.network_seconds
    return round(1000 * (await connect_seconds(run.wanted.url) if given is None else given), 3)


SECTION: Final = Section(
    "Health Checks",
    (
        Row("health-status", "Health endpoint responds with 200", answers_200),
        Row("health-json", "Health response is valid JSON", is_json),
        Row(
            "health-dependencies", "All dependencies reported healthy", dependencies_are_healthy, needs=("health-json",)
        ),
        Row("health-latency", "Health check: <5ms (p99)", is_fast),
    ),
)
