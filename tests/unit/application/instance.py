"""An instance of the service as far as it decides, over a store that others may write, with a clock in hand."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from types import MappingProxyType
from typing import Any

from tests.builders import BOUNDS, CALLS, ENT, PRO, plans
from tests.unit.application.faulty_store import FaultyStore

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.codec import STATE_VERSION, events_of, request_digest, state_to_bytes
from tai_autonomics.application.corridor import Answer, Corridor, CorridorBounds, Submission
from tai_autonomics.application.executor import Executor, ExecutorBounds
from tai_autonomics.application.freshness import Freshness
from tai_autonomics.application.ports import Actuator, Answered, Store, Tracer
from tai_autonomics.application.queries import Queries
from tai_autonomics.application.throttling import Throttles
from tai_autonomics.application.timers import Timers
from tai_autonomics.application.trails import Trails
from tai_autonomics.application.transfer import Replayed, replay
from tai_autonomics.domain.actions import ActionType
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.entitlement import Grant, Verify
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.quota import Consume
from tai_autonomics.domain.tenant import INITIAL_STATE, Bounds, Command, evolve
from tai_autonomics.ledger.records import Base, Receipt, Snapshot

START = datetime(2026, 11, 24, 12, 30, 15, tzinfo=UTC)
CONDITION_SECONDS_MAX = 20.0
REQUEST = "0" * 64
_numbers = count(1)


class HandClock:
    """Time goes on when a test says so."""

    def __init__(self, start: datetime = START) -> None:
        self.wall, self.seconds = start, 1_000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds

    def jump(self, seconds: float) -> None:
        """The wall clock alone."""
        self.wall += timedelta(seconds=seconds)


class SeededEntropy:
    """The same chance every time. `jitter` 0 makes a pause none, 128 half of the longest."""

    _instances = count()

    def __init__(self) -> None:
        self._random = random.Random(next(self._instances))
        self.jitter = 0

    def bytes(self, count: int) -> bytes:
        return bytes([self.jitter, *bytes(count - 1)]) if count < 32 else self._random.randbytes(count)

    def ulid(self) -> str:
        return f"{self._random.randrange(10**20):026d}"


class Witness:
    """The Observer of a test: everything that was told, by method."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[Any, ...]]] = {}

    def _note(self, what: str, *told: Any) -> None:
        self.told.setdefault(what, []).append(told)

    def count(self, what: str) -> int:
        return len(self.told.get(what, ()))

    @property
    def failures(self) -> list[tuple[Any, ...]]:
        return self.told.get("failed", [])

    def answered(self, request: Answered) -> None:
        self._note("answered", request)

    def decided(self, command: str, outcome: str, reason: str) -> None:
        self._note("decided", command, outcome, reason)

    def appended(self, receipts: int, tenants: int, seconds: float) -> None:
        self._note("appended", receipts, tenants)

    def sealed(self, type: str) -> None:
        self._note("sealed", type)

    def conflicted(self) -> None:
        self._note("conflicted")

    def duplicated(self, count: int) -> None:
        self._note("duplicated", count)

    def store_failed(self, verb: str) -> None:
        self._note("store_failed", verb)

    def probed(self, check: str, trouble: str) -> None:
        self._note("probed", check, trouble)

    def loaded(self, receipts: int, seconds: float) -> None:
        self._note("loaded", receipts)

    def went_back(self, tenant: str) -> None:
        self._note("went_back", tenant)

    def gate_asked(self, gate: str, seconds: float) -> None:
        self._note("gate_asked", gate, seconds)

    def signals_refused(self, reason: str, count: int) -> None:
        self._note("signals_refused", reason, count)

    def attempted(self, type: str, outcome: str, seconds: float) -> None:
        self._note("attempted", type, outcome)

    def settled(self, type: str, result: str, receipt: Receipt) -> None:
        self._note("settled", type, result)

    def pushed(self, outcome: str, age_seconds: float | None) -> None:
        self._note("pushed", outcome, age_seconds)

    def failed(self, what: str, error: BaseException) -> None:
        self._note("failed", what, error)


