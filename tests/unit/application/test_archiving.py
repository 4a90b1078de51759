"""Old receipts go into lines, verified, and then out of the store, sealed; the ledger goes on as if they were there."""

from collections.abc import AsyncIterator, Sequence
from hashlib import sha256

import pytest
from msgspec.structs import replace
from tests.builders import ENT, PRO
from tests.unit.application.faulty_store import FaultyStore, Gate, held
from tests.unit.application.instance import START, Instance, consume, opened, verify

from tai_autonomics.application import archiving
from tai_autonomics.application.archiving import (
    Archived,
    Archiving,
    archive_lines,
    days_before,
    last_before,
    read_archive,
)
from tai_autonomics.application.codec import events_of
from tai_autonomics.application.importing import Import, Imported
from tai_autonomics.application.queries import Committed
from tai_autonomics.application.restoring import Restoring
from tai_autonomics.application.transfer import beginning, export, live_state, replay, stored
from tai_autonomics.domain.compliance import HoldPlaced, PlaceHold, ReleaseHold, Scope
from tai_autonomics.domain.entitlement import Grant
from tai_autonomics.domain.identifiers import HoldId
from tai_autonomics.domain.moments import moment_of, plus_seconds
from tai_autonomics.domain.plans import Retention
from tai_autonomics.domain.tenant import Erase, LedgerArchived
from tai_autonomics.errors import (
    BrokenArchive,
    BrokenChain,
    HeldBack,
    LedgerNewerThanCode,
    OutcomeUnknown,
    StoreUnavailable,
)
from tai_autonomics.ledger.chain import verify as verify_lines
from tai_autonomics.ledger.lines import parse_line, reply
from tai_autonomics.ledger.records import Base, Erased, Ledger, Receipt
from tai_autonomics.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

NOW = moment_of(START)
FAR = plus_seconds(NOW, 10**7)
METADATA = (("metadata", b'{"note":"personal"}'),)


@pytest.fixture
async def target() -> AsyncIterator[FaultyStore]:
    real = await SQLiteStore.open(None)
    yield FaultyStore(real)
    await real.aclose()


async def aged(one: Instance, receipts: int, *, tenant: str = "acme") -> None:
    """A ledger with a part and a timer far off, a receipt a second."""
    await one.submit(Grant(ENT, PRO, expires_at=FAR), tenant=tenant, parts=METADATA, id="the first")
    for _ in range(receipts - 1):
        one.clock.advance(1)
        await one.submit(consume(), tenant=tenant)


def archiving_of(one: Instance) -> Archiving:
    return Archiving(one.store, one.corridor, lambda: one.plans, one.sealing_clock, by="tester", timeout_seconds=10)


async def lines_of(store: FaultyStore, last: int, tenant: str = "acme") -> list[bytes]:
    base = (await store.bases((tenant,))).get(tenant)
    return [line async for line in archive_lines(store, tenant, base, last)]


def read_back(lines: list[bytes], tenant: str = "acme") -> Archived:
    return read_archive(tenant, lines, archive=sha256(b"".join(lines)).hexdigest())


async def archive(one: Instance, last: int, tenant: str = "acme") -> list[bytes]:
    """The lines of the archive, whose receipts are dropped."""
    lines = await lines_of(one.store, last, tenant)
    archived, work = read_back(lines, tenant), archiving_of(one)
    await work.check(archived, before=FAR)
    await work.seal(archived)
    await work.begin(archived)
    assert await work.drop(tenant, lambda _: None) == archived.receipts
    return lines


async def exported(store: FaultyStore, tenant: str = "acme") -> list[bytes]:
    return [line async for line in export(store, tenant)]


async def whole(store: FaultyStore, tenant: str = "acme") -> list[Receipt]:
    return [receipt async for receipt, _ in stored(store, tenant)]


