"""The write path, as long as nobody else writes and the store works."""

import asyncio
import json

import pytest
from msgspec.structs import replace
from tests.builders import CALLS, ENT, PRO, plan, plans, quota
from tests.unit.application.faulty_store import FaultyStore, Gate, bounds_of, held, held_then_lost, told_late
from tests.unit.application.instance import (
    CONDITION_SECONDS_MAX,
    START,
    HandClock,
    Instance,
    consume,
    decided,
    ledger,
    opened,
    until,
    verify,
)

from tai_autonomics.application import corridor as corridor_module
from tai_autonomics.application.codec import events_of
from tai_autonomics.application.corridor import CorridorBounds, Submission
from tai_autonomics.domain.entitlement import EntitlementExpired, Grant, Renew, Suspend
from tai_autonomics.domain.identifiers import EntitlementId
from tai_autonomics.domain.moments import moment_of, plus_seconds
from tai_autonomics.domain.quota import Release
from tai_autonomics.domain.tenant import EffectivePlanChanged, LedgerRestored, Restore, RestoredHead
from tai_autonomics.errors import (
    ClockUntrusted,
    Draining,
    IdempotencyKeyReused,
    NotCanonical,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
)

pytestmark = pytest.mark.anyio

MOMENT = moment_of(START)
FORGETFUL = CorridorBounds(recent_ids_max=1)
"""Only the store knows an id for long."""


# ---- a lane a tenant


async def test_commands_of_a_tenant_are_decided_in_the_order_of_their_arrival(
    store: FaultyStore, one: Instance
) -> None:
    store.holding = Gate()
    waiting = [one.begin(Grant(EntitlementId(f"ent_{number}"), PRO)) for number in range(120)]
    await store.holding.reached.wait()
    store.holding.open()
    answers = await asyncio.gather(*waiting)
    assert [answer.receipt.seq for answer in answers] == list(range(1, 121))
    assert [each.subject_id for each in await ledger(store)] == [f"ent_{number}" for number in range(120)]


async def test_a_command_is_decided_on_the_state_that_the_one_before_will_leave(
    store: FaultyStore, one: Instance
) -> None:
    granted, consumed, suspended, refused = await asyncio.gather(
        one.submit(Grant(ENT, PRO)), one.submit(consume(7)), one.submit(Suspend(ENT)), one.submit(verify())
    )
    assert [each.receipt.type for each in (granted, consumed, suspended)] == ["transition"] * 3
    assert json.loads(refused.receipt.body)["refusal"]["reason"] == "entitlement_inactive"
    assert [len(batch[0].receipts) for batch in store.appends] == [4]


