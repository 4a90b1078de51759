"""Ledgers out of a store and into another one, and state out of receipts."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from hashlib import sha256

import pytest
from msgspec.structs import replace
from tests.builders import CALLS, ENT, PRO, of_a_newer_release
from tests.unit.application.faulty_store import FaultyStore, bounds_of, busy, lost, persisted
from tests.unit.application.instance import START, HandClock, Instance, consume, ledger, opened, verify

from tai_autonomics.application import importing
from tai_autonomics.application.corridor import CorridorBounds
from tai_autonomics.application.importing import Import
from tai_autonomics.application.transfer import LEDGERS_AHEAD, export, live_state, read_ahead, replay, tenants
from tai_autonomics.domain.entitlement import Grant
from tai_autonomics.domain.identifiers import EntitlementId
from tai_autonomics.domain.moments import moment_of, plus_seconds
from tai_autonomics.domain.tenant import Erase
from tai_autonomics.errors import BrokenChain, LedgerNewerThanCode, NotCanonical, StoreUnavailable
from tai_autonomics.ledger.chain import verify as verify_lines
from tai_autonomics.ledger.lines import parse_line, reply
from tai_autonomics.ledger.records import GENESIS, Part
from tai_autonomics.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

MOMENT = moment_of(START)
FAR = plus_seconds(MOMENT, 10**6)
METADATA = (("metadata", b'{"note":"personal"}'),)


@pytest.fixture
async def target() -> AsyncIterator[FaultyStore]:
    real = await SQLiteStore.open(None)
    yield FaultyStore(real)
    await real.aclose()


async def written(one: Instance, tenant: str, receipts: int) -> list[bytes]:
    """A ledger with a timer, a part and its erasure, and its lines."""
    await one.submit(Grant(ENT, PRO, expires_at=plus_seconds(MOMENT, 900)), tenant=tenant, parts=METADATA)
    await one.submit(Grant(EntitlementId("e2"), PRO, expires_at=plus_seconds(MOMENT, 800)), tenant=tenant)
    await asyncio.gather(*(one.submit(consume(), tenant=tenant) for _ in range(receipts - 2)))
    return [line async for line in export(one.store, tenant)]


async def take_all(store: FaultyStore, lines: list[bytes], *, at_once: int = 10_000) -> Import:
    taking = Import(store)
    for start in range(0, len(lines), at_once):
        await taking.take(lines[start : start + at_once])
    return taking


async def due_rows(store: FaultyStore) -> set[tuple[str, str, str, str]]:
    leased = await store.real.lease(1_000, 1.0, FAR)
    return {(row.tenant, row.due.subject, row.due.kind, row.due.due) for row in leased}


@pytest.mark.parametrize("at_once", [1, 7, 10_000])
async def test_ledgers_move_with_their_heads_parts_due_rows_and_state(
    store: FaultyStore, target: FaultyStore, one: Instance, at_once: int
) -> None:
    first, second = await written(one, "a", 130), await written(one, "b", 20)
    mixed = [*first[:50], *second, *first[50:]]
    done = await (await take_all(target, mixed, at_once=at_once)).close()
    assert [(each.tenant, each.appended, each.held) for each in done] == [("a", 130, 0), ("b", 20, 0)]
    assert await target.heads(("a", "b")) == await store.heads(("a", "b"))
    assert await ledger(target, "a") == await ledger(store, "a")
    assert await target.parts("a", 1, 130) == await store.parts("a", 1, 130)
    assert await due_rows(target) == await due_rows(store)
    assert [tenant async for page in tenants(target) for tenant in page] == ["a", "b"]
    live = (await one.corridor.durable("a")).state
    assert await live_state(target, "a", through=130) == live
    async with opened(target, one.clock) as there:
        assert (await there.corridor.durable("a")).state == live
        assert (await there.submit(verify(), tenant="a")).receipt.seq == 131


async def test_an_import_goes_on_where_one_ended(store: FaultyStore, target: FaultyStore, one: Instance) -> None:
    lines = await written(one, "a", 130)
    await Import(target).take(lines[:60])
    (done,) = await (await take_all(target, lines, at_once=50)).close()
    assert (done.appended, done.held) == (70, 60)
    (again,) = await (await take_all(target, lines)).close()
    assert (again.appended, again.held, again.head) == (0, 130, done.head)
    assert await due_rows(target) == await due_rows(store)


@pytest.mark.parametrize("fault", [lost, persisted])
async def test_an_import_that_failed_in_the_middle_is_begun_again(
    store: FaultyStore, target: FaultyStore, one: Instance, fault: object
) -> None:
    lines = await written(one, "a", 130)
    taking = Import(target)
    await taking.take(lines[:50])
    target.faults.append(fault)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        await taking.take(lines[50:100])
    await (await take_all(target, lines)).close()
    assert await ledger(target, "a") == await ledger(store, "a")
    assert await due_rows(target) == await due_rows(store)


async def test_an_import_waits_while_the_store_has_no_room_and_not_for_ever(
    store: FaultyStore, target: FaultyStore, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BUSY_SECONDS", 0.0)
    lines = [*await written(one, "a", 30), *await written(one, "b", 20)]
    target.faults.extend([busy] * (importing.BUSY_TRIES_MAX - 1))
    await (await take_all(target, lines)).close()
    assert await target.heads(("a", "b")) == await store.heads(("a", "b"))
    longer = [*lines, *(await written(one, "c", 10))]
    target.faults.extend([busy] * importing.BUSY_TRIES_MAX)
    with pytest.raises(StoreUnavailable, match="no room for c"):
        await take_all(target, longer)


async def test_an_import_beside_another_writer_is_given_up(target: FaultyStore, one: Instance) -> None:
    lines = await written(one, "a", 30)
    taking = await take_all(target, lines[:20])
    await take_all(target, lines[:25])
    with pytest.raises(StoreUnavailable, match="a is being written by someone else"):
        await taking.take(lines[20:])


async def test_appends_carry_many_ledgers_and_no_more_than_a_store_takes(target: FaultyStore, one: Instance) -> None:
    """Of one ledger 500 receipts, and fewer of large ones; of small ledgers many, whose heads are one read."""
    ledgers = {"long": 600, **{f"small-{number:02}": 3 for number in range(80)}}
    lines = [line for tenant, count in ledgers.items() for line in await written(one, tenant, count)]
    taking = await take_all(target, lines)
    assert [len(appends) for appends in target.appends] == [64, 18]
    assert [sum(len(each.receipts) for each in appends) for appends in target.appends] == [500 + 63 * 3, 17 * 3 + 100]
    assert target.reads == ["heads"]
    assert len(await taking.close()) == 81

    narrow = FaultyStore(target.real, bounds=bounds_of(target.real, bytes_per_tenant_max=5_000))
    await (await take_all(narrow, await written(one, "large", 30))).close()
    assert all(len(append.receipts) > 1 for (append,) in narrow.appends[:-1])
    assert all(
        sum(len(each.body) for each in append.receipts) + sum(len(each.text) for each in append.parts) <= 5_000
        for (append,) in narrow.appends
    )


async def test_a_ledger_that_goes_another_way_is_refused_and_nothing_of_it_is_written(
    target: FaultyStore, one: Instance
) -> None:
    lines = await written(one, "a", 30)
    async with opened(target) as other:
        await written(other, "a", 20)
    before = await ledger(target, "a")
    with pytest.raises(BrokenChain) as broken:
        await Import(target).take(lines)
    assert (broken.value.tenant, broken.value.seq, broken.value.step) == ("a", 20, 4)
    assert await ledger(target, "a") == before


async def test_lines_that_end_before_the_store_does_are_compared_where_they_end(
    store: FaultyStore, target: FaultyStore, one: Instance
) -> None:
    lines = await written(one, "a", 30)
    (same,) = await (await take_all(store, lines[:20])).close()
    assert (same.appended, same.held, same.head.seq) == (0, 20, 30)
    async with opened(target) as other:
        await written(other, "a", 40)
    taking = await take_all(target, lines)
    with pytest.raises(BrokenChain) as broken:
        await taking.close()
    assert (broken.value.seq, broken.value.step) == (30, 4)


@pytest.mark.parametrize(
    ("damage", "step"),
    [
        (lambda line: line.replace(b'"amount":1,', b'"amount":2,', 1), 4),
        (lambda line: line.replace(b'"tenant":"a"', b'"tenant":"b"', 1), 4),
        (lambda line: line.replace(b'"type":"transition"', b'"type":"refusal"', 1), None),
    ],
)
async def test_lines_that_were_tampered_with_are_refused_and_only_whole_calls_before_them_are_kept(
    target: FaultyStore, one: Instance, damage: object, step: int | None
) -> None:
    lines = await written(one, "a", 130)
    lines[100] = damage(lines[100])  # type: ignore[operator]
    taking = Import(target)
    await taking.take(lines[:60])
    with pytest.raises((BrokenChain, NotCanonical)) as refused:
        await taking.take(lines[60:])
    assert getattr(refused.value, "step", None) in (step, 8)  # the other tenant's ledger does not start there
    assert len(await ledger(target, "a")) == 60
    assert await ledger(target, "b") == ()


async def test_a_line_is_missing_or_stands_twice(target: FaultyStore, one: Instance) -> None:
    lines = await written(one, "a", 10)
    for wrong in ([*lines[:4], *lines[5:]], [*lines[:5], *lines[4:]], lines[1:]):
        with pytest.raises(BrokenChain) as broken:
            await Import(target).take(wrong)
        assert broken.value.step in (3, 8)
    assert await ledger(target, "a") == ()


async def test_a_part_that_was_tampered_with_is_refused(target: FaultyStore, one: Instance) -> None:
    lines = await written(one, "a", 3)
    with pytest.raises(BrokenChain) as broken:
        await Import(target).take([lines[0].replace(b"personal", b"PERSONAL")])
    assert broken.value.step == 7


async def test_an_event_of_a_newer_release_is_not_imported(target: FaultyStore) -> None:
    receipt = of_a_newer_release("a", ledger="l", seq=1, prev=GENESIS, time=MOMENT)
    with pytest.raises(LedgerNewerThanCode):
        await Import(target).take([reply(receipt.body, receipt.hash, ())])
    assert await target.heads(("a",)) == {}


async def test_an_erased_part_stays_erased_also_when_an_export_overtook_the_erasure(
    store: FaultyStore, target: FaultyStore, one: Instance
) -> None:
    early = await written(one, "a", 3)
    await one.submit(Erase(1, "metadata"), tenant="a")
    late = [line async for line in export(store, "a")]
    assert await store.parts("a", 1, 1) == ()
    await (await take_all(target, [*early, late[-1]], at_once=2)).close()
    assert await target.parts("a", 1, 4) == ()
    await ledger(target, "a")


TEXTS = {sha256(text).hexdigest(): text for text in (b"plans: {a: 1}\n", b"plans: {b: 2}\n")}
OLD, NEW = TEXTS


async def decided_under_two_plans(one: Instance) -> list[bytes]:
    """Ledger b begins under the older plans and goes on under the newer ones, which a, exported first, has alone."""
    for digest, text in TEXTS.items():
        await one.store.keep_policy(digest, text, MOMENT)
        one.plans = replace(one.plans, digest=digest)
        await one.submit(Grant(EntitlementId(digest[:8]), PRO), tenant="b")
        one.clock.advance(1)
    await one.submit(Grant(ENT, PRO), tenant="a")
    named: set[str] = set()
    return [line for tenant in ("a", "b") async for line in export(one.store, tenant, named=named)]


async def test_the_plans_that_moved_receipts_name_move_along_once_each(target: FaultyStore, one: Instance) -> None:
    lines = await decided_under_two_plans(one)
    assert [parse_line(line).plans for line in lines] == [TEXTS[NEW], TEXTS[OLD], None]
    assert len(verify_lines(lines, {})) == 2
    for _ in range(2):
        await (await take_all(target, lines, at_once=1)).close()
        assert {digest: await target.policy(digest) for digest in TEXTS} == TEXTS
        assert await target.newest_policy() == (NEW, TEXTS[NEW])


async def test_plans_are_stored_before_the_receipts_that_name_them(target: FaultyStore, one: Instance) -> None:
    lines = await decided_under_two_plans(one)
    target.faults.append(lost)
    with pytest.raises(StoreUnavailable):
        await Import(target).take(lines)
    assert {digest: await target.policy(digest) for digest in TEXTS} == TEXTS


async def test_an_import_leaves_the_stores_own_plans_the_newest(target: FaultyStore, one: Instance) -> None:
    own = ("f" * 64, b"plans: {own: 1}\n")
    await target.keep_policy(*own, MOMENT)
    await (await take_all(target, await decided_under_two_plans(one))).close()
    assert await target.newest_policy() == own


async def test_plans_that_no_receipt_names_are_refused(target: FaultyStore, one: Instance) -> None:
    lines = await decided_under_two_plans(one)
    with pytest.raises(BrokenChain) as broken:
        await Import(target).take([lines[0].replace(b"b: 2", b"b: 3")])
    assert (broken.value.tenant, broken.value.step) == ("a", 7)
    assert await target.newest_policy() is None


async def test_an_export_without_plans_as_older_releases_wrote_it_is_imported(
    store: FaultyStore, target: FaultyStore, one: Instance
) -> None:
    lines = [parse_line(line) for line in await decided_under_two_plans(one)]
    older = [reply(line.body, line.hash, line.parts) + b"\n" for line in lines]
    await (await take_all(target, older)).close()
    assert await target.heads(("a", "b")) == await store.heads(("a", "b"))
    assert await target.newest_policy() is None


async def test_an_export_that_was_cut_anywhere_goes_on_from_there(
    store: FaultyStore, target: FaultyStore, one: Instance
) -> None:
    await written(one, "a", 120)
    await written(one, "b", 40)
    whole = b"".join(await decided_under_two_plans(one))
    for cut in sorted(random.Random(7).sample(range(len(whole)), 12)):
        taking, lines = Import(target), whole[:cut].splitlines(keepends=True)
        with suppress(NotCanonical):  # the last line is rarely a whole one
            for start in range(0, len(lines), 17):
                await taking.take(lines[start : start + 17])
    done = await (await take_all(target, whole.splitlines(keepends=True), at_once=17)).close()
    assert sum(each.held for each in done) > 50
    assert await target.heads(("a", "b")) == await store.heads(("a", "b"))
    assert await ledger(target, "b") == await ledger(store, "b")
    assert await due_rows(target) == await due_rows(store)


async def test_an_export_of_a_store_that_was_damaged_says_where(store: FaultyStore, one: Instance) -> None:
    await written(one, "a", 10)
    real = store.real.receipts

    async def damaged(tenant: str, after: int, limit: int) -> object:
        found = await real(tenant, after, limit)
        return tuple(
            replace(each, body=each.body.replace(b"acme", b"evil").replace(b'"used":4', b'"used":1')) for each in found
        )

    store.receipts = damaged  # type: ignore[method-assign, assignment]
    with pytest.raises(BrokenChain) as broken:
        [line async for line in export(store, "a")]
    assert (broken.value.seq, broken.value.step) == (6, 4)


async def test_ledgers_are_read_ahead_in_their_order_and_no_further_than_a_few(
    store: FaultyStore, one: Instance
) -> None:
    named = [f"t{number:02}" for number in range(30)]
    for tenant in named:
        await written(one, tenant, 3)
    store.reads.clear()
    seen = []
    async with aclosing(read_ahead(store, named)) as ledgers:
        async for tenant, first in ledgers:
            assert [receipt.tenant for receipt, _ in first.page] == [tenant] * 3
            seen.append(tenant)
            assert len(store.reads) <= len(seen) + LEDGERS_AHEAD
    assert seen == named
    assert store.reads == ["receipts"] * 30  # a page that is not full is the last

    store.failing["receipts"] = 1
    with pytest.raises(StoreUnavailable):
        [tenant async for tenant, _ in read_ahead(store, named)]


async def test_replay_rebuilds_the_live_state_and_says_whether_the_snapshot_agrees(store: FaultyStore) -> None:
    async with opened(store, bounds=CorridorBounds(snapshot_receipts=10)) as one:
        await written(one, "a", 25)
        found = await replay(store, "a")
        assert found is not None
        assert (found.receipts, found.agrees) == (25, True)
        assert found.state == (await one.corridor.durable("a")).state
        assert found.state.quotas[CALLS].used == 23
    real = store.real.read

    async def other(tenant: str) -> object:
        read = await real(tenant)
        assert read is not None
        assert read.snapshot is not None
        state = json.loads(read.snapshot.state)
        state["quotas"][CALLS]["used"] = 99
        return replace(read, snapshot=replace(read.snapshot, state=json.dumps(state).encode()), receipts=())

    store.read = other  # type: ignore[method-assign, assignment]
    disagreeing = await replay(store, "a")
    assert disagreeing is not None
    assert not disagreeing.agrees


async def test_there_is_nothing_to_replay_without_a_ledger_and_nothing_to_compare_without_a_snapshot(
    store: FaultyStore,
) -> None:
    assert await replay(store, "nobody") is None
    assert await live_state(store, "nobody", through=1) is None
    async with opened(store, HandClock()) as one:
        await written(one, "a", 3)
    assert await live_state(store, "a", through=3) is None
    found = await replay(store, "a")
    assert found is not None
    assert found.agrees


async def test_a_snapshot_ahead_of_what_is_compared_or_of_another_version_is_not_used(
    store: FaultyStore, target: FaultyStore, one: Instance
) -> None:
    await (await take_all(target, await written(one, "a", 10))).close()
    assert await live_state(target, "a", through=9) is None
    real = target.real.read

    async def other(tenant: str) -> object:
        read = await real(tenant)
        assert read is not None
        assert read.snapshot is not None
        return replace(read, snapshot=replace(read.snapshot, state_version=99))

    target.read = other  # type: ignore[method-assign, assignment]
    assert await live_state(target, "a", through=10) is None


async def test_an_import_whose_receipts_the_store_does_not_show_is_not_called_done(
    target: FaultyStore, one: Instance
) -> None:
    taking = await take_all(target, await written(one, "a", 3))

    async def nothing(tenants: object) -> dict[str, object]:
        return {}

    target.heads = nothing  # type: ignore[attr-defined]
    with pytest.raises(StoreUnavailable):
        await taking.close()


async def test_parts_come_with_the_receipt_that_they_belong_to(store: FaultyStore, one: Instance) -> None:
    await written(one, "a", 3)
    (part,) = await store.parts("a", 1, 3)
    assert part == Part(1, "metadata", part.salt, METADATA[0][1])
