"""Several corridors on one store race for the same tenants: the append's compare-and-swap alone keeps them apart."""

import asyncio
import json
import random
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from tests.builders import CALLS, ENT, PRO
from tests.fault.corridor.sequential_model import LIMIT, check
from tests.sizes import size
from tests.unit.application.faulty_store import FaultyStore, Gate, after, bounds_of, busy, held
from tests.unit.application.instance import START, HandClock, Instance, consume, decided, ledger, opened, until, verify

from tai_autonomics.application import reconciling
from tai_autonomics.application.corridor import Answer, CorridorBounds
from tai_autonomics.domain.entitlement import Grant, Renew, Resume, Revoke, Suspend, Verify
from tai_autonomics.domain.identifiers import EntitlementId
from tai_autonomics.domain.moments import moment_of, plus_seconds
from tai_autonomics.domain.quota import Consume, Release
from tai_autonomics.domain.tenant import Command
from tai_autonomics.errors import ConcurrentWrite

pytestmark = pytest.mark.anyio

MOMENT = moment_of(START)
TENANTS = 50


async def test_a_command_whose_place_is_taken_is_decided_again_on_what_the_other_left(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    async with opened(store.real) as other:
        store.faults.append(after(lambda: other.submit(consume(70))))
        refused, allowed = await asyncio.gather(one.submit(consume(60)), one.submit(consume(30)))
    assert json.loads(refused.receipt.body)["refusal"]["reason"] == "quota_exceeded"
    assert (refused.receipt.seq, allowed.receipt.seq, allowed.receipt.type) == (3, 4, "transition")
    assert one.witness.count("conflicted") == 1
    assert (await one.corridor.durable("acme")).state.quotas[CALLS].used == LIMIT
    await ledger(store)


async def test_what_was_decided_during_a_lost_append_is_decided_again_too_in_order(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    gate = Gate()
    async with opened(store.real) as other:
        store.faults.append(held(gate))
        first = one.begin(Suspend(ENT))
        await gate.reached.wait()
        second, third = one.begin(verify()), one.begin(Resume(ENT))
        await decided()
        await other.submit(Grant(EntitlementId("ent_2"), PRO))
        gate.open()
        answers = [await each for each in (first, second, third)]
    assert [each.receipt.seq for each in answers] == [3, 4, 5]
    assert [each.receipt.type for each in answers] == ["transition", "refusal", "transition"]
    await ledger(store)


async def test_the_other_lanes_of_an_append_do_not_feel_a_conflict(store: FaultyStore, one: Instance) -> None:
    await one.grant("a")
    await one.grant("b")
    async with opened(store.real) as other:
        store.faults.append(after(lambda: other.submit(verify(), tenant="a")))
        answers = await asyncio.gather(one.submit(verify(), tenant="a"), one.submit(verify(), tenant="b"))
    assert [each.receipt.seq for each in answers] == [3, 2]
    assert one.witness.count("conflicted") == 1


async def test_after_three_conflicts_the_head_is_held_and_what_came_before_the_hold_is_no_fourth(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    async with opened(store.real) as other:
        store.faults.extend(after(lambda: other.submit(verify())) for _ in range(3))
        store.before_hold = lambda: asyncio.gather(*(other.submit(verify()) for _ in range(600)))
        first, second = await asyncio.gather(one.submit(consume(1)), one.submit(consume(2)))
    assert (first.receipt.seq, second.receipt.seq) == (605, 606)
    assert (one.witness.count("conflicted"), store.holds) == (3, ["acme"])
    await ledger(store)
    await one.submit(verify())
    assert store.holds == ["acme"], "an append that stands ends the row of conflicts"


async def test_a_head_that_is_always_busy_is_held_too(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    async with opened(store.real) as other:
        store.faults.extend([busy] * 3)
        store.before_hold = lambda: other.submit(verify())
        assert (await one.submit(consume(1))).receipt.seq == 3
    assert (one.witness.count("conflicted"), store.holds) == (0, ["acme"])


async def test_without_a_hold_the_lane_goes_on_all_the_same(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    store.faults.extend([busy] * 4)
    store.failing["held"] = 2
    assert (await one.submit(consume(1))).receipt.seq == 2
    assert one.witness.told["store_failed"] == [("held",), ("held",)]


async def test_a_hold_ends_when_everyone_who_waited_has_left(
    store: FaultyStore, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "HELD_SECONDS_MAX", 600.0)
    await one.grant()
    leaving = one.begin(consume(1))
    async with opened(store.real) as other:

        async def leave() -> None:
            leaving.cancel()
            await asyncio.wait([leaving])
            await other.submit(verify())

        store.faults.extend([busy] * 3)
        store.before_hold = leave
        await until(lambda: store.released)
    assert (await one.submit(consume(2))).receipt.seq == 3
    await ledger(store)


async def test_many_receipts_missed_are_read_page_by_page(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    async with opened(store.real) as other:
        for _ in range(2):
            await asyncio.gather(*(other.submit(verify()) for _ in range(600)))
        answer = await one.submit(consume(1))
    assert answer.receipt.seq == 1_202
    await ledger(store)


async def test_a_conflict_while_the_rest_cannot_be_read_loads_the_ledger_anew(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    async with opened(store.real) as other:
        await asyncio.gather(*(other.submit(verify()) for _ in range(600)))
        store.failing = {"receipts": 1, "read": 2}
        assert (await one.submit(consume(1))).receipt.seq == 602


async def test_the_same_id_at_two_instances_gives_one_receipt(store: FaultyStore, one: Instance) -> None:
    async with opened(store.real) as other:
        answers = await asyncio.gather(
            *(each.submit(Grant(ENT, PRO), id="k", by=by) for each, by in ((one, "a"), (other, "b")) for _ in range(5))
        )
    assert {each.receipt for each in answers} == set(await ledger(store))
    assert sum(not each.replayed for each in answers) == 1


async def test_an_id_that_another_instance_claimed_is_answered_and_is_no_conflict(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    async with opened(store.real, HandClock(START + timedelta(seconds=1))) as other:
        theirs = await other.submit(consume(5), id="k")
        ours, beside = await asyncio.gather(one.submit(consume(5), id="k"), one.submit(consume(6)))
    assert (ours.receipt, ours.replayed) == (theirs.receipt, True)
    assert beside.receipt.seq == 3
    assert (one.witness.count("conflicted"), one.witness.count("duplicated")) == (0, 1)


async def test_an_old_id_is_answered_at_once_though_another_instance_wrote_meanwhile(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(recent_ids_max=1)) as one, opened(store.real) as other:
        await one.grant()
        old = await one.submit(consume(5), id="old")
        await one.submit(verify())
        await other.submit(verify())
        again, beside = await asyncio.gather(one.submit(consume(5), id="old"), one.submit(consume(6), id="new"))
        assert (again.receipt, again.replayed) == (old.receipt, True)
        assert (beside.receipt.seq, beside.receipt.command_id) == (5, "new")
        assert (one.witness.count("duplicated"), one.witness.count("conflicted")) == (1, 0)


@pytest.mark.parametrize("blind", [False, True])
async def test_an_id_held_by_another_instance_is_answered_though_the_reads_fail_at_first(
    store: FaultyStore, one: Instance, blind: bool
) -> None:
    await one.grant()
    async with opened(store.real, HandClock(START + timedelta(seconds=1))) as other:
        theirs = await other.submit(consume(5), id="k")
        store.blind, store.failing["receipts"] = (1, 0) if blind else (0, 1)
        ours, beside = await asyncio.gather(one.submit(consume(5), id="k"), one.submit(consume(6)))
    assert (ours.receipt, ours.replayed, beside.receipt.seq) == (theirs.receipt, True, 3)
    assert len(await ledger(store)) == 3


async def test_a_deadline_with_nothing_but_conflicts_is_conflict_and_nothing_is_ever_stored(
    store: FaultyStore, one: Instance
) -> None:
    await one.grant()
    async with opened(store.real) as other:
        store.faults.extend([after(lambda: other.submit(verify()))] * 1_000)
        one.pause_after_conflicts()
        late = one.begin(consume(1), id="k", seconds=5)
        await until(lambda: one.witness.count("conflicted") > 4)
        one.clock.advance(6)
        with pytest.raises(ConcurrentWrite):
            await late
        store.faults.clear()
        await one.submit(verify())
    assert "k" not in [each.command_id for each in await ledger(store)]


async def test_the_pause_between_conflicts_doubles(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    pauses: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await real(0)

    one.pause_after_conflicts()
    async with opened(store.real) as other:
        store.faults.extend([after(lambda: other.submit(verify()))] * 4)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("tai_autonomics.application.reconciling.asyncio.sleep", sleep)
            await one.submit(verify())
    doubling = [pause for pause in pauses if pause]
    assert doubling == [0.005, 0.01, 0.02, 0.04]


async def test_a_lane_in_conflict_decides_no_more_than_one_append_ahead(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    gate = Gate()
    async with opened(store.real) as other:
        store.faults.extend([after(lambda: other.submit(verify())), held(gate)])
        begun = [one.begin(verify()) for _ in range(120)]
        await gate.reached.wait()
        await decided()
        lane = one.corridor._lanes["acme"]
        begun.append(one.begin(verify()))
        await decided()
        assert (len(lane.sent), len(lane.decided), len(lane.waiting)) == (50, 0, 71)
        gate.open()
        await asyncio.gather(*begun)
    await ledger(store)


async def test_a_timer_is_decided_once_by_two_instances(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock) as one, opened(store.real, clock) as other:
        await one.grant(expires_at=plus_seconds(MOMENT, 30))
        await other.corridor.durable("acme")
        clock.advance(60)
        one.corridor.wake("acme")
        other.corridor.wake("acme")
        refused = await asyncio.gather(one.submit(verify()), other.submit(verify()))
    assert [each.receipt.type for each in refused] == ["refusal", "refusal"]
    assert [each.command_id.startswith("timer:") for each in await ledger(store)] == [False, True, False, False]


async def test_a_timer_that_another_instance_moved_is_not_decided(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock) as one, opened(store.real, clock) as other:
        await one.grant(expires_at=plus_seconds(MOMENT, 30))
        clock.advance(20)
        await other.submit(Renew(ENT, plus_seconds(MOMENT, 100)))
        clock.advance(20)
        one.corridor.wake("acme")
        assert (await one.submit(verify())).receipt.type == "transition"
    assert len(await ledger(store)) == 3


async def test_a_timer_undone_by_a_conflict_is_decided_without_another_wake(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock) as one, opened(store.real, clock) as other:
        await one.grant(expires_at=plus_seconds(MOMENT, 30))
        await one.submit(Grant(EntitlementId("ent_2"), PRO))
        await other.corridor.durable("acme")
        store.faults.append(after(lambda: _before(other, clock)))
        clock.advance(60)
        one.corridor.wake("acme")
        await until(lambda: ("transition",) in one.witness.told["sealed"][2:])
    assert [each.command_id.startswith("timer:") for each in await ledger(store)][-1]


async def _before(other: Instance, clock: HandClock) -> None:
    """Another instance whose clock is a little behind still decides before the timer."""
    clock.jump(-40)
    await other.submit(verify())
    clock.jump(40)


async def test_a_busy_tenant_holds_up_no_other(store: FaultyStore, one: Instance) -> None:
    await one.grant("a")
    store.faults.append(busy)
    first, second = await asyncio.gather(one.submit(verify(), tenant="a"), one.grant("b"))
    assert (first.receipt.seq, second.seq) == (2, 1)


# ---- mixed load against the plain model


def mixed(count: int, seed: int) -> list[tuple[str, str, Command]]:
    """Commands with their tenant and id, a third of them repeats, in no order."""
    chance = random.Random(seed)
    fresh = [
        (f"t{chance.randrange(TENANTS)}", f"http:me:{number}", _command(chance)) for number in range(count * 2 // 3)
    ]
    grants = [(f"t{tenant}", f"http:me:first-{tenant}", Grant(ENT, PRO)) for tenant in range(TENANTS)]
    repeats = [chance.choice(fresh) for _ in range(count - len(fresh) - len(grants))]
    commands = [*fresh, *repeats, *grants]
    chance.shuffle(commands)
    return commands


def _command(chance: random.Random) -> Command:
    entitlement = EntitlementId(f"ent_{chance.randrange(1, 4)}")
    amount = chance.choice((1, 2, 5, 30))
    return chance.choice(
        [
            *([Consume(CALLS, amount)] * 4),
            *([Verify(entitlement)] * 3),
            Release(CALLS, amount),
            Grant(entitlement, PRO),
            Suspend(entitlement),
            Resume(entitlement),
            *([Revoke(entitlement)] if chance.random() < 0.1 else []),
        ]
    )


async def run_mixed(store: FaultyStore, instances: list[Instance], commands: list[tuple[str, str, Command]]) -> None:
    begun = [
        instances[number % len(instances)].submit(
            command, tenant=tenant, id=key, seconds=100, by=f"caller-{number % len(instances)}"
        )
        for number, (tenant, key, command) in enumerate(commands)
    ]
    answers: list[Answer] = await asyncio.gather(*begun)
    sent: dict[str, dict[str, list[Command]]] = {}
    for tenant, key, command in commands:
        sent.setdefault(tenant, {}).setdefault(key, []).append(command)
    stored = {tenant: await ledger(store, tenant) for tenant in sent}
    for tenant, receipts in stored.items():
        check(receipts, sent[tenant])
        assert {each.command_id for each in receipts} == set(sent[tenant])
    by_hash = {receipt.hash: receipt for receipts in stored.values() for receipt in receipts}
    for (tenant, key, _), answer in zip(commands, answers, strict=True):
        assert by_hash[answer.receipt.hash] == answer.receipt
        assert (answer.receipt.tenant, answer.receipt.command_id) == (tenant, key)
    first_answers = [answer.receipt.hash for answer in answers if not answer.replayed]
    assert len(first_answers) == len(set(first_answers)) == len(by_hash)


async def test_ten_thousand_commands_of_fifty_tenants_a_third_repeats_leave_no_wrong_decision(
    store: FaultyStore,
) -> None:
    commands = mixed(10_000, seed=1)
    async with opened(store) as one:
        await run_mixed(store, [one], commands)
        assert one.witness.failures == []


async def test_ten_thousand_commands_with_ids_that_only_the_store_remembers(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(recent_ids_max=20, lanes_max=30)) as one:
        commands = mixed(size(short=2_000, full=10_000), seed=2)
        for start in range(0, len(commands), 25):
            await asyncio.gather(
                *(one.submit(command, tenant=tenant, id=key) for tenant, key, command in commands[start : start + 25])
            )
    sent: dict[str, dict[str, list[Command]]] = {}
    for tenant, key, command in commands:
        sent.setdefault(tenant, {}).setdefault(key, []).append(command)
    for tenant, asked in sent.items():
        check(await ledger(store, tenant), asked)


@pytest.mark.parametrize("instances", [2, 3])
@pytest.mark.full
async def test_racing_instances_leave_no_wrong_decision(store: FaultyStore, instances: int) -> None:
    async with AsyncExitStack() as stack:
        narrow = FaultyStore(store.real, bounds=bounds_of(store.real, receipts_per_tenant_max=3))
        racing = [await stack.enter_async_context(opened(narrow)) for _ in range(instances)]
        await run_mixed(store, racing, mixed(size(short=3_000, full=10_000), seed=instances))
        assert [each.witness.failures for each in racing] == [[]] * instances
        assert sum(each.witness.count("conflicted") for each in racing) > 10
