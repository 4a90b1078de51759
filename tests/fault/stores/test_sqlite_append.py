"""
The fault table of append: every step fails and is lost, or fails but persisted.

Afterwards the ledger is as before or as intended, in every table; sending the same bytes again ends in the one
intended state; and so does the next append.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.stores.builders import append, moment, receipt, send, verify
from tests.fault.stores.cases import NEW_TIMER, OLD_TIMER, Case
from tests.fault.stores.faulty import Faults, When

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Append, Appended, Conflict, Duplicates
from tai_autonomics.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

CASE = Case("acme")
FIRST, SECOND, THIRD = CASE.first, CASE.second, CASE.third
EVERYTHING, BEFORE, AFTER = CASE.everything, CASE.before, CASE.after
RECEIPT_ALONE = append("acme", [SECOND], FIRST)

STEPS = [
    "BEGIN IMMEDIATE",
    "INSERT INTO receipts",
    "DELETE FROM due",
    "INSERT INTO due",
    "INSERT INTO parts",
    "UPDATE parts",
    "INSERT INTO snapshots",
    "COMMIT",
]


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
async def store(faults: Faults, tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = await SQLiteStore.open(str(tmp_path / "tai.db"), factory=faults.factory())
    await send(opened, CASE.begin)
    yield opened
    await opened.aclose()


async def everything(store: SQLiteStore) -> tuple[Any, ...]:
    """What the tables of one ledger say; leases far apart, so that looking again sees the same rows."""
    due = tuple(leased.due for leased in await store.lease(9, 1.0, "2099-01-01T00:00:00.000000Z"))
    return await store.read("acme"), await store.parts("acme", 1, 9), due, await store.find("acme", "command-2")


@pytest.mark.parametrize("when", ["lost", "persisted"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_step_that_fails_leaves_all_of_the_append_or_nothing(
    store: SQLiteStore, faults: Faults, step: str, when: When
) -> None:
    faults.expect(step, when)
    with pytest.raises(StoreUnavailable):
        await send(store, EVERYTHING)
    assert faults.struck
    stored = step == "COMMIT" and when == "persisted"
    assert await everything(store) == (AFTER if stored else BEFORE)


@pytest.mark.parametrize("when", ["lost", "persisted"])
@pytest.mark.parametrize("step", STEPS)
async def test_after_a_failed_step_the_same_bytes_and_the_next_ones_find_their_place(
    store: SQLiteStore, faults: Faults, step: str, when: When
) -> None:
    faults.expect(step, when)
    with pytest.raises(StoreUnavailable):
        await send(store, EVERYTHING)
    match await send(store, EVERYTHING):
        case (Appended(),):
            pass
        case (Duplicates(first, head),):
            assert (first, head.hash) == ({"command-2": SECOND}, SECOND.hash)
        case other:
            pytest.fail(f"{other}")
    assert await send(store, append("acme", [THIRD], SECOND)) == (Appended(),)
    await verify(store, "acme", receipts=3)
    assert (await everything(store))[1:] == AFTER[1:]
    assert await store.problems() == ()


@pytest.mark.parametrize("when", ["lost", "persisted"])
async def test_a_lone_receipt_is_a_transaction_of_one_statement_and_fails_whole(
    store: SQLiteStore, faults: Faults, when: When
) -> None:
    faults.expect("INSERT INTO receipts", when)
    with pytest.raises(StoreUnavailable):
        await send(store, RECEIPT_ALONE)
    assert await store.find("acme", "command-2") == (SECOND if when == "persisted" else None)
    assert len(await store.receipts("acme", 0, 9)) == (2 if when == "persisted" else 1)
    await send(store, RECEIPT_ALONE)
    assert await send(store, append("acme", [THIRD], SECOND)) == (Appended(),)
    await verify(store, "acme", receipts=3)


@pytest.mark.parametrize("when", ["lost", "persisted"])
async def test_heads_are_read_again_after_a_failure(store: SQLiteStore, faults: Faults, when: When) -> None:
    faults.expect("INSERT INTO receipts", when)
    with pytest.raises(StoreUnavailable):
        await send(store, RECEIPT_ALONE)
    faults.expect("SELECT r.tenant, r.ledger, r.seq, r.hash, r.time FROM json_each", when)
    with pytest.raises(StoreUnavailable):
        await send(store, append("acme", [receipt("acme", FIRST, command_id="other")], FIRST))
    other = receipt("acme", FIRST, command_id="other")
    expected = Conflict((SECOND,)) if when == "persisted" else Appended()
    assert await send(store, append("acme", [other], FIRST)) == (expected,)


@pytest.mark.parametrize("when", ["lost", "persisted"])
async def test_a_look_up_of_held_ids_that_fails_stores_nothing(store: SQLiteStore, faults: Faults, when: When) -> None:
    again = receipt("acme", FIRST, command_id="command-1")
    faults.expect("SELECT r.tenant, r.ledger, r.seq, r.hash, r.time, r.type", when)
    with pytest.raises(StoreUnavailable):
        await send(store, append("acme", [again], FIRST), append("beta", [receipt("beta")]))
    assert await store.tenants("", 9) == ("acme",)
    (duplicates, appended) = await send(store, append("acme", [again], FIRST), append("beta", [receipt("beta")]))
    assert isinstance(duplicates, Duplicates)
    assert appended == Appended()


@pytest.mark.parametrize("step", ["BEGIN IMMEDIATE", "INSERT INTO receipts", "COMMIT"])
async def test_a_failure_of_the_second_try_beside_a_duplicate_stores_nothing_of_it(
    store: SQLiteStore, faults: Faults, step: str
) -> None:
    # The first try meets the unique index; what is armed here strikes the one after.
    await send(store, append("acme", [SECOND], FIRST))
    again = receipt("acme", SECOND, command_id="command-1")
    batch: list[Append] = [append("acme", [again], SECOND), append("beta", [receipt("beta")], due=(NEW_TIMER,))]
    faults.expect("ROLLBACK", "persisted")
    with pytest.raises(StoreUnavailable):
        await send(store, *batch)
    faults.expect(step, "lost")
    with pytest.raises(StoreUnavailable):
        await send(store, *batch)
    assert await store.read("beta") is None
    assert [type(outcome) for outcome in await send(store, *batch)] == [Duplicates, Appended]


async def test_a_connection_that_cannot_even_roll_back_is_replaced(store: SQLiteStore, faults: Faults) -> None:
    faults.expect("COMMIT", "lost")
    faults.expect("ROLLBACK", "lost")
    with pytest.raises(StoreUnavailable):
        await send(store, EVERYTHING)
    assert await everything(store) == BEFORE
    assert await send(store, EVERYTHING) == (Appended(),)
    assert len(faults.opened) == 2


@pytest.mark.parametrize("when", ["lost", "persisted"])
@pytest.mark.parametrize("step", ["SELECT id, tenant", "UPDATE due"])
async def test_a_lease_that_fails_is_had_once_it_ends(
    store: SQLiteStore, faults: Faults, step: str, when: When
) -> None:
    faults.expect(step, when)
    with pytest.raises(StoreUnavailable):
        await store.lease(9, 10.0, moment(1))
    assert [leased.due for leased in await store.lease(9, 10.0, moment(11))] == [OLD_TIMER]


async def test_a_probe_tells_that_writing_failed_until_it_works_again(store: SQLiteStore, faults: Faults) -> None:
    faults.expect("INSERT INTO receipts", "lost")
    with pytest.raises(StoreUnavailable):
        await send(store, RECEIPT_ALONE)
    faults.expect("PRAGMA user_version =", "lost")
    with pytest.raises(StoreUnavailable):
        await store.probe()
    await store.probe()
    faults.expect("PRAGMA user_version =", "lost")
    await store.probe()
    assert len(faults.coming) == 1, "a store that works is not written to"