async def test_an_archive_and_what_is_left_are_the_ledger_byte_for_byte(one: Instance) -> None:
    await aged(one, 12)
    before = await exported(one.store)
    state = (await one.corridor.durable("acme")).state
    archived = await archive(one, 7)
    left = await exported(one.store)
    bodies = [parse_line(line).body for line in [*archived, *left]]
    assert bodies[:12] == [parse_line(line).body for line in before]
    assert len(bodies) == 13
    (verified,) = verify_lines(archived, {})
    assert (verified.receipts, verified.after, verified.erased) == (7, 0, {"metadata": 1})
    (verified,) = verify_lines(left, {})
    assert (verified.receipts, verified.after) == (6, 7)
    (verified,) = verify_lines([*archived, *left], {})
    assert (verified.receipts, verified.after) == (13, 0)
    assert (await one.corridor.durable("acme")).state == state
    replayed = await replay(one.store, "acme")
    assert replayed is not None
    assert (replayed.receipts, replayed.agrees, replayed.state) == (6, True, state)


async def test_what_was_archived_is_sealed_with_the_digests_of_state_and_file(one: Instance) -> None:
    await aged(one, 5)
    lines = await lines_of(one.store, 3)
    archived = read_back(lines)
    first = await archiving_of(one).seal(archived)
    again = await archiving_of(one).seal(archived)
    assert (again.receipt, again.replayed) == (first.receipt, True)
    base = archived.base
    (event,) = events_of(first.receipt)
    assert event == LedgerArchived(
        first_seq=1,
        through_seq=3,
        hash=parse_line(lines[-1]).hash,
        state_digest=sha256(base.snapshot.state).hexdigest(),
        archive_digest=sha256(b"".join(lines)).hexdigest(),
    )
    assert (first.receipt.subject_kind, first.receipt.subject_id) == ("ledger", first.receipt.ledger)


# ---- where to cut


@pytest.mark.parametrize("scope", ["erasure", "all"])
async def test_a_hold_on_erasing_keeps_receipts_from_being_dropped_until_it_is_released(
    one: Instance, scope: Scope
) -> None:
    await aged(one, 5)
    held = (await one.submit(PlaceHold(scope, "urn:case:1", "me"))).receipt
    archived, work = read_back(await lines_of(one.store, 3)), archiving_of(one)
    with pytest.raises(HeldBack, match=r"holds are on: .*: release what holds it; nothing is dropped \(receipt 7\)"):
        await work.seal(archived)
    assert (await one.store.bases(("acme",))) == {}
    await one.submit(ReleaseHold(hold_of(held), "me"))
    assert (await work.seal(archived)).receipt.type == "transition"


@pytest.mark.parametrize("begun", [False, True], ids=["before the ledger begins anew", "before the rest is dropped"])
async def test_a_hold_that_comes_after_the_seal_keeps_what_is_not_dropped_yet(one: Instance, begun: bool) -> None:
    await aged(one, 5)
    archived, work = read_back(await lines_of(one.store, 3)), archiving_of(one)
    await work.seal(archived)
    if begun:
        await work.begin(archived)
    async with opened(one.store) as another:
        held = (await another.submit(PlaceHold("erasure", "urn:case:1", "me"))).receipt
        # A run that was cut short is repeated: its receipt is there, so the decider is not asked again.
        assert (await work.seal(archived)).replayed
        with pytest.raises(
            HeldBack, match=f"holds are on: {hold_of(held)}: release what holds it; nothing more is dropped"
        ):
            await (work.drop("acme", lambda _: None) if begun else work.begin(archived))
        assert await one.store.receipt("acme", 1) is not None
        await another.submit(ReleaseHold(hold_of(held), "me"))
    await work.begin(archived)
    assert await work.drop("acme", lambda _: None) == 3


