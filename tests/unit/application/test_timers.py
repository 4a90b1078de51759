"""Tenants that nobody calls are woken by their due rows."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.builders import ENT
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import START, HandClock, Instance, ledger, opened, until
from tests.unit.application.test_executor import Hand, acting, alarm

from tai_autonomics.application import timers as timers_module
from tai_autonomics.application.corridor import CorridorBounds
from tai_autonomics.application.executor import ATTEMPT, ExecutorBounds
from tai_autonomics.application.timers import Timers
from tai_autonomics.domain.moments import moment_of, plus_seconds
from tai_autonomics.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

MOMENT = moment_of(START)


async def fill(store: FaultyStore, clock: HandClock, tenants: int) -> None:
    async with opened(store, clock) as before:
        for number in range(tenants):
            await before.grant(f"t{number}", expires_at=plus_seconds(MOMENT, 10 + number))


async def test_every_due_tenant_is_woken_after_a_restart_and_the_others_are_not(store: FaultyStore) -> None:
    clock = HandClock()
    await fill(store, clock, 4)
    clock.advance(12)
    async with opened(store, clock) as one:
        assert await one.timers.wake_due() == 3
        await until(lambda: one.witness.count("sealed") == 3)
        assert one.corridor.lanes == 3
        assert await one.timers.wake_due() == 0
    assert [len(await ledger(store, f"t{number}")) for number in range(4)] == [2, 2, 2, 1]


async def test_a_row_is_leased_to_one_instance_and_comes_again_if_that_one_dies(store: FaultyStore) -> None:
    clock = HandClock()
    await fill(store, clock, 1)
    clock.advance(60)
    leased = await store.real.lease(10, timers_module.LEASE_SECONDS, plus_seconds(MOMENT, 60))
    assert len(leased) == 1
    async with opened(store, clock) as one:
        assert await one.timers.wake_due() == 0
        clock.advance(timers_module.LEASE_SECONDS + 1)
        assert await one.timers.wake_due() == 1
        await until(lambda: one.witness.count("sealed") == 1)


async def test_an_instance_whose_clock_is_behind_decides_what_it_leased_as_soon_as_its_clock_comes_there(
    store: FaultyStore,
) -> None:
    stores, ours = HandClock(), HandClock()
    await fill(store, stores, 2)
    stores.advance(11)
    ours.advance(7)
    async with opened(store, ours) as one:
        assert await one.timers.wake_due() == 2
        stores.advance(3)
        ours.advance(3)
        assert await one.timers.wake_due() == 0
        await until(lambda: one.witness.count("sealed") == 1)
        ours.advance(1)
        assert await one.timers.wake_due() == 0
        await until(lambda: one.witness.count("sealed") == 2)


async def test_an_instance_without_room_wakes_its_tenants_and_leaves_attempts_to_another(store: FaultyStore) -> None:
    hanging, found, clock = Hand(None), Hand(), HandClock()
    await fill(store, clock, 2)
    bounds = ExecutorBounds(actions_in_hand_max=1)
    async with acting(store, hanging, clock, executor_bounds=bounds) as one, acting(store, found, clock) as other:
        await alarm(one, "acme")
        await until(lambda: hanging.tried)
        await alarm(one, "beta")
        clock.advance(11)
        sealed = one.witness.count("sealed")
        assert await one.timers.wake_due() == 2
        await until(lambda: one.witness.count("sealed") == sealed + 2)
        assert await other.timers.wake_due() == 1
        await until(lambda: found.tried)


async def test_an_instance_leases_no_more_attempts_than_it_has_room_for(store: FaultyStore) -> None:
    few, found, clock = Hand(None, None), Hand(None, None), HandClock()
    bounds = ExecutorBounds(actions_in_hand_max=2)
    async with acting(store, Hand(), clock, executor_bounds=ExecutorBounds(actions_in_hand_max=0)) as first:
        for number in range(4):
            await alarm(first, f"t{number}")
    clock.advance(11)
    async with acting(store, few, clock, executor_bounds=bounds) as one, acting(store, found, clock) as other:
        assert await one.timers.wake_due() == 2
        assert await other.timers.wake_due() == 2
        await until(lambda: (len(few.tried), len(found.tried)) == (2, 2))


async def test_timers_that_are_leased_are_woken_though_the_attempts_cannot_be(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, lease = HandClock(), store.lease
    await fill(store, clock, 1)
    clock.advance(11)

    async def timers_alone(*args: Any, kinds: Sequence[str], **rest: Any) -> Any:
        if ATTEMPT in kinds:
            raise StoreUnavailable("lease fails")
        return await lease(*args, kinds=kinds, **rest)

    monkeypatch.setattr(store, "lease", timers_alone)
    async with opened(store, clock, executor_bounds=ExecutorBounds(actions_in_hand_max=1)) as one:
        assert await one.timers.wake_due() == 1
        await until(lambda: one.witness.count("sealed") == 1)
        assert one.witness.told["store_failed"] == [("lease",)]


async def test_a_stopping_instance_leases_nothing(store: FaultyStore) -> None:
    clock = HandClock()
    await fill(store, clock, 1)
    clock.advance(60)
    async with opened(store, clock) as stopping, opened(store, clock) as one:
        stopping.executor.stop_taking()
        assert await stopping.timers.wake_due() == 0
        assert await one.timers.wake_due() == 1


async def test_it_polls_until_it_is_cancelled_and_at_once_where_more_is_due(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    await fill(store, clock, 5)
    clock.advance(60)
    monkeypatch.setattr(timers_module, "LEASED_MAX", 2)
    async with opened(store, clock) as one:
        polling = asyncio.get_running_loop().create_task(one.timers.run())
        await until(lambda: one.witness.count("sealed") == 5)
        polling.cancel()
        await asyncio.wait([polling])
        assert polling.cancelled()


async def test_a_store_that_fails_or_a_clock_that_jumped_is_told_and_the_next_poll_works(store: FaultyStore) -> None:
    clock = HandClock()
    await fill(store, clock, 1)
    async with opened(store, clock) as one:
        polling = asyncio.get_running_loop().create_task(
            Timers(
                store,
                one.corridor,
                one.executor,
                one.freshness,
                clock=one.sealing_clock,
                observer=one.witness,
                poll_seconds=0,
            ).run()
        )
        store.failing["lease"] = 1
        clock.jump(1_000)
        await until(lambda: one.witness.failures)
        clock.jump(-1_000)
        clock.advance(60)
        await until(lambda: one.witness.count("sealed") == 1)
        polling.cancel()
        await asyncio.wait([polling])


async def test_a_tenant_that_finds_no_lane_is_told_and_the_others_are_woken(store: FaultyStore) -> None:
    clock = HandClock()
    await fill(store, clock, 3)
    clock.advance(60)
    async with opened(store, clock, bounds=CorridorBounds(lanes_max=2)) as one:
        assert await one.timers.wake_due() == 3
        await until(lambda: one.witness.count("sealed") == 2)
        assert [what for what, _ in one.witness.failures] == ["timers"]


async def test_waking_a_tenant_with_nothing_due_changes_nothing(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    one.corridor.wake("acme")
    one.corridor.wake("nobody")
    await until(lambda: one.corridor.lanes == 2)
    assert [each.subject_id for each in await ledger(store)] == [ENT]
    assert await ledger(store, "nobody") == ()
