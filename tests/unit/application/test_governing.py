"""Signals, actions and their timers on the write path: receipts, due rows, and what two instances may both say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.builders import CPU, HIGH, HOOK, after, governed, observed, rule
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import HandClock, Instance, ledger, until
from tests.unit.application.instance import opened as opened_with_executor

from tai_autonomics.application.corridor import CorridorBounds
from tai_autonomics.application.executor import ExecutorBounds
from tai_autonomics.application.importing import Import
from tai_autonomics.application.transfer import export, replay
from tai_autonomics.domain.actions import Action, Throttle
from tai_autonomics.domain.governor import (
    ApproveAction,
    BeginAttempt,
    InFlight,
    Observe,
    PauseGovernor,
    ReportResult,
    ResumeGovernor,
    action_of,
    status_of,
)
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.rules import Budget
from tai_autonomics.domain.tenant import Command
from tai_autonomics.ledger.receipt import read
from tai_autonomics.stores.sqlite.store import SQLiteStore

pytestmark = pytest.mark.anyio

PLANS = governed(rule(cooldown=60), budget=Budget(2, 3_600), failures=1)
FAR = "2027-01-01T00:00:00.000000Z"


@pytest.fixture
async def target() -> AsyncIterator[FaultyStore]:
    real = await SQLiteStore.open(None)
    yield FaultyStore(real)
    await real.aclose()


@asynccontextmanager
async def opened(store: FaultyStore, clock: HandClock | None = None, **rest: Any) -> AsyncIterator[Instance]:
    """An instance whose actions a test carries out by hand: its executor has no room."""
    bounds = ExecutorBounds(actions_in_hand_max=0)
    async with opened_with_executor(store, clock, executor_bounds=bounds, **rest) as one:
        yield one


async def in_flight(one: Instance) -> InFlight:
    action = (await one.corridor.durable("acme")).state.governor.in_flight
    assert action is not None
    return action


async def rows(store: FaultyStore) -> dict[tuple[str, str], str]:
    return {(row.due.subject, row.due.kind): row.due.due for row in await store.real.lease(100, 0.001, FAR)}


async def begin(one: Instance, action: ActionId, attempt: int = 1, **rest: str) -> bool:
    """Whether this instance's own word was appended, so that it may reach out."""
    answer = await one.submit(BeginAttempt(action, attempt, {}), id=f"action:{action}:{attempt}:attempt", **rest)
    return not answer.replayed and answer.receipt.type == "action_attempt"


async def report(one: Instance, action: ActionId, outcome: str, attempt: int = 1) -> str:
    command = ReportResult(action, attempt, outcome, "detail", 7)  # type: ignore[arg-type]
    return (await one.submit(command, id=f"action:{action}:{attempt}:result")).receipt.type


async def test_a_signal_leads_to_an_action_with_a_row_for_the_executor_and_each_step_to_a_receipt(
    store: FaultyStore,
) -> None:
    async with opened(store, plans_in_force=PLANS) as one:
        await one.grant()
        asking = (await one.submit(observed(99))).receipt
        action = await in_flight(one)
        granted = (await ledger(store))[0]
        assert action.id == f"{granted.ledger}-2-{granted.hash[:12]}"
        assert await rows(store) == {
            (f"action/{action.id}", "attempt"): after(10),
            (f"action/{action.id}", "deadline"): after(630),
        }
        assert await begin(one, action.id)
        assert list(await rows(store)) == [(f"action/{action.id}", "attempt_lease")]
        assert await report(one, action.id, "succeeded") == "action_result"
        assert await rows(store) == {}
        about = await store.receipts("acme", 0, 10, subject=f"action/{action.id}")
        assert [each.type for each in about] == ["action_attempt", "action_result"]
        assert (asking.type, asking.subject_kind, asking.subject_id) == ("transition", "governor", "autonomic")


async def test_what_an_actuator_is_given_is_in_the_state() -> None:
    action = InFlight(ActionId("a"), HIGH, HOOK, 3, 10, after(0), CPU, "99", deadline=after(630))
    assert action_of(action, "acme") == Action(
        ActionId("a"), "acme", HIGH, HOOK, 3, 10, after(630), after(0), CPU, "99"
    )


async def test_of_two_instances_that_begin_the_same_attempt_one_reaches_out(store: FaultyStore) -> None:
    """
    Each says who it is: the corridor takes a stored receipt for its own by its bytes, and what two instances say of one
    attempt in one microsecond must not have the same.
    """
    async with (
        opened(store, plans_in_force=PLANS) as one,
        opened(store, plans_in_force=PLANS) as other,
    ):
        await one.grant()
        await one.submit(observed(99))
        action = await in_flight(one)
        assert sorted(await asyncio.gather(begin(one, action.id, by="one"), begin(other, action.id, by="other"))) == [
            False,
            True,
        ]
        assert (await in_flight(one)).attempts == 1