async def test_a_retention_that_grows_after_the_seal_keeps_what_is_not_dropped_yet(one: Instance) -> None:
    await aged(one, 5)
    archived, work = read_back(await lines_of(one.store, 3)), archiving_of(one)
    await work.seal(archived)
    one.plans = replace(one.plans, retention=Retention(86_400, 0))
    assert (await work.seal(archived)).replayed
    with pytest.raises(HeldBack, match=r"retention keeps it until .*; nothing more is dropped"):
        await work.begin(archived)
    one.clock.advance(86_400)
    await work.begin(archived)
    one.plans = replace(one.plans, retention=Retention(2 * 86_400, 0))
    with pytest.raises(HeldBack, match="retention keeps it until"):
        await work.drop("acme", lambda _: None)
    assert await one.store.receipt("acme", 1) is not None
    one.clock.advance(86_400)
    assert await work.drop("acme", lambda _: None) == 3


async def test_retention_keeps_receipts_from_being_dropped_until_its_end_and_the_error_names_it(one: Instance) -> None:
    await aged(one, 5)
    one.plans = replace(one.plans, retention=Retention(400 * 86_400, 0))
    archived, work = read_back(await lines_of(one.store, 3)), archiving_of(one)
    end = plus_seconds(NOW, 400 * 86_400 + 2)
    assert await work.retention_seconds("acme") == 400 * 86_400
    with pytest.raises(HeldBack, match=f"retention keeps it until {end}: wait until {end}; nothing is dropped"):
        await work.seal(archived)
    assert (await one.store.bases(("acme",))) == {}
    one.clock.advance(400 * 86_400)
    assert (await work.seal(archived)).receipt.type == "transition"


def hold_of(receipt: Receipt) -> HoldId:
    (event,) = (each for each in events_of(receipt) if isinstance(each, HoldPlaced))
    return event.hold_id


async def test_the_last_that_is_old_enough_is_found_by_its_time(one: Instance) -> None:
    await aged(one, 12)
    receipts = await whole(one.store)
    for seq in (1, 2, 7, 12):
        before = receipts[seq - 1].time
        assert await last_before(one.store, "acme", None, before=before, through=None) == seq - 1
        assert await last_before(one.store, "acme", None, before=FAR, through=seq) == seq
    assert await last_before(one.store, "acme", None, before=FAR, through=None) == 12
    assert days_before(NOW, 30) == plus_seconds(NOW, -30 * 86_400)


async def test_receipts_of_one_moment_stay_together(one: Instance) -> None:
    await aged(one, 3)
    for _ in range(5):
        await one.submit(consume())
    receipts = await whole(one.store)
    assert await last_before(one.store, "acme", None, before=receipts[-1].time, through=None) == 2


async def test_a_second_archive_begins_behind_the_first(one: Instance) -> None:
    await aged(one, 12)
    await archive(one, 7)
    (base,) = (await one.store.bases(("acme",))).values()
    assert await last_before(one.store, "acme", base, before=NOW, through=None) == 7
    assert await last_before(one.store, "acme", base, before=FAR, through=9) == 9
    assert await last_before(one.store, "acme", base, before=FAR, through=None) == 13


async def test_where_to_cut_is_not_looked_for_while_another_archives(one: Instance) -> None:
    await aged(one, 12)
    await archive(one, 7)
    with pytest.raises(StoreUnavailable, match="being archived by another"):
        await last_before(one.store, "acme", None, before=FAR, through=6)


# ---- what an archive holds


async def test_several_archives_and_what_is_left_verify_from_the_first_receipt_or_from_each_base(one: Instance) -> None:
    await aged(one, 12)
    files = [await archive(one, last) for last in (4, 9)]
    left = await exported(one.store)
    state = (await one.corridor.durable("acme")).state
    assert [parse_line(lines[0]).base is None for lines in (*files, left)] == [True, False, False]
    (verified,) = verify_lines([*files[0], *files[1], *left], {})
    assert verified.receipts == 14
    (verified,) = verify_lines([*files[1], *left], {})
    assert (verified.receipts, verified.after) == (10, 4)
    archived = read_back(files[1])
    assert (archived.first, archived.receipts) == (5, 5)
    assert archived.begins == read_back(files[0]).base
    assert archived.base == (await one.store.bases(("acme",)))["acme"]
    replayed = await replay(one.store, "acme")
    assert replayed is not None
    assert replayed.state == state