async def test_nobody_is_answered_and_nothing_is_shown_before_the_receipt_is_durable(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    gate = Gate()
    store.faults.append(held(gate))
    consuming = one.begin(consume(40))
    await gate.reached.wait()
    durable = await one.corridor.durable("acme")
    assert (durable.head.seq, durable.state.quotas) == (1, {})
    assert not consuming.done()
    gate.open()
    assert (await consuming).receipt.seq == 2
    assert (await one.corridor.durable("acme")).state.quotas[CALLS].used == 40


async def test_the_lanes_fill_the_next_append_while_one_is_under_way(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    gate = Gate()
    store.faults.append(held(gate))
    first = one.begin(verify())
    await gate.reached.wait()
    others = [one.begin(verify()) for _ in range(30)] + [one.begin(Grant(ENT, PRO), tenant="other")]
    await until(lambda: one.corridor.waiting == 32)
    gate.open()
    await asyncio.gather(first, *others)
    assert [sum(len(each.receipts) for each in batch) for batch in store.appends] == [1, 1, 31]


async def test_an_append_takes_no_more_of_one_tenant_than_the_store_does(store: FaultyStore, one: Instance) -> None:
    await asyncio.gather(*(one.submit(Grant(EntitlementId(f"ent_{n}"), PRO)) for n in range(120)))
    assert [len(each.receipts) for batch in store.appends for each in batch] == [50, 50, 20]


async def test_an_append_is_bounded_in_bytes_of_a_tenant_and_takes_at_least_one_receipt(store: FaultyStore) -> None:
    narrow = FaultyStore(store.real, bounds=bounds_of(store.real, bytes_per_tenant_max=1))
    async with opened(narrow) as one:
        await asyncio.gather(*(one.submit(Grant(EntitlementId(f"ent_{n}"), PRO)) for n in range(3)))
    assert [len(each.receipts) for batch in narrow.appends for each in batch] == [1, 1, 1]


async def test_the_parts_of_a_receipt_count_among_the_bytes_of_its_append(store: FaultyStore) -> None:
    narrow = FaultyStore(store.real, bounds=bounds_of(store.real, bytes_per_tenant_max=20_000))
    parts = (("metadata", b"{" + b" " * 8_000 + b"}"),)
    async with opened(narrow) as one:
        await asyncio.gather(*(one.submit(Grant(EntitlementId(f"ent_{n}"), PRO), parts=parts) for n in range(4)))
    assert [len(each.receipts) for batch in narrow.appends for each in batch] == [2, 2]


async def test_an_append_is_bounded_in_receipts_and_takes_of_the_lanes_in_turns(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(append_receipts_max=10)) as one:
        gate = Gate()
        for n in range(5):
            await one.corridor.durable(f"quiet-{n}")
        store.faults.append(held(gate))
        begun = [one.begin(Grant(EntitlementId(f"ent_{n}"), PRO), tenant="flood") for n in range(30)]
        await gate.reached.wait()
        begun += [one.begin(Grant(ENT, PRO), tenant=f"quiet-{n}") for n in range(5)]
        await decided()
        gate.open()
        await asyncio.gather(*begun)
    sizes = [{each.tenant: len(each.receipts) for each in batch} for batch in store.appends]
    assert sizes[0] == {"flood": 10}
    assert sizes[1] == {"quiet-0": 1, "quiet-1": 1, "quiet-2": 1, "quiet-3": 1, "quiet-4": 1, "flood": 5}
    assert all(sum(batch.values()) <= 10 for batch in sizes)


async def test_a_slow_tenant_of_a_store_with_several_appends_at_once_holds_up_nobody(store: FaultyStore) -> None:
    wide = FaultyStore(store.real, bounds=bounds_of(store.real, appends_at_once_max=2))
    gate = Gate()
    async with opened(wide) as one:
        wide.faults.append(told_late(gate, "slow"))
        slow = one.begin(Grant(ENT, PRO), tenant="slow")
        await gate.reached.wait()
        behind = one.begin(verify(), tenant="slow")
        for _ in range(3):
            await one.submit(Grant(ENT, PRO), tenant="quick", id="once")
            await one.submit(verify(), tenant="quick")
        assert not slow.done()
        assert not behind.done()
        gate.open()
        assert [(await each).receipt.seq for each in (slow, behind)] == [1, 2]


async def test_a_flooding_tenant_does_not_keep_the_others_waiting(store: FaultyStore, one: Instance) -> None:
    flood = [one.begin(Grant(EntitlementId(f"ent_{n}"), PRO), tenant="flood") for n in range(1_000)]
    quiet = await one.submit(Grant(ENT, PRO), tenant="quiet")
    assert quiet.receipt.seq == 1
    assert sum(each.done() for each in flood) <= 100
    await asyncio.gather(*flood)


async def test_deciding_lets_the_event_loop_go_on_in_between(store: FaultyStore) -> None:
    clock = TickingClock()
    async with opened(store, clock) as one:
        for tenant in range(40):
            await one.corridor.durable(f"t{tenant}")
        clock.tick_seconds = corridor_module.SLICE_SECONDS / 2
        begun = [one.begin(Grant(ENT, PRO), tenant=f"t{tenant}", seconds=100) for tenant in range(40)]
        turns = 0
        while not all(each.done() for each in begun):
            await asyncio.sleep(0)
            turns += 1
            assert sum(each.done() for each in begun) <= turns * 2
        assert turns >= 20


class TickingClock(HandClock):
    """Each look at it takes a while."""

    tick_seconds = 0.0

    def monotonic(self) -> float:
        self.advance(self.tick_seconds)
        return self.seconds


# ---- time first


async def test_timers_due_are_decided_before_the_command_in_due_order_each_with_its_own_receipt(
    store: FaultyStore, one: Instance
) -> None:
    start = (await one.grant()).time
    await one.submit(Grant(EntitlementId("late"), PRO, expires_at=plus_seconds(start, 20)))
    await one.submit(Grant(EntitlementId("soon"), PRO, effective_at=plus_seconds(start, 5)))
    one.clock.advance(60)
    await one.submit(verify(), id="k")
    receipts = await ledger(store)
    assert [(each.command_id, each.subject_id) for each in receipts[3:]] == [
        (f"timer:entitlement/soon:activate:{plus_seconds(start, 5)}", "soon"),
        (f"timer:entitlement/late:expire:{plus_seconds(start, 20)}", "late"),
        ("k", ENT),
    ]
    assert len({each.time for each in receipts[3:]}) == 1


async def test_that_a_ledger_was_restored_is_said_before_the_timers_that_are_due(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock) as one:
        head = await one.grant(expires_at=plus_seconds(moment_of(START), 60))
    clock.advance(3_600)
    async with opened(store, clock) as one:
        one.corridor.wake("acme")
        restore = one.begin(Restore(head.ledger, head.seq, head.hash))
        await asyncio.gather(restore, one.submit(Suspend(ENT)))
    _, restored, expired, refused = await ledger(store)
    assert events_of(restored) == (LedgerRestored(RestoredHead(head.seq, head.hash)),)
    assert [type(event) for event in events_of(expired)] == [EntitlementExpired, EffectivePlanChanged]
    assert refused.type == "refusal"


async def test_a_woken_tenant_decides_its_due_timers_though_its_lane_is_cold(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock) as before:
        start = (await before.grant(expires_at=plus_seconds(MOMENT, 30))).time
    clock.advance(60)
    async with opened(store, clock) as after:
        assert await after.timers.wake_due() == 1
        await until(lambda: after.witness.count("sealed") == 1)
        assert await after.timers.wake_due() == 0
    assert [each.command_id for each in await ledger(store)][1:] == [
        f"timer:entitlement/{ENT}:expire:{plus_seconds(start, 30)}"
    ]


async def test_a_thousand_timers_due_at_once_are_decided_first_and_let_others_in_between(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    await asyncio.gather(
        *(one.submit(Grant(EntitlementId(f"e{n}"), PRO, expires_at=plus_seconds(MOMENT, 9))) for n in range(300))
    )
    one.clock.advance(10)
    woken = one.begin(verify())
    other = await one.submit(Grant(ENT, PRO), tenant="other")
    assert other.receipt.seq == 1
    assert not woken.done()
    assert (await woken).receipt.seq == 602


async def test_the_time_of_a_receipt_never_goes_back_and_is_that_of_the_later_clock(
    store: FaultyStore, one: Instance
) -> None:
    first = await one.grant()
    one.clock.jump(-100)
    assert (await one.submit(verify())).receipt.time == first.time


# ---- idempotency


async def test_a_repeat_in_flight_waits_for_the_same_receipt(store: FaultyStore, one: Instance) -> None:
    first, second = await asyncio.gather(one.submit(Grant(ENT, PRO), id="k"), one.submit(Grant(ENT, PRO), id="k"))
    assert first.receipt == second.receipt
    assert (first.replayed, second.replayed) == (False, True)
    assert len(await ledger(store)) == 1


async def test_a_repeat_of_a_recent_id_gets_the_first_receipt(store: FaultyStore, one: Instance) -> None:
    first = await one.submit(Grant(ENT, PRO), id="k")
    again = await one.submit(Grant(ENT, PRO), id="k")
    assert (again.receipt, again.replayed) == (first.receipt, True)
    assert len(store.appends) == 1


async def test_a_repeat_of_an_id_that_only_the_store_knows_gets_the_first_receipt(store: FaultyStore) -> None:
    async with opened(store, bounds=FORGETFUL) as one:
        first = await one.submit(Grant(ENT, PRO), id="k")
        await one.submit(verify())
        again, behind = await asyncio.gather(one.submit(Grant(ENT, PRO), id="k"), one.submit(verify(), id="behind"))
        assert (again.receipt, again.replayed) == (first.receipt, True)
        assert (behind.receipt.seq, behind.replayed) == (3, False)
        assert one.witness.count("conflicted") == 0
        assert one.witness.told["duplicated"] == [(1,)]
    assert len(await ledger(store)) == 3


async def test_an_id_with_other_content_is_refused_while_in_flight(one: Instance) -> None:
    first = one.begin(Grant(ENT, PRO), id="k")
    await until(lambda: one.corridor.waiting == 1)
    with pytest.raises(IdempotencyKeyReused):
        await one.submit(verify(), id="k")
    await first


async def test_an_id_with_other_content_is_refused_when_recent(one: Instance) -> None:
    await one.submit(Grant(ENT, PRO), id="k")
    with pytest.raises(IdempotencyKeyReused):
        await one.submit(verify(), id="k")


async def test_an_id_with_other_content_is_refused_when_only_the_store_knows_it(store: FaultyStore) -> None:
    async with opened(store, bounds=FORGETFUL) as one:
        await one.submit(Grant(ENT, PRO), id="k")
        await one.submit(verify())
        with pytest.raises(IdempotencyKeyReused):
            await one.submit(verify(), id="k")
    assert len(await ledger(store)) == 2


async def test_a_request_without_a_digest_is_not_taken_for_one_with(one: Instance) -> None:
    await one.submit(Grant(ENT, PRO), id="k")
    bare = Submission("acme", Grant(ENT, PRO), "k", "cli", "me")
    with pytest.raises(IdempotencyKeyReused):
        await one.corridor.submit(bare, timeout_seconds=1)


async def test_a_refusal_that_time_cures_is_decided_anew(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    await one.submit(consume(95))
    refused = await one.submit(consume(10), id="k")
    assert json.loads(refused.receipt.body)["refusal"]["reason"] == "quota_exceeded"
    await one.submit(Release(CALLS, 50))
    accepted = await one.submit(consume(10), id="k")
    assert (accepted.receipt.type, accepted.replayed) == ("transition", False)
    again = await one.submit(consume(10), id="k")
    assert (again.receipt, again.replayed) == (accepted.receipt, True)
    assert [each.command_id for each in await ledger(store)].count("k") == 2


async def test_the_same_refusal_over_pubsub_is_not_decided_anew(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    await one.submit(consume(95))
    refused = await one.submit(consume(10), id="k", source="pubsub")
    await one.submit(Release(CALLS, 50))
    again = await one.submit(consume(10), id="k", source="pubsub")
    assert (again.receipt, again.replayed) == (refused.receipt, True)


async def test_any_other_refusal_is_final_for_its_id(one: Instance) -> None:
    refused = await one.submit(verify(), id="k")
    await one.grant()
    again = await one.submit(verify(), id="k")
    assert (again.receipt, again.replayed) == (refused.receipt, True)


# ---- a command belongs to its lane


async def test_a_caller_that_leaves_before_the_decision_withdraws_its_command(
    store: FaultyStore, one: Instance
) -> None:
    store.holding = Gate()
    leaving, staying = one.begin(Grant(ENT, PRO)), one.begin(Grant(EntitlementId("ent_2"), PRO))
    await store.holding.reached.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert one.corridor.waiting == 1
    store.holding.open()
    await staying
    assert [each.subject_id for each in await ledger(store)] == ["ent_2"]


async def test_a_command_that_another_caller_waits_for_is_not_withdrawn(store: FaultyStore, one: Instance) -> None:
    store.holding = Gate()
    leaving, staying = one.begin(Grant(ENT, PRO), id="k"), one.begin(Grant(ENT, PRO), id="k")
    await store.holding.reached.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    store.holding.open()
    assert (await staying).replayed
    assert len(await ledger(store)) == 1


async def test_the_receipt_of_a_caller_that_left_after_the_decision_stands(store: FaultyStore, one: Instance) -> None:
    gate = Gate()
    store.faults.append(held(gate))
    leaving = one.begin(Grant(ENT, PRO), id="k")
    await gate.reached.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    gate.open()
    await until(lambda: one.corridor.waiting == 0)
    assert [each.command_id for each in await ledger(store)] == ["k"]


# ---- deadlines


async def test_a_deadline_before_anything_was_sent_is_store_unavailable_and_nothing_is_stored(
    store: FaultyStore, one: Instance
) -> None:
    store.holding = Gate()
    late = one.begin(Grant(ENT, PRO), seconds=5)
    await store.holding.reached.wait()
    one.clock.advance(6)
    with pytest.raises(StoreUnavailable):
        await late
    store.holding.open()
    await one.submit(Grant(EntitlementId("ent_2"), PRO))
    assert [each.subject_id for each in await ledger(store)] == ["ent_2"]


async def test_a_deadline_of_a_decided_command_that_was_not_sent_takes_it_back(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    gate = Gate()
    store.faults.append(held(gate))
    sent = one.begin(verify(), seconds=60)
    await gate.reached.wait()
    late, behind = one.begin(consume(90), seconds=5), one.begin(consume(80), seconds=60)
    await decided()
    one.clock.advance(6)
    with pytest.raises(StoreUnavailable):
        await late
    gate.open()
    assert (await behind).receipt.type == "transition"
    await sent
    assert [each.seq for each in await ledger(store)] == [1, 2, 3]


async def test_a_deadline_with_an_append_under_way_is_outcome_unknown_and_a_repeat_gets_the_receipt(
    store: FaultyStore, one: Instance
) -> None:
    gate = Gate()
    store.faults.append(held(gate))
    late = one.begin(Grant(ENT, PRO), id="k", seconds=5)
    await gate.reached.wait()
    one.clock.advance(6)
    with pytest.raises(OutcomeUnknown):
        await late
    repeat = one.begin(Grant(ENT, PRO), id="k", seconds=5)
    await until(lambda: one.corridor.waiting == 1)
    assert not repeat.done()
    gate.open()
    answer = await repeat
    assert (answer.receipt.command_id, answer.replayed) == ("k", True)
    assert len(await ledger(store)) == 1


async def test_each_caller_waits_no_longer_than_its_own_deadline(store: FaultyStore, one: Instance) -> None:
    store.holding = Gate()
    hasty, patient = one.begin(Grant(ENT, PRO), id="k", seconds=5), one.begin(Grant(ENT, PRO), id="k", seconds=50)
    await store.holding.reached.wait()
    await until(lambda: one.corridor.waiting == 1)
    one.clock.advance(6)
    with pytest.raises(OutcomeUnknown):  # the other's command is still under way
        await hasty
    store.holding.open()
    await patient


async def test_a_repeat_whose_receipt_cannot_be_read_is_not_told_that_nothing_was_stored(
    store: FaultyStore, one: Instance
) -> None:
    await one.submit(Grant(ENT, PRO), id="k")
    store.failing["receipt"] = 1
    with pytest.raises(OutcomeUnknown):
        await one.submit(Grant(ENT, PRO), id="k")


async def test_a_repeat_whose_receipt_is_no_receipt_frees_its_id_and_is_told(
    store: FaultyStore, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await one.submit(Grant(ENT, PRO), id="k")
    with monkeypatch.context() as patched:
        patched.setattr(store, "receipt", _raise_value_error)
        with pytest.raises(OutcomeUnknown):
            await one.submit(Grant(ENT, PRO), id="k")
    assert one.witness.count("failed") == 1
    again = await one.submit(Grant(ENT, PRO), id="k")
    assert (again.receipt, again.replayed) == (first.receipt, True)


async def _raise_value_error(tenant: str, seq: int) -> None:
    raise ValueError("no receipt")


# ---- bounds


async def test_over_a_lanes_bound_a_command_is_refused_as_rate_limited(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(lane_waiting_max=2)) as one:
        begun = [one.begin(Grant(EntitlementId(f"ent_{n}"), PRO)) for n in range(3)]
        *answers, refused = await asyncio.gather(*begun, return_exceptions=True)
        assert isinstance(refused, Overloaded)
        assert refused.reason == "rate_limited"
        assert len(answers) == len(await ledger(store)) == 2


async def test_over_the_instances_bound_a_command_is_refused_and_no_ledger_is_read_for_it(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(waiting_max=2)) as one:
        begun = [one.begin(Grant(ENT, PRO), tenant=f"t{n}") for n in range(3)]
        *_, refused = await asyncio.gather(*begun, return_exceptions=True)
        assert isinstance(refused, Overloaded)
        assert refused.reason == "overloaded"
        assert (store.reads.count("read"), one.corridor.lanes) == (2, 2)


async def test_the_least_recently_used_lane_leaves_and_comes_back_from_the_store(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(lanes_max=2)) as one:
        for tenant in ("a", "b", "a", "c"):
            await one.submit(Grant(ENT, PRO), tenant=tenant, id=tenant)
        assert (one.corridor.lanes, store.reads.count("read")) == (2, 3)
        await one.submit(verify(), tenant="b")
        assert (one.corridor.lanes, store.reads.count("read")) == (2, 4)
    assert len(await ledger(store, "b")) == 2


async def test_a_lane_with_work_never_leaves(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(lanes_max=1)) as one:
        gate = Gate()
        store.faults.append(held(gate))
        working = one.begin(Grant(ENT, PRO), tenant="a")
        await gate.reached.wait()
        with pytest.raises(Overloaded):
            await one.submit(Grant(ENT, PRO), tenant="b")
        gate.open()
        await working
        await one.submit(Grant(ENT, PRO), tenant="b")


async def test_a_lane_whose_repeat_is_being_read_has_work(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(lanes_max=1)) as one:
        await one.submit(Grant(ENT, PRO), tenant="a", id="k")
        gate = Gate()
        real = store.real.receipt

        async def slow(tenant: str, seq: int) -> object:
            await gate.passed()
            return await real(tenant, seq)

        store.receipt = slow  # type: ignore[method-assign, assignment]
        repeat = one.begin(Grant(ENT, PRO), tenant="a", id="k", seconds=5)
        await gate.reached.wait()
        with pytest.raises(Overloaded):
            await one.submit(Grant(ENT, PRO), tenant="b")
        one.clock.advance(6)
        with pytest.raises(OutcomeUnknown):
            await repeat
        gate.open()


async def test_a_caller_begins_a_bounded_number_of_ledgers_a_minute(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(new_ledgers_per_minute_max=2)) as one:
        for tenant in ("a", "b"):
            await one.submit(verify(), tenant=tenant)
        with pytest.raises(Overloaded) as refused:
            await one.submit(verify(), tenant="c")
        assert (refused.value.reason, refused.value.policy) == ("rate_limited", "new_ledgers")
        assert refused.value.detail == "one caller may begin 2 ledgers a minute on this instance"
        assert 1 <= refused.value.retry_after_seconds <= 60
        await one.submit(verify(), tenant="d", by="someone else")
        await one.submit(verify(), tenant="a")
        one.clock.advance(refused.value.retry_after_seconds)
        await one.submit(verify(), tenant="c")
    assert await ledger(store, "c")


async def test_at_most_so_many_ids_are_remembered_and_older_ones_are_asked_of_the_store(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(recent_ids_max=10)) as one:
        for tenant in ("a", "b"):
            await asyncio.gather(
                *(one.submit(Grant(EntitlementId(f"e{n}"), PRO), tenant=tenant, id=f"k{n}") for n in range(8))
            )
        again = await one.submit(Grant(EntitlementId("e0"), PRO), tenant="a", id="k0")
        assert (again.receipt.seq, again.replayed) == (1, True)
        assert one.witness.count("duplicated") == 1
        again = await one.submit(Grant(EntitlementId("e7"), PRO), tenant="b", id="k7")
        assert (again.receipt.seq, again.replayed) == (8, True)
        assert one.witness.count("duplicated") == 1


# ---- snapshots


async def test_a_snapshot_is_written_every_so_many_receipts_and_a_cold_lane_reads_a_short_tail(
    store: FaultyStore,
) -> None:
    async with opened(store, bounds=CorridorBounds(snapshot_receipts=10)) as one:
        await one.grant()
        for _ in range(24):
            await one.submit(consume())
    snapshots = [each.snapshot.seq for batch in store.appends for each in batch if each.snapshot]
    assert snapshots == [10, 20]
    async with opened(store) as again:
        assert (await again.corridor.durable("acme")).state.quotas[CALLS].used == 24
        assert again.witness.told["loaded"] == [(5,)]
    await ledger(store)


async def test_a_snapshot_is_written_every_so_many_bytes(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(snapshot_bytes=2_000)) as one:
        await one.grant()
        for _ in range(6):
            await one.submit(consume())
    snapshots = [each.snapshot.seq for batch in store.appends for each in batch if each.snapshot]
    assert len(snapshots) > 1


@pytest.mark.parametrize("change", [{"state_version": 99}, {"state": b"{}x"}])
async def test_a_snapshot_that_cannot_be_lifted_is_ignored_and_rebuilt(
    store: FaultyStore, change: dict[str, object]
) -> None:
    async with opened(store, bounds=CorridorBounds(snapshot_receipts=10)) as one:
        await one.grant()
        for _ in range(12):
            await one.submit(consume())
    real = store.real.read

    async def damaged(tenant: str) -> object:
        found = await real(tenant)
        assert found is not None
        assert found.snapshot is not None
        return replace(found, snapshot=replace(found.snapshot, **change))

    store.read = damaged  # type: ignore[method-assign, assignment]
    async with opened(store, bounds=CorridorBounds(snapshot_receipts=10)) as again:
        assert (await again.corridor.durable("acme")).state.quotas[CALLS].used == 12
        await again.submit(consume())
    assert store.appends[-1][0].snapshot is not None  # the whole ledger was its tail


# ---- clocks


async def test_a_clock_that_jumps_seals_nothing_until_it_is_back(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    one.clock.jump(1_000)
    with pytest.raises(ClockUntrusted):
        await one.submit(verify())
    one.clock.jump(-1_000)
    await one.submit(verify())
    assert len(await ledger(store)) == 2


async def test_a_jump_fails_no_command_that_is_decided_already(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    gate = Gate()
    store.faults.append(held(gate))
    sent = one.begin(verify())
    await gate.reached.wait()
    unsent = one.begin(verify())
    await decided()
    one.clock.jump(1_000)
    refused = one.begin(verify())
    with pytest.raises(ClockUntrusted):
        await refused
    gate.open()
    assert [(await each).receipt.seq for each in (sent, unsent)] == [2, 3]


async def test_a_ledger_that_is_ahead_of_the_clock_is_closed_and_the_others_are_not(store: FaultyStore) -> None:
    ahead = HandClock()
    ahead.advance(1_000)
    async with opened(store, ahead) as fast:
        await fast.grant("ahead")
    async with opened(store) as one:
        with pytest.raises(ClockUntrusted):
            await one.submit(verify(), tenant="ahead")
        await one.grant("other")
        one.clock.advance(1_000)
        await one.submit(verify(), tenant="ahead")


async def test_a_clock_far_behind_the_newest_receipt_seals_nothing(one: Instance) -> None:
    one.sealing_clock.saw(plus_seconds(MOMENT, 1_000))
    with pytest.raises(ClockUntrusted):
        await one.grant()
    one.clock.advance(701)
    await one.grant()


# ---- draining


async def test_a_draining_corridor_takes_no_new_command_and_finishes_those_in_flight(
    store: FaultyStore, one: Instance
) -> None:
    gate = Gate()
    store.faults.append(held(gate))
    begun = one.begin(Grant(ENT, PRO))
    await gate.reached.wait()
    closing = asyncio.get_running_loop().create_task(one.corridor.close(timeout_seconds=CONDITION_SECONDS_MAX))
    await asyncio.sleep(0)
    with pytest.raises(Draining):
        await one.submit(verify())
    gate.open()
    assert (await begun).receipt.seq == 1
    assert await closing


async def test_a_corridor_closed_in_the_middle_tells_everyone_what_is_known_and_does_nothing_more(
    store: FaultyStore,
) -> None:
    gate, before = Gate(), asyncio.all_tasks()
    async with opened(store) as one:
        await one.grant()
        store.faults.append(held_then_lost(gate))
        sent = one.begin(verify())
        await gate.reached.wait()
        unsent = one.begin(verify())
        await decided()
        assert not await one.corridor.close(timeout_seconds=0)
        with pytest.raises(OutcomeUnknown):
            await sent
        with pytest.raises(StoreUnavailable):
            await unsent
        assert asyncio.all_tasks() == before
        assert len(store.appends) == 2


# ---- bugs


async def test_a_bug_in_the_decision_of_one_command_fails_only_that_command(
    store: FaultyStore, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = corridor_module.decide

    def decide(command: object, *rest: object, **named: object) -> object:
        if command == consume(66):
            raise ZeroDivisionError("a bug")
        return real(command, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(corridor_module, "decide", decide)
    await one.grant()
    before, bug, behind = await asyncio.gather(
        one.submit(verify()), one.submit(consume(66)), one.submit(verify()), return_exceptions=True
    )
    assert isinstance(bug, ZeroDivisionError)
    assert [each.receipt.seq for each in (before, behind) if not isinstance(each, BaseException)] == [2, 3]
    assert [what for what, _ in one.witness.failures] == ["decide"]
    assert len(await ledger(store)) == 3


async def test_a_receipt_that_is_too_large_fails_only_its_command(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    bug, behind = await asyncio.gather(
        one.submit(verify(), by="x" * 40_000), one.submit(verify()), return_exceptions=True
    )
    assert isinstance(bug, NotCanonical)
    assert not isinstance(behind, BaseException)


async def test_a_plan_that_moves_under_a_tenant_is_told_by_each_receipts_policy(store: FaultyStore) -> None:
    async with opened(store) as one:
        first = await one.grant()
        one.plans = plans(plan(PRO, quota(limit=1)))
        one.plans = type(one.plans)("1" * 64, one.plans.plans)
        second = (await one.submit(consume())).receipt
        assert [json.loads(each.body)["policy"] for each in (first, second)] == ["0" * 64, "1" * 64]


async def test_a_renewed_entitlement_does_not_expire_at_the_old_time(store: FaultyStore, one: Instance) -> None:
    await one.grant(expires_at=plus_seconds(MOMENT, 30))
    await one.submit(Renew(ENT, plus_seconds(MOMENT, 90)))
    one.clock.advance(60)
    assert await one.timers.wake_due() == 0
    assert (await one.submit(verify())).receipt.type == "transition"


async def test_a_reader_that_is_done_leaves_a_lane_at_rest(store: FaultyStore) -> None:
    one = Instance(store, HandClock())
    store.holding = Gate()
    reading = asyncio.get_running_loop().create_task(one.corridor.durable("acme"))
    await store.holding.reached.wait()
    one.corridor.wake("acme")
    store.holding.open()
    await reading
    assert await one.corridor.close(timeout_seconds=CONDITION_SECONDS_MAX)


async def test_those_who_wait_for_a_ledger_hear_that_the_corridor_closes(store: FaultyStore) -> None:
    one = Instance(store, HandClock())
    store.holding = Gate()
    reading = asyncio.get_running_loop().create_task(one.corridor.durable("acme"))
    await store.holding.reached.wait()
    await one.corridor.close(timeout_seconds=0)
    with pytest.raises(Draining):
        await reading
    with pytest.raises(Draining):
        await one.corridor.durable("acme")
    one.corridor.wake("acme")
    assert one.corridor.lanes == 1


async def test_closing_tells_whoever_waits_though_others_have_left(store: FaultyStore) -> None:
    one = Instance(store, HandClock())
    gate = Gate()
    store.faults.append(held_then_lost(gate))
    leaving, staying = one.begin(Grant(ENT, PRO)), one.begin(verify())
    await gate.reached.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert not await one.corridor.close(timeout_seconds=0)
    with pytest.raises(OutcomeUnknown):
        await staying
