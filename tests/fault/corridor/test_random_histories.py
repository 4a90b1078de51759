"""Any history of commands, repeats, faults, races, deadlines and restarts, against the plain model."""

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.builders import CALLS, PRO
from tests.fault.corridor.sequential_model import LIMIT, check
from tests.sizes import size
from tests.unit.application.faulty_store import (
    FaultyStore,
    Gate,
    bounds_of,
    busy,
    held,
    held_then_lost,
    landing_later,
    lost,
    persisted,
    silent,
)
from tests.unit.application.instance import CONDITION_SECONDS_MAX, START, HandClock, Instance, digest_of, ledger, until

from tai_autonomics.application import corridor as corridor_module
from tai_autonomics.application.corridor import Answer, CorridorBounds
from tai_autonomics.domain.entitlement import Grant, Resume, Revoke, Suspend, Verify
from tai_autonomics.domain.identifiers import EntitlementId
from tai_autonomics.domain.moments import moment_of, plus_seconds
from tai_autonomics.domain.quota import Consume, Release, Reset
from tai_autonomics.domain.tenant import Command
from tai_autonomics.errors import (
    ConcurrentWrite,
    Draining,
    IdempotencyKeyReused,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
)
from tai_autonomics.stores.sqlite import SQLiteStore

INSTANCES = 2
TENANTS = ("a", "b")
WITHDRAWN = (StoreUnavailable, ConcurrentWrite, Overloaded, Draining, asyncio.CancelledError)
BOUNDS = CorridorBounds(lanes_max=3, lane_waiting_max=20, append_receipts_max=7, snapshot_receipts=5, recent_ids_max=6)


def commands() -> st.SearchStrategy[Command]:
    entitlement = st.sampled_from([EntitlementId("e1"), EntitlementId("e2")])
    amount = st.integers(1, 60)
    expiry = st.none() | st.integers(1, 60).map(lambda seconds: plus_seconds(moment_of(START), seconds))
    return st.one_of(
        st.builds(Consume, st.just(CALLS), amount),
        st.builds(Consume, st.just(CALLS), amount),
        st.builds(Release, st.just(CALLS), amount),
        st.just(Reset(CALLS)),
        st.builds(Grant, entitlement, st.just(PRO), expires_at=expiry),
        *(st.builds(each, entitlement) for each in (Verify, Verify, Suspend, Resume, Revoke)),
    )


STEPS = st.one_of(
    st.tuples(
        st.just("submit"), st.integers(0, INSTANCES - 1), st.sampled_from(TENANTS), st.integers(0, 25), st.booleans()
    ),
    st.tuples(st.just("submit"), st.integers(0, INSTANCES - 1), st.just("a"), st.integers(0, 25), st.just(False)),
    st.tuples(st.just("turn"), st.integers(1, 12)),
    st.tuples(
        st.just("fault"), st.sampled_from(["lost", "persisted", "silent", "busy", "landing", "gate", "gate lost"])
    ),
    st.tuples(st.just("open")),
    st.tuples(st.just("land")),
    st.tuples(st.just("reads fail"), st.sampled_from(["read", "receipts", "receipt"]), st.integers(1, 3)),
    st.tuples(st.just("blind"), st.integers(1, 2)),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 4.0, 11.0])),
    st.tuples(st.just("leave"), st.integers(0, 100)),
    st.tuples(st.just("crash"), st.integers(0, INSTANCES - 1)),
    st.tuples(st.just("wake"), st.integers(0, INSTANCES - 1), st.sampled_from(TENANTS)),
    st.tuples(st.just("read"), st.integers(0, INSTANCES - 1), st.sampled_from(TENANTS)),
)


