"""A check answers from a state that is new enough, or says that it may not be."""

import asyncio

import pytest
from msgspec import UNSET
from msgspec.structs import replace
from tests.builders import CALLS, ENT, PRO, plan, plans, quota
from tests.unit.application.faulty_store import FaultyStore, Gate, held
from tests.unit.application.instance import HandClock, consume, opened

from tai_autonomics.application import freshness as freshness_module
from tai_autonomics.domain.plans import OnStale, Plans
from tai_autonomics.domain.tenant import Check
from tai_autonomics.ledger.records import Head, Receipt

pytestmark = pytest.mark.anyio


async def test_a_state_confirmed_a_moment_ago_asks_nothing(store: FaultyStore) -> None:
    async with opened(store) as one:
        await one.grant()
        store.reads.clear()
        one.clock.advance(1)
        assert (await one.queries.check("acme", (Check(entitlement_id=ENT),))).results[0].allowed
        assert store.reads == []


async def test_an_older_state_takes_up_what_another_instance_wrote(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock) as one, opened(store, clock) as other:
        await one.grant()
        await other.submit(consume(100))
        clock.advance(1.5)
        answer = await one.queries.check("acme", (Check(quota=CALLS),))
        assert (answer.seq, answer.stale, answer.results[0].reason) == (2, False, "quota_exceeded")
        store.reads.clear()
        assert (await one.queries.check("acme", (Check(quota=CALLS),))).seq == 2
        assert store.reads == [], "it is confirmed now"
        await one.submit(consume(1))
        assert one.witness.count("conflicted") == 0, "its lane went on from what it took up"


async def test_a_newest_state_is_confirmed_by_one_read_for_everyone_who_waits(store: FaultyStore) -> None:
    async with opened(store) as one:
        for tenant in "abc":
            await one.grant(tenant)
        one.clock.advance(2)
        store.reads.clear()
        await asyncio.gather(*(one.queries.check(tenant, (Check(),)) for tenant in "abcabc"))
        assert store.reads == ["heads"]


async def test_a_tenant_without_a_ledger_is_compared_too(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock) as one, opened(store, clock) as other:
        assert not (await one.queries.check("acme", (Check(),))).results[0].allowed
        await other.grant()
        clock.advance(2)
        answer = await one.queries.check("acme", (Check(entitlement_id=ENT),))
        assert (answer.seq, answer.results[0].allowed, answer.stale) == (1, True, False)


@pytest.mark.parametrize(("on_stale", "allowed"), [("allow", True), ("deny", False)])
async def test_where_the_store_cannot_be_asked_the_plan_says_what_holds(
    store: FaultyStore, on_stale: OnStale, allowed: bool
) -> None:
    async with opened(store, plans_in_force=plans_that(on_stale)) as one:
        await one.grant()
        one.clock.advance(2)
        store.failing["heads"] = 1
        answer = await one.queries.check("acme", (Check(entitlement_id=ENT),))
        assert (answer.stale, answer.results[0].allowed) == (True, allowed)
        assert answer.results[0].reason == (None if allowed else "state_is_stale")
        assert not (await one.queries.check("acme", (Check(entitlement_id=ENT),))).stale
        assert one.witness.told["store_failed"] == [("heads",)]


async def test_a_store_that_does_not_answer_in_time_leaves_it_stale(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(tenants: object) -> dict[str, Head]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(freshness_module, "COMPARE_SECONDS_MAX", 0.001)
    async with opened(store) as one:
        await one.grant()
        one.clock.advance(2)
        store.heads = hangs  # type: ignore[method-assign,assignment]
        assert (await one.queries.check("acme", (Check(entitlement_id=ENT),))).stale


async def test_a_tenant_is_shown_with_the_word_that_it_may_not_be_the_newest(store: FaultyStore) -> None:
    async with opened(store) as one:
        await one.grant()
        one.clock.advance(2)
        store.failing["heads"] = 1
        stale, newest = await one.queries.tenant("acme"), await one.queries.tenant("acme")
    assert stale is not None
    assert newest is not None
    assert (stale.stale, newest.stale) == (True, UNSET)
    assert replace(stale, stale=UNSET) == newest


async def test_a_reading_that_takes_too_long_is_not_cut_off_and_is_one_for_everyone_who_waits(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, read, begun, ended = Gate(), store.receipts, 0, 0

    async def slow(tenant: str, after: int, limit: int) -> tuple[Receipt, ...]:
        nonlocal begun, ended
        begun += 1
        await gate.passed()
        ended += 1
        return await read(tenant, after, limit)

    monkeypatch.setattr(freshness_module, "COMPARE_SECONDS_MAX", 0.001)
    clock = HandClock()
    async with opened(store, clock) as one, opened(store, clock) as other:
        await one.grant()
        await other.submit(consume(1))
        clock.advance(2)
        monkeypatch.setattr(store, "receipts", slow)
        # On a busy machine the first question may have run out of time before the reading begins.
        while not begun:
            assert (await one.queries.check("acme", (Check(quota=CALLS),))).stale
        for _ in range(3):
            assert (await one.queries.check("acme", (Check(quota=CALLS),))).stale
        assert (begun, ended) == (1, 0)
        monkeypatch.setattr(freshness_module, "COMPARE_SECONDS_MAX", 10)
        gate.open()
        answer = await one.queries.check("acme", (Check(quota=CALLS),))
        assert (answer.seq, answer.stale) == (2, False)
        assert begun == ended


async def test_a_store_that_went_back_is_told_and_what_it_held_is_not_taken_for_the_newest(store: FaultyStore) -> None:
    async def nothing(tenants: object) -> dict[str, Head]:
        return {}

    async with opened(store) as one:
        await one.grant()
        one.clock.advance(2)
        store.heads = nothing  # type: ignore[method-assign]
        assert (await one.queries.check("acme", (Check(entitlement_id=ENT),))).stale
        assert one.witness.told["went_back"] == [("acme",)]


async def test_a_lane_at_work_is_not_disturbed(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock) as one, opened(store, clock) as other:
        await one.grant()
        await other.submit(consume(1))
        clock.advance(2)
        gate = Gate()
        store.faults.append(held(gate))
        waiting = one.begin(consume(1))
        await gate.reached.wait()
        answer = await one.queries.check("acme", (Check(quota=CALLS),))
        assert (answer.seq, answer.stale) == (2, False)
        gate.open()
        assert (await waiting).receipt.seq == 3
        assert (one.witness.count("conflicted"), one.witness.count("went_back")) == (1, 0)


def plans_that(on_stale: OnStale) -> Plans:
    return plans(plan(PRO, quota(limit=100), on_stale=on_stale))