@pytest.mark.parametrize(("given", "seq", "step"), [((0, 2), 5, 4), ((1, 0, 2), 10, 3), ((1,), 5, 8), ((0, 0), 5, 3)])
async def test_a_wrong_archive_at_the_seam_is_refused(
    one: Instance, given: tuple[int, ...], seq: int, step: int
) -> None:
    await aged(one, 12)
    files = [await archive(one, last) for last in (4, 9)]
    files.append(await exported(one.store))
    with pytest.raises(BrokenChain) as caught:
        verify_lines([line for number in given for line in files[number]], {})
    assert (caught.value.seq, caught.value.step) == (seq, step)


async def test_an_archive_of_another_history_does_not_fit_the_seam(one: Instance, target: FaultyStore) -> None:
    await aged(one, 8)
    await archive(one, 4)
    async with opened(target) as other:
        await aged(other, 8)
        foreign = await archive(other, 4)
    with pytest.raises(BrokenChain, match="step 4: the base beside it is receipt 4"):
        verify_lines([*foreign, *await exported(one.store)], {})


@pytest.mark.parametrize("member", ["state", "archive", "hash", "seq", "time", "ledger"])
async def test_a_base_that_no_receipt_names_is_refused(one: Instance, member: str) -> None:
    await aged(one, 8)
    await archive(one, 4)
    first, *rest = await exported(one.store)
    line = parse_line(first)
    assert line.base is not None
    at = line.base.snapshot
    changed = {
        "state": replace(line.base, snapshot=replace(at, state=at.state.replace(b'"used":3', b'"used":2'))),
        "archive": replace(line.base, archive="0" * 64),
        "hash": replace(line.base, snapshot=replace(at, hash="0" * 64)),
        "seq": replace(line.base, snapshot=replace(at, seq=3)),
        "time": replace(line.base, snapshot=replace(at, time=FAR)),
        "ledger": replace(line.base, snapshot=replace(at, ledger="another")),
    }[member]
    assert changed != line.base
    forged = reply(line.body, line.hash, line.parts, plans=line.plans, base=changed)
    with pytest.raises(BrokenChain):
        verify_lines([forged, *rest], {})


async def test_an_empty_archive_and_a_state_that_no_line_takes_are_refused(
    one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BrokenArchive, match="without a receipt"):
        read_back([])
    await aged(one, 3)
    lines = await lines_of(one.store, 2)
    monkeypatch.setattr(archiving, "STATE_BYTES_MAX", 10)
    with pytest.raises(BrokenArchive, match="cannot be archived"):
        read_back(lines)


async def test_only_the_stores_own_next_receipts_are_archived_and_none_that_are_young(
    one: Instance, target: FaultyStore
) -> None:
    await aged(one, 8)
    archived, work = read_back(await lines_of(one.store, 4)), archiving_of(one)
    await work.check(archived, before=FAR)
    with pytest.raises(BrokenArchive, match="too late"):
        await work.check(archived, before=archived.base.snapshot.time)
    async with opened(target) as other:
        await aged(other, 8)
        foreign = read_back(await lines_of(target, 4))
        longer = read_back(await lines_of(target, 8))
        await archive(other, 2)
        with pytest.raises(BrokenArchive, match="begins elsewhere"):
            await archiving_of(other).check(longer, before=FAR)
    with pytest.raises(BrokenArchive, match="its ledger has"):
        await work.check(foreign, before=FAR)
    beyond = replace(archived, base=replace(archived.base, snapshot=replace(archived.base.snapshot, seq=99)))
    with pytest.raises(BrokenArchive, match="its ledger has none"):
        await work.check(beyond, before=FAR)


# ---- cut short