class History:
    """What happens, step by step, and what everyone was told."""

    def __init__(self, store: FaultyStore, table: list[Command]) -> None:
        self.store, self.table = store, table
        self.clocks = [HandClock(START + timedelta(seconds=number)) for number in range(INSTANCES)]
        self.instances = [self._instance(number) for number in range(INSTANCES)]
        self.begun: list[tuple[str, str, Command, asyncio.Task[Answer]]] = []
        self.reading: list[asyncio.Task[Any]] = []
        self.gates: list[Gate] = []
        self.landings: list[Any] = []

    def _instance(self, number: int) -> Instance:
        return Instance(self.store, self.clocks[number], bounds=BOUNDS)

    async def step(self, what: str, *details: Any) -> None:
        match what, details:
            case "submit", (instance, tenant, number, reused):
                # A key is mostly used for one command alone.
                command, key = self.table[(number + reused) % len(self.table)], f"k{number}"
                running = self.instances[instance].begin(
                    command, tenant=tenant, id=key, seconds=5.0 + number, by=f"i{instance}"
                )
                self.begun.append((tenant, key, command, running))
            case "turn", (turns,):
                for _ in range(turns):
                    await asyncio.sleep(0)
            case "fault", (kind,):
                self.store.faults.append(self._fault(kind))
            case "open", ():
                self._open()
            case "land", ():
                while self.landings:
                    await self.landings.pop(0)()
            case "reads fail", (verb, times):
                self.store.failing[verb] = times
            case "blind", (times,):
                self.store.blind = times
            case "advance", (seconds,):
                for clock in self.clocks:
                    clock.advance(seconds)
            case "leave", (number,):
                if self.begun:
                    self.begun[number % len(self.begun)][3].cancel()
            case "crash", (number,):
                await self.instances[number].corridor.close(timeout_seconds=0)
                self.instances[number] = self._instance(number)
            case "wake", (number, tenant):
                with suppress(Overloaded):
                    self.instances[number].corridor.wake(tenant)
            case "read", (number, tenant):
                reading = self.instances[number].corridor.durable(tenant)
                self.reading.append(asyncio.get_running_loop().create_task(reading))

    def _fault(self, kind: str) -> Any:
        match kind:
            case "landing":
                return landing_later(self.landings)
            case "gate" | "gate lost":
                gate = Gate()
                self.gates.append(gate)
                return held(gate) if kind == "gate" else held_then_lost(gate)
            case _:
                return {"lost": lost, "persisted": persisted, "silent": silent, "busy": busy}[kind]

    def _open(self) -> None:
        for gate in self.gates:
            gate.open()

    async def end(self) -> None:
        """Everything works again: everyone is answered, and every lane comes to rest."""
        await asyncio.sleep(0)
        self.store.faults.clear()
        self.store.failing.clear()
        self.store.blind = 0
        self._open()
        await until(lambda: all(each.done() for *_, each in self.begun) and all(each.done() for each in self.reading))
        await until(lambda: not any(instance.corridor.waiting for instance in self.instances))
        for instance in self.instances:
            assert await instance.corridor.close(timeout_seconds=CONDITION_SECONDS_MAX)

    async def agrees(self) -> None:
        expected: set[tuple[str, str, str]] = set()
        for tenant in TENANTS:
            receipts = await ledger(self.store, tenant)
            sent: dict[str, list[Command]] = {}
            for where, key, command, _ in self.begun:
                if where == tenant:
                    sent.setdefault(key, []).append(command)
            model = check(receipts, sent)
            assert model.used <= LIMIT
            stored = {receipt.hash for receipt in receipts}
            times = Counter(receipt.command_id for receipt in receipts)
            for key, asked in sent.items():
                outcomes = [
                    (command, running) for where, same, command, running in self.begun if (where, same) == (tenant, key)
                ]
                self._told(key, outcomes, stored, times[key], len({digest_of(each) for each in asked}))
            expected |= {(tenant, f"entitlement/{name}", due) for name, due in model.expires.items()}
        assert await self._due_rows() == expected

    def _told(self, key: str, outcomes: list[Any], stored: set[str], times: int, contents: int) -> None:
        withdrawn = 0
        for command, running in outcomes:
            error = asyncio.CancelledError() if running.cancelled() else running.exception()
            if error is None:
                receipt = running.result().receipt
                assert receipt.hash in stored
                assert receipt.command_id == key
                assert digest_of(command).encode() in receipt.body
            elif isinstance(error, IdempotencyKeyReused):
                assert contents > 1
            elif isinstance(error, WITHDRAWN):
                withdrawn += not isinstance(error, asyncio.CancelledError)
            else:
                assert isinstance(error, OutcomeUnknown), error
        if withdrawn == len(outcomes):
            assert times == 0, f"{key} was withdrawn, and is stored"

    async def _due_rows(self) -> set[tuple[str, str, str]]:
        far = plus_seconds(moment_of(START), 10**6)
        return {(row.tenant, row.due.subject, row.due.due) for row in await self.store.real.lease(100, 1.0, far)}


async def _run(table: list[Command], steps: list[tuple[Any, ...]]) -> None:
    real = await SQLiteStore.open(None)
    try:
        store = FaultyStore(real, bounds=bounds_of(real, receipts_per_tenant_max=4, appends_at_once_max=2))
        history = History(store, table)
        for step in steps:
            await history.step(*step)
        await history.end()
        await history.agrees()
        for instance in history.instances:
            assert [what for what, error in instance.witness.failures if not isinstance(error, StoreUnavailable)] == []
    finally:
        await real.aclose()


@pytest.mark.full
@settings(
    max_examples=size(short=150, full=5_000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    table=st.lists(commands(), min_size=27, max_size=27),
    steps=st.lists(STEPS, min_size=5, max_size=120),
)
def test_any_history_leaves_ledgers_that_the_plain_model_agrees_with(
    table: list[Command], steps: list[tuple[Any, ...]]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(corridor_module, "SWEEP_SECONDS", 0.0)
        asyncio.run(_run(table, steps))