class Instance:
    """One process's share, on a store that others may write too."""

    def __init__(
        self,
        store: Store,
        clock: HandClock,
        *,
        bounds: CorridorBounds | None = None,
        plans_in_force: Plans | None = None,
        domain_bounds: Bounds = BOUNDS,
        actuators: Mapping[ActionType, Actuator] = MappingProxyType({}),
        executor_bounds: ExecutorBounds | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.store, self.clock, self.witness = store, clock, Witness()
        if isinstance(store, FaultyStore) and store.clock is None:
            store.clock = clock.now
        self.plans = plans_in_force or plans()
        self.entropy = SeededEntropy()
        self.sealing_clock = SealingClock(clock, skew_seconds_max=300)
        throttles = Throttles()
        self.corridor = Corridor(
            store,
            clock=self.sealing_clock,
            entropy=self.entropy,
            observer=self.witness,
            plans=lambda: self.plans,
            domain_bounds=domain_bounds,
            bounds=bounds or CorridorBounds(),
            throttles=throttles,
            tracer=tracer,
        )
        self.freshness = Freshness(
            store, self.corridor, clock=self.sealing_clock, observer=self.witness, age_seconds_max=1
        )
        self.queries = Queries(
            store,
            self.freshness,
            clock=self.sealing_clock,
            plans=lambda: self.plans,
            throttles=throttles,
            observer=self.witness,
        )
        self.executor = Executor(
            self.corridor,
            actuators,
            clock=self.sealing_clock,
            plans=lambda: self.plans,
            observer=self.witness,
            entropy=self.entropy,
            bounds=executor_bounds or ExecutorBounds(),
            trails=None if tracer is None else Trails(store, tracer, self.witness),
        )
        self.timers = Timers(
            store,
            self.corridor,
            self.executor,
            self.freshness,
            clock=self.sealing_clock,
            observer=self.witness,
            poll_seconds=CONDITION_SECONDS_MAX,
        )

    async def submit(
        self,
        command: Command,
        *,
        tenant: str = "acme",
        id: str | None = None,
        seconds: float = 10.0,
        request: str | None = None,
        **rest: Any,
    ) -> Answer:
        """The command's answer; by default it comes under a new id, with the digest of its own content."""
        submission = Submission(
            tenant,
            command,
            id or f"http:me:{next(_numbers)}",
            rest.pop("source", "api"),
            rest.pop("by", "me"),
            request or digest_of(command),
            **rest,
        )
        return await self.corridor.submit(submission, timeout_seconds=seconds)

    def begin(self, command: Command, **rest: Any) -> "asyncio.Task[Answer]":
        """The same, begun and not awaited."""
        return asyncio.get_running_loop().create_task(self.submit(command, **rest))

    def pause_after_conflicts(self) -> None:
        """So that a lane in conflict is mostly found between two appends."""
        self.entropy.jitter = 128

    async def grant(self, tenant: str = "acme", **rest: Any) -> Receipt:
        """The tenant's ent_1 is in service, on the professional plan: 100 api_calls a day."""
        return (await self.submit(Grant(ENT, PRO, **rest), tenant=tenant)).receipt


def digest_of(command: Command) -> str:
    return request_digest({"command": repr(command)})


def verify() -> Verify:
    return Verify(ENT)


def consume(amount: int = 1) -> Consume:
    return Consume(CALLS, amount)


@asynccontextmanager
async def opened(store: Store, clock: HandClock | None = None, **rest: Any) -> AsyncIterator[Instance]:
    """Closed at the end, with nothing left to do."""
    instance = Instance(store, clock or HandClock(), **rest)
    try:
        yield instance
    finally:
        await instance.executor.close(timeout_seconds=0)
        await instance.freshness.aclose()
        await instance.corridor.close(timeout_seconds=CONDITION_SECONDS_MAX)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; TimeoutError when it does not come about."""
    async with asyncio.timeout(CONDITION_SECONDS_MAX):
        while not condition():
            await asyncio.sleep(0)


async def decided() -> None:
    """What is live and waits is decided by now: the loop went round often enough."""
    for _ in range(20):
        await asyncio.sleep(0)


async def ledger(store: Store, tenant: str = "acme") -> tuple[Receipt, ...]:
    """The tenant's receipts, once its chain verifies, its replay agrees and no claimed id is there twice."""
    replayed: Replayed | None = await replay(store, tenant)
    if replayed is None:
        return ()
    assert replayed.agrees
    receipts: list[Receipt] = []
    while page := await store.receipts(tenant, len(receipts), 500):
        receipts.extend(page)
    assert len(receipts) == replayed.receipts
    claimed = [each.command_id for each in receipts if each.claims]
    assert len(claimed) == len(set(claimed))
    return tuple(receipts)


async def begin_after(store: Store, *, seq: int, tenant: str = "acme") -> None:
    """As archiving leaves the ledger, without the file."""
    state = INITIAL_STATE
    for receipt in await store.receipts(tenant, 0, seq):
        state = fold(evolve, state, events_of(receipt))
        newest = receipt
    cut = Snapshot(newest.seq, newest.ledger, newest.hash, newest.time, STATE_VERSION, state_to_bytes(state))
    await store.rebase(tenant, Base(cut, "a" * 64))
    assert await store.drop(tenant, seq) == seq
