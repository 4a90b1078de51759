"""
SIMULATION: which limit binds at which load, step by step, from one process to many databases.

    results/STORES.json, results/P1.json --> engines --> each step of the ladder: the most that it keeps up with
    --> what binds a little above that, and how late a command is a little below --> results/SIMULATION.json

Nothing is measured here: the same results of STORES and P1 give the same ladder. Each tenant sends a command every
100 s; tenants of several databases are apart, so that a step with ten of them is one of them, ten times.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.measure import RESULTS, Series, Size, record, say
from benchmarks.simulation import Deployment, Engine, Limit, Load, Outcome, simulate
from benchmarks.stores import EMULATOR, POSTGRESQL, SQLITE
from benchmarks.table import Result, result_of

TENANT_SECONDS: Final = 100
"""Between two commands of a tenant."""
COMMANDS: Final = 20_000
SECONDS_MIN: Final = 2.0
FIRST_RATE: Final = 100.0
STEPS: Final = 6
"""Halvings of the span in which the limit lies: to 2 %."""
ABOVE: Final = 1.3
BELOW: Final = 0.8
"""Of the most, where the limit is named and where the lateness is taken."""

FIRESTORE_COMMIT_SECONDS: Final = 0.05
"""Assumed: no source that we have says it, and the emulator cannot."""
HEAD_COMMITS_PER_SECOND: Final = 1.0
"""Firestore's guidance for a document; an app may exceed it for a while."""
SHARDS: Final = 16
"""As stores/firestore/documents.py has it."""
SHARD_COMMITS_PER_SECOND: Final = 500.0
"""Firestore's soft limit for sequential values in an indexed field, here (shard, written) of heads."""
RAMP_FIRST: Final = 500.0
RAMP_FACTOR: Final = 1.5
RAMP_MINUTES: Final = 5.0
"""Firestore's guidance: begin with 500 operations a second on a new collection, half as many more every 5 minutes."""


class Step(Struct, frozen=True):
    """One rung: a deployment, how many of it there are side by side, and what comes after it."""

    name: str
    deployment: Deployment
    next: str
    databases: int = 1


class Rung(Struct, frozen=True):
    """The most that a step keeps up with; `p99_ms` is at 0.8 of that."""

    name: str
    commands_per_second: float
    tenants: int
    p99_ms: float
    limit: Limit
    conflicts: float
    """For each command, at 0.8."""
    next: str


def engines(stores: Result, p1: Result) -> dict[str, Engine]:
    """As they were measured; what only Google can say of Firestore is guidance, and its latency assumed."""

    def of(engine: str, what: str) -> float:
        return stores.row(f"{engine}: {what}").median

    def cpu(engine: str) -> float:
        return of(engine, "1,000 tenants, 256 in flight, CPU a receipt") / 1e6

    front = 1 / p1.row("service, per CPU second").median - cpu(SQLITE)
    made = {}
    for engine in (SQLITE, POSTGRESQL):
        one = 1 / of(engine, "appends of one receipt, as many at once as it takes")
        hundred = 100 / of(engine, "appends of 100 tenants' receipts, as many at once as it takes")
        receipt = max(0.0, (hundred - one) / 99)
        made[engine] = Engine(
            append_seconds=max(0.0, one - receipt),
            receipt_seconds=receipt,
            latency_seconds=max(0.0, 1 / of(engine, "one tenant, one receipt a commit") - one),
            command_seconds=front + cpu(engine),
            decide_seconds=cpu(engine),
            cold_seconds=of(engine, "cold ledger of 100 receipts, CPU") / 1e3,
            appends_at_once=round(of(engine, "appends at once")),
        )
    made[EMULATOR] = Engine(
        latency_seconds=FIRESTORE_COMMIT_SECONDS,
        command_seconds=front + cpu(EMULATOR),
        decide_seconds=cpu(EMULATOR),
        cold_seconds=of(EMULATOR, "cold ledger of 100 receipts, CPU") / 1e3,
        appends_at_once=round(of(EMULATOR, "appends at once")),
        tenants_per_append=1,
        receipts_per_tenant=500,
        head_commits_per_second=HEAD_COMMITS_PER_SECOND,
        shards=SHARDS,
        shard_commits_per_second=SHARD_COMMITS_PER_SECOND,
    )
    return made