async def test_an_attempt_that_nobody_reports_is_lost_by_a_timer_and_its_late_result_is_recorded(
    store: FaultyStore,
) -> None:
    clock = HandClock()
    async with opened(store, clock, plans_in_force=PLANS) as one:
        await one.grant()
        await one.submit(observed(99))
        action = await in_flight(one)
        assert await begin(one, action.id)
    clock.advance(21)
    async with opened(store, clock, plans_in_force=PLANS) as again:
        assert await again.timers.wake_due() == 1
        await until(lambda: again.witness.count("sealed") == 1)
        lost = (await ledger(store))[-1]
        assert (lost.type, lost.command_id) == ("action_result", f"timer:action/{action.id}:attempt_lease:{after(20)}")
        assert await rows(store) == {
            (f"action/{action.id}", "attempt"): after(21),
            (f"action/{action.id}", "deadline"): after(630),
        }
        assert await report(again, action.id, "succeeded") == "action_result"
        assert status_of((await again.corridor.durable("acme")).state.governor) == "stable"


async def test_the_end_of_a_budgets_window_and_of_a_throttle_are_timers_receipts(store: FaultyStore) -> None:
    clock = HandClock()
    throttle = governed(rule(cooldown=60, order=Throttle(5, 60, 300)), budget=Budget(1, 3_600))
    async with opened(store, clock, plans_in_force=throttle) as one:
        await one.grant()
        await one.submit(observed(99))
        action = await in_flight(one)
        target: dict[str, str | int | bool] = {"requests": 5, "per_seconds": 60, "until": after(300)}
        await one.submit(BeginAttempt(action.id, 1, target))
        await report(one, action.id, "succeeded")
        clock.advance(60)
        await one.submit(observed(99))
        assert status_of((await one.corridor.durable("acme")).state.governor) == "refusing"
        clock.advance(3_600)
        assert await one.timers.wake_due() == 2
        await until(lambda: one.witness.count("sealed") == 7)
        ids = [each.command_id for each in (await ledger(store))[-2:]]
        assert ids == [
            f"timer:governor:throttle_end:{after(300)}",
            "timer:governor:budget_end:2026-11-24T13:00:00.000000Z",
        ]
        assert status_of((await one.corridor.durable("acme")).state.governor) == "stable"


@pytest.mark.parametrize("snapshot_receipts", [1, 200])
async def test_a_governor_survives_restarts_moves_and_snapshots(
    store: FaultyStore, target: FaultyStore, snapshot_receipts: int
) -> None:
    bounds, clock = CorridorBounds(snapshot_receipts=snapshot_receipts), HandClock()
    asks = governed(rule(mode="approve", order=Throttle(5, 60, 300)), budget=Budget(2, 3_600))
    async with opened(store, clock, plans_in_force=asks, bounds=bounds) as one:
        await one.grant()
        await one.submit(observed("81.5", 99, region="eu"))
    async with opened(store, clock, plans_in_force=asks, bounds=bounds) as again:
        action = await in_flight(again)
        approved = await again.submit(ApproveAction(action.id, "ann"))
        assert read(approved.receipt.body)["decision"]["to"] == "ready"
        await again.submit(PauseGovernor())
        live = (await again.corridor.durable("acme")).state
    taking = Import(target)
    await taking.take([line async for line in export(store, "acme")])
    await taking.close()
    assert await rows(target) == await rows(store)
    for each in (store, target):
        replayed = await replay(each, "acme")
        assert replayed is not None
        assert replayed.agrees
        assert replayed.state == live


async def test_refusals_that_time_cures_leave_their_id_to_a_retry(store: FaultyStore) -> None:
    asks: Plans = governed(rule(mode="approve"))
    async with opened(store, plans_in_force=asks) as one:
        await one.grant()
        await one.submit(observed(99))
        action = await in_flight(one)
        await one.submit(PauseGovernor())
        approve: Command = ApproveAction(action.id, "ann")
        refused = await one.submit(approve, id="http:ann:1", request="a" * 64)
        assert (refused.receipt.type, refused.receipt.claims) == ("refusal", False)
        await one.submit(ResumeGovernor())
        approved = await one.submit(approve, id="http:ann:1", request="a" * 64)
        assert (approved.receipt.type, approved.receipt.claims, approved.replayed) == ("transition", True, False)


async def test_each_signal_that_is_refused_is_counted_with_its_reason_once_that_is_durable(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=PLANS) as one:
        await one.submit(observed(1, 2))
        await one.grant()
        await one.submit(observed(1, at=after(0)), id="http:me:first")
        old, unnamed = observed(2, at=after(-1)).signals, observed(3, 4, metric="none").signals
        await one.submit(Observe((*old, *unnamed, *observed(5, at=after(1)).signals)), id="http:me:some")
        await one.submit(observed(1, at=after(900)))
        # A repeat is told of once.
        again = await one.submit(Observe((*old, *unnamed, *observed(5, at=after(1)).signals)), id="http:me:some")
    assert again.replayed
    assert one.witness.told["signals_refused"] == [
        ("entitlement_inactive", 2),
        ("stale", 1),
        ("unknown_metric", 2),
        ("clock_skew", 1),
    ]
