"""The store fails, or says nothing, or says something else: what is stored and what is told agree afterwards."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace
from tests.builders import CALLS, ENT, PRO
from tests.unit.application.faulty_store import (
    Fault,
    FaultyStore,
    Gate,
    after,
    broken,
    busy,
    held,
    held_then,
    held_then_lost,
    landing_later,
    lost,
    persisted,
    silent,
)
from tests.unit.application.instance import START, HandClock, Instance, consume, decided, ledger, opened, until, verify

from tai_autonomics.application.corridor import CorridorBounds
from tai_autonomics.application.importing import Import
from tai_autonomics.application.transfer import export
from tai_autonomics.domain.entitlement import Grant
from tai_autonomics.domain.identifiers import EntitlementId
from tai_autonomics.domain.moments import moment_of, plus_seconds
from tai_autonomics.domain.quota import Release
from tai_autonomics.errors import (
    ConcurrentWrite,
    LedgerNewerThanCode,
    OutcomeUnknown,
    StoreUnavailable,
)
from tai_autonomics.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

MOMENT = moment_of(START)
FORGETFUL = CorridorBounds(recent_ids_max=1)


# ---- lost, or persisted


@pytest.mark.parametrize("fault", [lost, persisted, silent, busy, broken])
async def test_a_command_whose_append_failed_gets_its_one_receipt(
    store: FaultyStore, one: Instance, fault: Fault
) -> None:
    await one.grant()
    store.faults.append(fault)
    answers = await asyncio.gather(one.submit(consume(3), id="a"), one.submit(consume(4), id="b"))
    assert [(each.receipt.command_id, each.receipt.seq, each.replayed) for each in answers] == [
        ("a", 2, False),
        ("b", 3, False),
    ]
    assert [each.receipt for each in answers] == list((await ledger(store))[1:])
    assert (await one.corridor.durable("acme")).state.quotas[CALLS].used == 7


@pytest.mark.parametrize("faults", [[lost, lost, persisted], [busy, lost, busy], [lost, persisted], [silent, lost]])
async def test_several_faults_in_a_row_make_no_second_receipt(
    store: FaultyStore, one: Instance, faults: list[Fault]
) -> None:
    await one.grant()
    store.faults.extend(faults)
    await asyncio.gather(*(one.submit(consume()) for _ in range(20)))
    assert len(await ledger(store)) == 21


async def test_what_was_lost_is_sent_again_as_the_same_bytes(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    store.faults.append(lost)
    answer = await one.submit(verify())
    first, again = store.appends[-2:]
    assert first[0].receipts == again[0].receipts == (answer.receipt,)


async def test_what_was_decided_behind_an_unknown_outcome_stays_decided(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    gate = Gate()
    store.faults.append(held_then_lost(gate))
    first = one.begin(consume(60))
    await gate.reached.wait()
    second = one.begin(consume(40))
    await decided()
    gate.open()
    assert [(await each).receipt.seq for each in (first, second)] == [2, 3]
    await ledger(store)


async def test_a_read_that_sees_nothing_proves_nothing(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    store.faults.append(persisted)
    store.blind = 1
    answers = await asyncio.gather(one.submit(consume(3)), one.submit(consume(4)))
    assert [(each.receipt.seq, each.replayed) for each in answers] == [(2, False), (3, False)]
    assert len(await ledger(store)) == 3


async def test_an_unclaimed_refusal_of_unknown_outcome_is_not_sealed_twice(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    await one.submit(consume(100))
    store.faults.append(persisted)
    store.blind = 1
    refused, beside = await asyncio.gather(one.submit(consume(5), id="k"), one.submit(verify()))
    assert json.loads(refused.receipt.body)["refusal"]["reason"] == "quota_exceeded"
    assert (refused.receipt.seq, beside.receipt.seq) == (3, 4)
    assert [each.command_id for each in await ledger(store)].count("k") == 1


async def test_reads_that_fail_while_reading_back_are_tried_again(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    store.faults.append(persisted)
    store.failing["receipts"] = 5
    assert (await one.submit(verify())).receipt.seq == 2
    assert one.witness.told["store_failed"].count(("receipts",)) == 5


async def test_a_commit_that_lands_later_is_met_by_the_one_sent_again(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    landings: list[Callable[[], Awaitable[None]]] = []
    store.faults.append(landing_later(landings))
    store.faults.append(after(lambda: landings[0]()))
    answer = await one.submit(consume(9), id="k")
    assert (answer.receipt.seq, answer.replayed) == (2, False)
    assert len(await ledger(store)) == 2


async def test_a_cold_lane_reads_again_until_its_ledger_can_be_read(store: FaultyStore, one: Instance) -> None:
    store.failing["read"] = 4
    assert (await one.grant()).seq == 1


async def test_a_reader_waits_for_a_ledger_that_cannot_be_read_no_longer_than_it_said(
    store: FaultyStore, one: Instance
) -> None:
    store.holding = Gate()
    with pytest.raises(StoreUnavailable):
        await one.corridor.durable("acme", timeout_seconds=0.001)
    store.holding.open()


# ---- what a caller is told


async def test_the_outcome_of_an_append_that_failed_stays_unknown_at_the_deadline(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    store.faults.append(persisted)
    store.failing["receipts"] = 10**9
    late = one.begin(verify(), id="k", seconds=5)
    await until(lambda: one.witness.told.get("store_failed", []).count(("receipts",)) > 2)
    one.clock.advance(6)
    with pytest.raises(OutcomeUnknown):
        await late
    store.failing.clear()
    again = await one.submit(verify(), id="k")
    assert (again.receipt.seq, again.replayed) == (2, True)
    assert len(await ledger(store)) == 2


async def test_a_lost_command_that_nobody_waits_for_any_more_is_decided_anew_when_it_comes_again(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    gate = Gate()
    store.faults.append(held_then_lost(gate))
    late = one.begin(verify(), id="k", seconds=5)
    await gate.reached.wait()
    one.clock.advance(6)
    with pytest.raises(OutcomeUnknown):
        await late
    gate.open()
    await until(lambda: one.corridor.waiting == 0)
    again = await one.submit(verify(), id="k")
    assert (again.receipt.seq, again.replayed) == (2, False)


async def test_busy_after_an_unknown_outcome_does_not_make_it_known(store: FaultyStore, one: Instance) -> None:
    """The first transaction may be what the store is busy with."""
    await one.grant()
    landings: list[Callable[[], Awaitable[None]]] = []
    store.faults.extend([landing_later(landings), *([busy] * 10_000)])
    late = one.begin(verify(), id="k", seconds=5)
    await until(lambda: len(store.appends) > 5)
    one.clock.advance(6)
    with pytest.raises(OutcomeUnknown):
        await late
    await landings[0]()
    store.faults.clear()
    again = await one.submit(verify(), id="k")
    assert (again.receipt.seq, again.replayed) == (2, True)
    assert len(await ledger(store)) == 2


async def test_a_command_that_met_only_busy_is_withdrawn_as_a_conflict_and_never_stored(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    one.pause_after_conflicts()
    store.faults.extend([busy] * 10_000)
    late = one.begin(verify(), id="k", seconds=5)
    await until(lambda: len(store.appends) > 5)
    one.clock.advance(6)
    with pytest.raises(ConcurrentWrite):
        await late
    store.faults.clear()
    await one.submit(consume())
    assert "k" not in [each.command_id for each in await ledger(store)]


async def test_what_is_decided_behind_what_is_in_doubt_is_taken_back_alone(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    store.faults.append(persisted)
    store.failing["receipts"] = 10**9
    doubted = one.begin(consume(10), id="doubted", seconds=60)
    await until(lambda: one.witness.count("store_failed") > 2)
    behind = one.begin(consume(20), id="behind", seconds=5)
    await decided()
    one.clock.advance(6)
    with pytest.raises(StoreUnavailable):
        await behind
    store.failing.clear()
    assert (await doubted).receipt.seq == 2
    assert [each.command_id for each in await ledger(store)][1:] == ["doubted"]


async def test_nothing_in_doubt_is_decided_again_before_its_place_is_known(store: FaultyStore, one: Instance) -> None:
    """A deadline behind it may not change its bytes: they are perhaps stored."""
    await one.grant()
    store.faults.extend([persisted, *([busy] * 10_000)])
    store.blind = 1
    doubted = one.begin(consume(10), id="doubted", seconds=60)
    await until(lambda: len(store.appends) > 3)
    behind = one.begin(consume(20), id="behind", seconds=5)
    await decided()
    one.clock.advance(6)
    with pytest.raises((StoreUnavailable, ConcurrentWrite)):
        await behind
    store.faults.clear()
    assert (await doubted).receipt.seq == 2
    assert {each[0].receipts[0].hash for each in store.appends[1:]} == {(await ledger(store))[1].hash}


async def test_doubt_ends_with_the_receipts_that_it_was_about(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    store.faults.append(persisted)
    await asyncio.gather(*(one.submit(consume()) for _ in range(3)))
    gate = Gate()
    store.faults.append(held(gate))
    sent = one.begin(verify(), seconds=60)
    await gate.reached.wait()
    behind = one.begin(consume(), seconds=5)
    await decided()
    one.clock.advance(6)
    with pytest.raises(StoreUnavailable):
        await behind
    gate.open()
    await sent
    assert len(await ledger(store)) == 5


async def test_doubt_ends_when_another_holds_the_place(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    gates = Gate(), Gate()
    async with opened(store.real) as other:
        store.faults.extend([held_then(gates[0], lost), held(gates[1])])
        leaving = [one.begin(consume()) for _ in range(3)]
        staying = one.begin(verify(), seconds=60)
        await gates[0].reached.wait()
        await other.submit(verify())
        for each in leaving:
            each.cancel()
        await asyncio.wait(leaving)
        gates[0].open()
        await gates[1].reached.wait()
    behind = one.begin(consume(), seconds=5)
    await decided()
    one.clock.advance(6)
    with pytest.raises(StoreUnavailable):
        await behind
    gates[1].open()
    assert (await staying).receipt.seq == 3
    assert len(await ledger(store)) == 3


async def test_own_receipts_are_known_though_fewer_of_them_were_sent_again(store: FaultyStore) -> None:
    gates = Gate(), Gate()
    async with opened(store, bounds=CorridorBounds(append_receipts_max=10)) as one:
        for tenant in ("a", "b", "c"):
            await one.corridor.durable(tenant)
        store.faults.extend([held_then(gates[0], persisted), held(gates[1])])
        begun = [one.begin(Grant(EntitlementId(f"e{n}"), PRO), tenant="a") for n in range(6)]
        await gates[0].reached.wait()
        for tenant, count in (("b", 10), ("c", 8)):
            begun += [one.begin(Grant(EntitlementId(f"e{n}"), PRO), tenant=tenant) for n in range(count)]
        await decided()
        store.blind = 1
        gates[0].open()
        await gates[1].reached.wait()
        await decided()
        gates[1].open()
        answers = await asyncio.gather(*begun)
        assert [(each.receipt.seq, each.replayed) for each in answers[:6]] == [(n, False) for n in range(1, 7)]
        sizes = [{each.tenant: len(each.receipts) for each in batch} for batch in store.appends]
        assert sizes == [{"a": 6}, {"b": 10}, {"c": 8, "a": 2}]
    await ledger(store, "a")


# ---- timers


@pytest.mark.parametrize("fault", [lost, persisted, busy])
async def test_a_timer_whose_append_failed_fires_once(store: FaultyStore, one: Instance, fault: Fault) -> None:
    await one.grant(expires_at=plus_seconds(MOMENT, 30))
    one.clock.advance(60)
    store.faults.append(fault)
    assert await one.timers.wake_due() == 1
    async with asyncio.timeout(20):
        while len(await store.real.receipts("acme", 1, 10)) < 1:
            await asyncio.sleep(0)
    await until(lambda: one.corridor.waiting == 0)
    refused = await one.submit(verify())
    assert refused.receipt.type == "refusal"
    assert [each.command_id for each in await ledger(store)][1:-1] == [
        f"timer:entitlement/{ENT}:expire:{plus_seconds(MOMENT, 30)}"
    ]
    assert await store.real.lease(10, 1.0, plus_seconds(MOMENT, 10_000)) == ()


async def test_waking_fails_quietly_while_the_store_does_and_works_at_the_next_lease(
    store: FaultyStore, clock_of: HandClock
) -> None:
    async with opened(store, clock_of) as before:
        await before.grant(expires_at=plus_seconds(MOMENT, 30))
    clock_of.advance(60)
    async with opened(store, clock_of) as one:
        store.failing["read"] = 1
        assert await one.timers.wake_due() == 1
        await until(lambda: one.corridor.lanes == 0)
        clock_of.advance(60)
        assert await one.timers.wake_due() == 1
        await until(lambda: one.witness.count("sealed") == 1)
    assert len(await ledger(store)) == 2


@pytest.fixture
def clock_of() -> HandClock:
    return HandClock()


# ---- ledgers that cannot be used


async def test_an_event_of_a_newer_release_closes_that_tenant_alone(store: FaultyStore, one: Instance) -> None:
    await one.grant("newer")
    await one.grant("other")
    real = store.real.read

    async def newer(tenant: str) -> object:
        found = await real(tenant)
        if tenant != "newer" or found is None:
            return found
        body = found.receipts[-1].body.replace(b"EntitlementGranted", b"EntitlementGifted")
        return replace(found, receipts=(*found.receipts[:-1], replace(found.receipts[-1], body=body)))

    store.read = newer  # type: ignore[method-assign, assignment]
    async with opened(store) as again:
        commands = [again.begin(verify(), tenant="newer") for _ in range(3)]
        outcomes = await asyncio.gather(*commands, return_exceptions=True)
        assert [type(each) for each in outcomes] == [LedgerNewerThanCode] * 3
        with pytest.raises(LedgerNewerThanCode):
            await again.queries.check("newer", ())
        assert (await again.submit(verify(), tenant="other")).receipt.seq == 2
        assert "load" in [what for what, _ in again.witness.failures]
        store.read = real  # type: ignore[method-assign]
        assert (await again.submit(verify(), tenant="newer")).receipt.seq == 2


async def test_a_body_of_a_newer_version_is_not_taken_for_one_that_is_known(store: FaultyStore) -> None:
    async with opened(store) as one:
        await one.grant()
    real = store.real.read

    async def newer(tenant: str) -> object:
        found = await real(tenant)
        assert found is not None
        body = found.receipts[0].body.replace(b'"v":1', b'"v":2')
        return replace(found, receipts=(replace(found.receipts[0], body=body),))

    store.read = newer  # type: ignore[method-assign, assignment]
    async with opened(store) as again:
        with pytest.raises(LedgerNewerThanCode):
            await again.submit(verify())


async def test_a_lane_whose_work_breaks_is_closed_and_nobody_waits_for_ever(store: FaultyStore) -> None:
    async def nonsense(tenant: str) -> object:
        raise ZeroDivisionError("a bug")

    real = store.read
    store.read = nonsense  # type: ignore[method-assign, assignment]
    async with opened(store) as one:
        with pytest.raises(ZeroDivisionError):
            await one.submit(verify())
        with pytest.raises(ZeroDivisionError):
            await one.corridor.durable("acme")
        store.read = real  # type: ignore[method-assign]
        await one.grant()


async def test_a_lane_that_breaks_in_doubt_tells_each_caller_what_is_known(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    real, gate = store.receipts, Gate()

    async def nonsense(*_: object, **__: object) -> object:
        await gate.passed()
        raise ZeroDivisionError("a bug")

    store.receipts = nonsense  # type: ignore[method-assign, assignment]
    store.faults.append(persisted)
    doubted = one.begin(verify(), id="k")
    await gate.reached.wait()
    behind = one.begin(consume())
    await decided()
    gate.open()
    outcomes = await asyncio.gather(doubted, behind, return_exceptions=True)
    assert [type(each) for each in outcomes] == [OutcomeUnknown, ZeroDivisionError]
    store.receipts = real  # type: ignore[method-assign]
    again = await one.submit(verify(), id="k")
    assert (again.receipt.seq, again.replayed) == (2, True)
    assert len(await ledger(store)) == 2


async def test_a_head_that_went_back_is_told_and_the_ledger_is_read_anew(store: FaultyStore) -> None:
    async with opened(store) as one:
        await one.grant()
        for _ in range(4):
            await one.submit(consume())
        await _cut(store, "acme", 3)
        answer = await one.submit(consume(), id="k")
        assert answer.receipt.seq == 4
        assert one.witness.told["went_back"] == [("acme",)]
        assert (await one.corridor.durable("acme")).state.quotas[CALLS].used == 3
    await ledger(store)


async def test_a_command_that_a_restore_lost_is_decided_anew(store: FaultyStore) -> None:
    async with opened(store) as one:
        await one.grant()
        await one.submit(consume(), id="kept")
        await one.submit(consume(), id="lost")
        await _cut(store, "acme", 2)
        with pytest.raises(OutcomeUnknown):  # nobody has noticed yet
            await one.submit(consume(), id="lost")
        await one.submit(verify())
        again = await one.submit(consume(), id="lost")
        assert (again.receipt.seq, again.replayed) == (4, False)
        kept = await one.submit(consume(), id="kept")
        assert (kept.receipt.seq, kept.replayed) == (2, True)
    await ledger(store)


async def test_a_repeat_never_gets_the_receipt_of_another_command(store: FaultyStore) -> None:
    async with opened(store) as one:
        await one.grant()
        await one.submit(consume(), id="lost")
        await _cut(store, "acme", 1)
        async with opened(store) as other:
            await other.submit(consume(), id="another")
        with pytest.raises(OutcomeUnknown):
            await one.submit(consume(), id="lost")


async def test_a_ledger_that_went_back_and_on_another_way_is_not_followed(store: FaultyStore) -> None:
    async with opened(store) as one:
        await one.grant()
        for _ in range(4):
            await one.submit(consume())
        await _cut(store, "acme", 2)
        async with opened(store) as other:
            for _ in range(6):
                await other.submit(consume(5))
        await one.submit(consume(), id="k")
        assert one.witness.told["went_back"] == [("acme",)]
        assert (await one.corridor.durable("acme")).state.quotas[CALLS].used == 32
    await ledger(store)


async def test_an_error_while_an_outcome_is_told_makes_the_lane_ask(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    tell, times = one.witness.sealed, []

    def breaks_once(type: str) -> None:
        times.append(type)
        if len(times) == 1:
            raise ZeroDivisionError("an observer's bug")
        tell(type)

    one.witness.sealed = breaks_once  # type: ignore[method-assign]
    first, second = await asyncio.gather(one.submit(verify()), one.submit(Grant(ENT, PRO), tenant="other"))
    assert (first.receipt.seq, second.receipt.seq) == (2, 1)
    await until(lambda: one.witness.failures)
    assert (await one.submit(verify())).receipt.seq == 3


# ---- repeats


async def test_an_old_id_among_new_ones_answers_itself_and_the_others_are_decided(store: FaultyStore) -> None:
    async with opened(store, bounds=FORGETFUL) as one:
        await one.grant()
        first = await one.submit(consume(5), id="old")
        await one.submit(verify())
        answers = await asyncio.gather(
            *(one.submit(consume(7), id=f"new-{n}") for n in range(3)),
            one.submit(consume(5), id="old"),
            *(one.submit(consume(9), id=f"newer-{n}") for n in range(3)),
        )
        assert [each.replayed for each in answers] == [False] * 3 + [True] + [False] * 3
        assert answers[3].receipt == first.receipt
        assert (await one.corridor.durable("acme")).state.quotas[CALLS].used == 5 + 3 * 7 + 3 * 9
    await ledger(store)


async def test_an_old_id_whose_append_failed_is_answered_all_the_same(store: FaultyStore) -> None:
    async with opened(store, bounds=FORGETFUL) as one:
        await one.grant()
        first = await one.submit(consume(5), id="old")
        await one.submit(verify())
        store.faults.extend([lost, persisted])
        again = await one.submit(consume(5), id="old")
        assert (again.receipt, again.replayed) == (first.receipt, True)
    assert len(await ledger(store)) == 3


async def test_an_unclaimed_refusal_whose_quota_was_freed_meanwhile_consumes_once(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    await one.submit(consume(100))
    await one.submit(consume(5), id="k")
    await one.submit(Release(CALLS, 50))
    store.faults.append(persisted)
    store.blind = 1
    answers = await asyncio.gather(*(one.submit(consume(5), id="k") for _ in range(3)))
    assert {each.receipt.seq for each in answers} == {5}
    assert (await one.corridor.durable("acme")).state.quotas[CALLS].used == 55


async def test_leaving_does_not_take_back_what_is_in_doubt(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    gate = Gate()
    store.faults.append(held(gate))
    leaving = one.begin(Grant(EntitlementId("ent_2"), PRO), id="k")
    await gate.reached.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    repeat = one.begin(Grant(EntitlementId("ent_2"), PRO), id="k")
    gate.open()
    assert (await repeat).receipt.command_id == "k"


async def _cut(store: FaultyStore, tenant: str, seq: int) -> None:
    """Put the store back to an earlier state, as a restore does."""
    lines = [line async for line in export(store.real, tenant)][:seq]
    earlier = await SQLiteStore.open(None)
    taking = Import(earlier)
    await taking.take(lines)
    await taking.close()
    await store.real.aclose()
    store.real = earlier