def steps(made: dict[str, Engine]) -> list[Step]:
    """From the bottom."""
    sqlite, postgresql = Deployment(engine=made[SQLITE]), Deployment(engine=made[POSTGRESQL])
    roomy = replace(postgresql, lanes=1_000_000)
    # 80 at once is Cloud Run's default for one CPU, 1,000 its highest.
    run = Deployment(engine=made[EMULATOR], requests_at_once=80)
    apart = replace(run, routing="apart", requests_at_once=1_000)
    sharded = replace(made[EMULATOR], shards=64)
    router = "a router that sends each tenant to one instance"
    return [
        Step("SQLite, one process", sqlite, "`TAI_LANES_MAX` to the tenants that are active, 4.4 KiB each"),
        Step("SQLite, `TAI_LANES_MAX=1000000`", replace(sqlite, lanes=1_000_000), "PostgreSQL (MOVING.md)"),
        Step("PostgreSQL, 1 instance", postgresql, "`TAI_LANES_MAX`, here too"),
        Step("PostgreSQL, 1 instance, 1,000,000 lanes from here on", roomy, "more instances"),
        Step("PostgreSQL, 4 instances, any tenant at any", replace(roomy, instances=4), router),
        Step(
            "PostgreSQL, 4 instances, each tenant at one",
            replace(roomy, instances=4, routing="apart"),
            "more instances, up to `max_connections`",
        ),
        Step(
            "PostgreSQL, 9 instances, each tenant at one: 90 of 97 connections",
            replace(roomy, instances=9, routing="apart"),
            "a larger server; then tenants over several databases",
        ),
        Step(
            "10 PostgreSQL databases, each tenant in one",
            replace(roomy, instances=9, routing="apart"),
            "more of them: nothing is shared",
            databases=10,
        ),
        Step("Firestore, 1 instance, 80 requests at once", run, "more instances"),
        Step("Firestore, 10 instances, any tenant at any", replace(run, instances=10), router),
        Step(
            "Firestore, 10 instances, each tenant at one, 1,000 requests at once",
            replace(apart, instances=10),
            "more instances",
        ),
        Step(
            "Firestore, 100 instances, each tenant at one",
            replace(apart, instances=100),
            "more shards in the index of heads (code: `SHARDS`)",
        ),
        Step(
            "Firestore, 100 instances, 64 shards in place of 16",
            replace(apart, instances=100, engine=sharded),
            "tenants over several databases",
        ),
        Step(
            "10 Firestore databases, each tenant in one",
            replace(apart, instances=100, engine=sharded),
            "more of them: 100 in a project",
            databases=10,
        ),
    ]


def lone_tenants(made: dict[str, Engine]) -> list[Step]:
    """All load from one tenant, at one instance."""
    one = Deployment(engine=made[SQLITE])
    return [
        Step("SQLite", one, "nothing: a ledger is one chain; split the tenant"),
        Step("PostgreSQL", replace(one, engine=made[POSTGRESQL]), "the same"),
        Step("Firestore", replace(one, engine=made[EMULATOR]), "the same; for a while Firestore takes more"),
    ]


def most(step: Step, tenants_of: Callable[[float], int]) -> Rung:
    """Doubles the load until the step falls behind, then halves the span."""

    def at(rate: float) -> Outcome:
        seconds = max(SECONDS_MIN, COMMANDS / rate)
        return simulate(step.deployment, Load(rate, tenants_of(rate)), seconds=seconds)

    low = high = FIRST_RATE
    while at(high).keeps_up:
        low, high = high, high * 2
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle).keeps_up else (low, middle)
    above, below = at(low * ABOVE), at(low * BELOW)
    return Rung(
        step.name,
        low * step.databases,
        tenants_of(low) * step.databases,
        below.p99_ms,
        above.limit,
        below.conflicts / below.arrived,
        step.next,
    )


def ramp_minutes(rate: float) -> float:
    """From the first operations on a new collection to so many a second, by Firestore's guidance."""
    minutes, allowed = 0.0, RAMP_FIRST
    while allowed < rate:
        minutes, allowed = minutes + RAMP_MINUTES, allowed * RAMP_FACTOR
    return minutes


def measure_simulation(size: Size) -> None:
    made = engines(result_of(RESULTS / "STORES.json"), result_of(RESULTS / "P1.json"))
    ladder = _climbed(steps(made)[:1] if size.short else steps(made), lambda rate: round(rate * TENANT_SECONDS))
    alone = _climbed(lone_tenants(made)[:1] if size.short else lone_tenants(made), lambda _: 1)
    rows = [Series(rung.name, "commands/s", (rung.commands_per_second,)) for rung in ladder]
    rows += [Series(f"one tenant, {rung.name}", "commands/s", (rung.commands_per_second,)) for rung in alone]
    notes = {
        "ladder": ladder,
        "one_tenant": alone,
        "engines": made,
        "tenant_seconds": TENANT_SECONDS,
        "ramp_minutes": {f"{rate:.0f}": ramp_minutes(rate) for rate in (1_000, 8_000, 32_000)},
    }
    record("SIMULATION", rows, notes=notes, short=size.short)


def _climbed(taken: list[Step], tenants_of: Callable[[float], int]) -> list[Rung]:
    rungs = []
    for step in taken:
        rungs.append(most(step, tenants_of))
        say(f"  {rungs[-1]}")
    return rungs