async def test_what_is_left_to_drop_is_found_again(one: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    await aged(one, 12)
    archived, work = read_back(await lines_of(one.store, 7)), archiving_of(one)
    await work.seal(archived)
    assert await work.left("acme") is None
    await work.begin(archived)
    assert await work.left("acme") == archived.base
    assert await one.store.drop("acme", 3) == 3
    assert await work.left("acme") == archived.base
    assert len(await exported(one.store)) == 6
    monkeypatch.setattr(archiving, "DROP_RECEIPTS", 2)
    told: list[int] = []
    assert await work.drop("acme", told.append) == 4
    assert told == [2, 4]
    assert await work.left("acme") is None


@pytest.mark.parametrize("dropped", [0, 3, 7])
async def test_a_ledger_is_whole_wherever_dropping_was_cut_short(one: Instance, dropped: int) -> None:
    await aged(one, 12)
    lines, state = await lines_of(one.store, 7), (await one.corridor.durable("acme")).state
    work = archiving_of(one)
    await work.seal(read_back(lines))
    await work.begin(read_back(lines))
    if dropped:
        await one.store.drop("acme", dropped)
    assert verify_lines([*lines, *await exported(one.store)], {})[0].receipts == 13
    replayed = await replay(one.store, "acme")
    assert replayed is not None
    assert (replayed.receipts, replayed.agrees) == (6, True)
    async with opened(one.store, one.clock) as another:
        assert (await another.corridor.durable("acme")).state == state


async def test_an_export_that_meets_an_archive_says_to_begin_again(
    one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tai_autonomics.application.transfer.PAGE_RECEIPTS", 2)
    await aged(one, 12)
    lines = export(one.store, "acme")
    await anext(lines)
    await archive(one, 7)
    with pytest.raises(StoreUnavailable, match="acme is being archived"):
        [line async for line in lines]


async def test_a_ledger_that_is_archived_while_its_beginning_is_read_is_read_from_its_base(one: Instance) -> None:
    await aged(one, 12)
    bases, asked = one.store.real.bases, 0

    async def late(tenants: Sequence[str]) -> dict[str, Base]:
        nonlocal asked
        asked += 1
        if asked > 1:
            return await bases(tenants)
        await archive_in(one, 7)
        return {}

    async def archive_in(one: Instance, last: int) -> None:
        one.store.real.bases = bases
        await archive(one, last)
        one.store.real.bases = late

    one.store.real.bases = late
    found = await beginning(one.store, "acme")
    assert (found.after, found.page[0][0].seq) == (7, 8)


async def test_a_ledger_without_its_beginning_and_without_a_base_is_broken(one: Instance) -> None:
    await aged(one, 12)
    await archive(one, 7)
    one.store.bases = nothing
    with pytest.raises(BrokenChain, match="receipt 1 of acme: step 8: seq is 8"):
        await exported(one.store)


async def nothing(tenants: Sequence[str]) -> dict[str, Base]:
    return {}


# ---- decided on what is left


async def test_a_cold_lane_goes_on_from_the_base_where_no_snapshot_is_newer(one: Instance) -> None:
    await aged(one, 12)
    state = (await one.corridor.durable("acme")).state
    await archive(one, 12)
    async with opened(one.store, one.clock) as another:
        assert (await another.corridor.durable("acme")).state == state
        assert (await another.submit(verify())).receipt.seq == 14


async def unliftable(store: FaultyStore, *, base: bool) -> None:
    """The snapshot is of another release, and so is the base where it says so."""
    real_read, real_bases = store.real.read, store.real.bases

    async def read(tenant: str) -> Ledger | None:
        found = await real_read(tenant)
        assert found is not None
        assert found.snapshot is not None
        return Ledger(replace(found.snapshot, state_version=99), found.receipts)

    async def bases(tenants: Sequence[str]) -> dict[str, Base]:
        found = await real_bases(tenants)
        return {t: replace(b, snapshot=replace(b.snapshot, state_version=99)) for t, b in found.items()}

    store.real.read = read
    if base:
        store.real.bases = bases


async def test_where_the_snapshot_cannot_be_lifted_the_receipts_after_the_base_rebuild_the_state(one: Instance) -> None:
    await aged(one, 12)
    await archive(one, 7)
    state = (await one.corridor.durable("acme")).state
    await unliftable(one.store, base=False)
    async with opened(one.store, one.clock) as another:
        assert (await another.corridor.durable("acme")).state == state
    assert await live_state(one.store, "acme", through=13) is None


async def test_a_base_that_cannot_be_lifted_is_never_skipped(one: Instance) -> None:
    await aged(one, 12)
    await archive(one, 7)
    await unliftable(one.store, base=True)
    async with opened(one.store, one.clock) as another:
        with pytest.raises(LedgerNewerThanCode, match="the state at receipt 7 of ledger"):
            await another.corridor.durable("acme")
    with pytest.raises(LedgerNewerThanCode, match="version 99"):
        await replay(one.store, "acme")


async def test_a_lane_that_was_idle_while_all_it_knew_was_archived_reads_its_ledger_anew(
    store: FaultyStore, one: Instance
) -> None:
    async with opened(store, one.clock) as idle:
        await aged(idle, 3)
        for _ in range(9):
            await one.submit(consume())
        await archive(one, 10)
        answer = await idle.submit(consume())
        assert answer.receipt.seq == 14
        assert idle.witness.count("went_back") == 0
        one.clock.advance(5)
        assert (await idle.corridor.durable("acme")).state == (await one.freshness.durable("acme")).durable.state


async def test_a_check_on_a_state_that_was_archived_meanwhile_is_fresh(store: FaultyStore, one: Instance) -> None:
    async with opened(store, one.clock) as idle:
        await aged(idle, 3)
        for _ in range(9):
            await one.submit(consume())
        await archive(one, 10)
        one.clock.advance(5)
        fresh = await idle.freshness.durable("acme")
        assert (fresh.stale, fresh.durable.head.seq) == (False, 13)
        assert idle.witness.count("went_back") == 0


async def test_a_check_beside_a_lane_at_work_that_misses_what_was_archived_is_stale(
    store: FaultyStore, one: Instance
) -> None:
    async with opened(store, one.clock) as idle:
        await aged(idle, 3)
        for _ in range(9):
            await one.submit(consume())
        await archive(one, 10)
        one.clock.advance(5)
        gate = Gate()
        store.faults.append(held(gate))
        working = idle.begin(consume())
        await gate.reached.wait()
        assert (await idle.freshness.durable("acme")).stale
        gate.open()
        assert (await working).receipt.seq == 14


async def test_a_command_whose_receipt_is_archived_is_decided_anew_once_it_is_forgotten(one: Instance) -> None:
    await aged(one, 6)
    async with opened(one.store) as another:
        await archive(another, 4)
    with pytest.raises(OutcomeUnknown):
        await one.submit(Grant(ENT, PRO, expires_at=FAR), id="the first")
    again = await one.submit(Grant(ENT, PRO, expires_at=FAR), id="the first")
    assert (again.replayed, again.receipt.seq) == (False, 8)


# ---- parts


async def test_a_part_of_an_archived_receipt_is_erased_as_ever_and_is_in_no_archive(one: Instance) -> None:
    await aged(one, 6)
    receipts = await whole(one.store)
    lines = await archive(one, 4)
    assert b"personal" not in b"".join(lines)
    committed = await one.queries.committed("acme", 1)
    assert committed == Committed(receipts[0].hash, ("metadata",), None)
    assert [await one.queries.committed("acme", seq) for seq in (2, 99)] == [None, None]
    assert await one.queries.committed("acme", 5) == Committed(receipts[4].hash, (), receipts[4].time)
    await one.submit(Erase(1, "metadata"))
    assert await one.store.parts("acme", 1, 9) == ()
    assert await one.store.erased() == (Erased("acme", 1, receipts[0].hash, "metadata"),)


async def test_after_a_restore_the_part_of_an_archived_receipt_is_erased_again(one: Instance) -> None:
    await aged(one, 6)
    first, *_ = await whole(one.store)
    await archive(one, 4)
    listed = [Erased("acme", 1, first.hash, "metadata"), Erased("acme", 1, "0" * 64, "metadata")]
    restoring = Restoring(one.store, one.corridor, by="tester", timeout_seconds=10)
    fit = await restoring.run("r1", listed[::-1], lambda _: None)
    assert (fit.ledgers, fit.receipts, fit.erased) == (1, 3, 1)
    assert await one.store.parts("acme", 1, 9) == ()


# ---- into another store


async def taken(store: FaultyStore, lines: list[bytes]) -> Imported:
    taking = Import(store)
    await taking.take(lines)
    (done,) = await taking.close()
    return done


async def due_rows(store: FaultyStore) -> set[tuple[str, str, str]]:
    return {(row.due.subject, row.due.kind, row.due.due) for row in await store.real.lease(100, 1.0, FAR)}


async def test_a_ledger_moves_from_its_base_on_with_what_is_due_by_its_state(
    one: Instance, target: FaultyStore
) -> None:
    await aged(one, 12)
    await archive(one, 7)
    lines = await exported(one.store)
    done = await taken(target, lines)
    assert (done.appended, done.held) == (6, 0)
    assert await target.heads(("acme",)) == await one.store.heads(("acme",))
    assert await target.bases(("acme",)) == await one.store.bases(("acme",))
    assert await exported(target) == lines
    assert await due_rows(target) == await due_rows(one.store) == {(f"entitlement/{ENT}", "expire", FAR)}
    state = (await one.corridor.durable("acme")).state
    async with opened(target, one.clock) as there:
        assert (await there.corridor.durable("acme")).state == state
    again = await taken(target, lines)
    assert (again.appended, again.held) == (0, 6)


@pytest.mark.parametrize("cut", [1, 4])
async def test_an_import_from_a_base_goes_on_where_one_ended(one: Instance, target: FaultyStore, cut: int) -> None:
    await aged(one, 12)
    await archive(one, 7)
    lines = await exported(one.store)
    await Import(target).take(lines[:cut])
    done = await taken(target, lines)
    assert (done.appended, done.held) == (6 - cut, cut)
    assert await exported(target) == lines


async def test_an_import_that_ended_with_the_base_goes_on_from_it(one: Instance, target: FaultyStore) -> None:
    await aged(one, 12)
    await archive(one, 7)
    lines = await exported(one.store)
    base = parse_line(lines[0]).base
    assert base is not None
    await target.real.rebase("acme", base)
    done = await taken(target, lines)
    assert (done.appended, done.held) == (6, 0)
    assert await due_rows(target) == {(f"entitlement/{ENT}", "expire", FAR)}


async def test_with_its_archives_the_whole_ledger_is_taken_up_again(one: Instance, target: FaultyStore) -> None:
    await aged(one, 12)
    before = await whole(one.store)
    archived = await archive(one, 7)
    lines = await exported(one.store)
    done = await taken(target, [*archived, *lines])
    assert done.appended == 13
    assert await target.bases(("acme",)) == {}
    assert (await whole(target))[:12] == before
    again = await taken(target, lines)
    assert (again.appended, again.held) == (0, 6)


async def test_a_ledger_that_ends_before_the_base_needs_the_archive_first(one: Instance, target: FaultyStore) -> None:
    await aged(one, 12)
    archived = await archive(one, 7)
    await taken(target, archived[:5])
    lines = await exported(one.store)
    with pytest.raises(BrokenChain, match=r"receipt 6 of acme: step 3: .* ends before receipt 7"):
        await taken(target, lines)
    await taken(target, [*archived, *lines])


async def test_a_ledger_of_another_history_is_not_taken_for_the_one_before_the_base(
    one: Instance, target: FaultyStore
) -> None:
    await aged(one, 12)
    await archive(one, 7)
    async with opened(target) as other:
        await aged(other, 7)
    with pytest.raises(BrokenChain, match="step 4: the store holds"):
        await taken(target, await exported(one.store))


async def test_a_base_that_nothing_names_ends_an_import(one: Instance, target: FaultyStore) -> None:
    await aged(one, 12)
    await archive(one, 7)
    lines = await exported(one.store)
    with pytest.raises(BrokenChain, match="no receipt says that the ledger was archived through receipt 7"):
        await taken(target, lines[:-1])
