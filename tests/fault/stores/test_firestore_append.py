"""
The fault table of append on Firestore: every call fails and is lost, fails but persisted, or arrives late.

Afterwards the ledger is as before or as intended, in every document; sending the same bytes again ends in the one
intended state; and so does the next append.
"""

from collections.abc import AsyncIterator
from itertools import cycle
from typing import Any

import grpc
import pytest
from tests.contract.stores.builders import append, chain, moment, receipt, send, snapshot_of, verify
from tests.engines import firestore
from tests.fault.stores.cases import OLD_PART, OLD_TIMER, Case
from tests.fault.stores.firestore_calls import Calls, When

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Appended, Busy, Conflict, Duplicates, Ledger
from tai_autonomics.stores.firestore import FirestoreStore

pytestmark = pytest.mark.anyio

CASE = Case("acme", state=b"x" * 600_000)
FIRST, SECOND, THIRD = CASE.first, CASE.second, CASE.third
EVERYTHING, BEFORE, AFTER = CASE.everything, CASE.before, CASE.after
OTHER = receipt("acme", FIRST, command_id="other")
FAR_AHEAD = (f"2099-01-01T00:{minute:02}:00.000000Z" for minute in cycle(range(60)))
UNKNOWN = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
]
NOT_STORED = [grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED]


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def project() -> str:
    return firestore.new_project()


@pytest.fixture
async def store(calls: Calls, project: str) -> AsyncIterator[FirestoreStore]:
    opened = await calls.open_store(project)
    await send(opened, CASE.begin)
    yield opened
    await opened.aclose()


@pytest.fixture
async def another(project: str, store: FirestoreStore) -> AsyncIterator[FirestoreStore]:
    """The same database, as another instance sees it."""
    opened = await firestore.open_store(project)
    yield opened
    await opened.aclose()


async def everything(store: FirestoreStore) -> tuple[Any, ...]:
    """What the documents of one ledger say; each time a minute later, so that looking again sees the same rows."""
    due = tuple(leased.due for leased in await store.lease(9, 1.0, next(FAR_AHEAD)))
    return await store.read("acme"), await store.parts("acme", 1, 9), due, await store.find("acme", "command-2")


@pytest.mark.parametrize("code", UNKNOWN, ids=lambda code: code.name)
async def test_a_commit_that_is_lost_leaves_nothing_and_nothing_is_said_of_it(
    store: FirestoreStore, calls: Calls, code: grpc.StatusCode
) -> None:
    calls.expect("Commit", "lost", code)
    with pytest.raises(StoreUnavailable):
        await send(store, EVERYTHING)
    assert await everything(store) == BEFORE
    assert await send(store, EVERYTHING) == (Appended(),)
    assert await everything(store) == AFTER


@pytest.mark.parametrize("code", UNKNOWN + NOT_STORED, ids=lambda code: code.name)
async def test_a_commit_that_persisted_is_found_by_reading_whatever_its_answer_was(
    store: FirestoreStore, calls: Calls, code: grpc.StatusCode
) -> None:
    calls.expect("Commit", "persisted", code)
    assert await send(store, EVERYTHING) == (Appended(),)
    assert await everything(store) == AFTER
    assert await send(store, append("acme", [THIRD], SECOND)) == (Appended(),)


@pytest.mark.parametrize("code", NOT_STORED, ids=lambda code: code.name)
async def test_a_commit_that_was_put_off_is_busy_and_leaves_nothing(
    store: FirestoreStore, calls: Calls, code: grpc.StatusCode
) -> None:
    calls.expect("Commit", "lost", code)
    assert await send(store, EVERYTHING) == (Busy(),)
    assert await everything(store) == BEFORE
    assert await send(store, EVERYTHING) == (Appended(),)


@pytest.mark.parametrize("when", ["lost", "persisted"])
async def test_where_the_examination_fails_too_nothing_is_said_and_the_same_bytes_find_their_place(
    store: FirestoreStore, calls: Calls, when: When
) -> None:
    calls.expect("Commit", when)
    calls.expect("BatchGetDocuments", "lost")
    with pytest.raises(StoreUnavailable):
        await send(store, EVERYTHING)
    assert len(calls.struck) == 2
    assert await everything(store) == (AFTER if when == "persisted" else BEFORE)
    assert await send(store, EVERYTHING) == (Appended(),)
    assert await send(store, append("acme", [THIRD], SECOND)) == (Appended(),)
    await verify(store, "acme", receipts=3)
    assert (await everything(store))[1:] == AFTER[1:]


async def test_what_persisted_unknown_and_is_sent_again_in_a_longer_append_is_told_as_held(
    store: FirestoreStore, calls: Calls
) -> None:
    calls.expect("Commit", "persisted")
    calls.expect("BatchGetDocuments", "lost")
    with pytest.raises(StoreUnavailable):
        await send(store, append("acme", [SECOND], FIRST))
    (outcome,) = await send(store, append("acme", [SECOND, THIRD], FIRST))
    assert isinstance(outcome, Duplicates)
    assert (outcome.first, outcome.head.hash) == ({"command-2": SECOND}, SECOND.hash)


async def test_a_head_that_cannot_be_read_stores_nothing(calls: Calls, project: str, store: FirestoreStore) -> None:
    cold = await calls.open_store(project)
    calls.expect("BatchGetDocuments", "lost")
    with pytest.raises(StoreUnavailable):
        await send(cold, EVERYTHING)
    assert await everything(cold) == BEFORE
    assert await send(cold, EVERYTHING) == (Appended(),)
    await cold.aclose()


@pytest.mark.parametrize("call", ["BatchGetDocuments", "RunQuery"])
async def test_a_conflict_that_cannot_be_told_stores_nothing_and_is_told_the_next_time(
    store: FirestoreStore, calls: Calls, another: FirestoreStore, call: str
) -> None:
    await send(another, append("acme", [SECOND], FIRST))
    calls.expect(call, "lost")
    with pytest.raises(StoreUnavailable):
        await send(store, append("acme", [OTHER], FIRST), append("beta", [receipt("beta")]))
    assert await store.find("acme", "other") is None
    assert await send(store, append("acme", [OTHER], FIRST)) == (Conflict((SECOND,)),)


async def test_one_tenants_failure_is_not_anothers(store: FirestoreStore, calls: Calls) -> None:
    calls.expect("Commit", "lost")
    told = []
    with pytest.raises(StoreUnavailable):
        await store.append(
            [append(name, [receipt(name)]) for name in ("beta", "gamma", "delta")],
            lambda one, outcome: told.append((one.tenant, outcome)),
        )
    assert len(told) == 2
    assert {outcome for _, outcome in told} == {Appended()}


async def test_a_duplicate_that_cannot_be_told_stores_nothing_and_is_told_the_next_time(
    store: FirestoreStore, calls: Calls
) -> None:
    again = receipt("acme", FIRST, command_id="command-1")
    calls.expect("BatchGetDocuments", "lost")
    with pytest.raises(StoreUnavailable):
        await send(store, append("acme", [again], FIRST))
    (outcome,) = await send(store, append("acme", [again], FIRST))
    assert isinstance(outcome, Duplicates)


async def test_an_unclaimed_id_that_cannot_be_looked_up_stores_nothing(store: FirestoreStore, calls: Calls) -> None:
    again = receipt("acme", FIRST, command_id="command-1", claims=False)
    calls.expect("BatchGetDocuments", "lost")
    with pytest.raises(StoreUnavailable):
        await send(store, append("acme", [again], FIRST))
    assert "Commit" not in calls.made[calls.made.index("Commit") + 1 :]
    (outcome,) = await send(store, append("acme", [again], FIRST))
    assert isinstance(outcome, Duplicates)


async def test_a_commit_that_arrives_late_is_ours_when_the_same_bytes_come_after_it(
    store: FirestoreStore, calls: Calls
) -> None:
    calls.expect("Commit", "late", grpc.StatusCode.DEADLINE_EXCEEDED)
    with pytest.raises(StoreUnavailable):
        await send(store, EVERYTHING)
    assert await everything(store) == BEFORE
    assert await calls.release() == [None]
    assert await send(store, EVERYTHING) == (Appended(),)
    assert await everything(store) == AFTER


async def test_a_commit_that_arrives_after_the_same_bytes_were_sent_again_is_refused(
    store: FirestoreStore, calls: Calls
) -> None:
    calls.expect("Commit", "late", grpc.StatusCode.DEADLINE_EXCEEDED)
    with pytest.raises(StoreUnavailable):
        await send(store, EVERYTHING)
    assert await send(store, EVERYTHING) == (Appended(),)
    (refusal,) = await calls.release()
    assert isinstance(refusal, grpc.aio.AioRpcError)
    assert await everything(store) == AFTER
    await verify(store, "acme", receipts=2)


async def test_a_commit_that_arrives_once_another_instance_was_first_is_refused(
    store: FirestoreStore, calls: Calls, another: FirestoreStore
) -> None:
    calls.expect("Commit", "late", grpc.StatusCode.DEADLINE_EXCEEDED)
    with pytest.raises(StoreUnavailable):
        await send(store, EVERYTHING)
    assert await send(another, append("acme", [OTHER], FIRST)) == (Appended(),)
    (refusal,) = await calls.release()
    assert isinstance(refusal, grpc.aio.AioRpcError)
    assert await send(store, EVERYTHING) == (Conflict((OTHER,)),)
    assert await another.parts("acme", 1, 9) == (OLD_PART,)


async def test_an_unknown_commit_is_a_conflict_once_another_holds_its_place(
    store: FirestoreStore, calls: Calls, another: FirestoreStore
) -> None:
    await send(another, append("acme", [OTHER], FIRST))
    calls.expect("Commit", "lost")
    assert await send(store, EVERYTHING) == (Conflict((OTHER,)),)


async def test_a_head_that_another_instance_wrote_without_a_receipt_is_no_conflict(
    store: FirestoreStore, calls: Calls, another: FirestoreStore
) -> None:
    await send(another, append("acme", (), FIRST, snapshot=snapshot_of(FIRST)))
    assert await send(store, append("acme", [SECOND], FIRST)) == (Appended(),)
    assert calls.made.count("Commit") == 3
    assert (await store.read("acme")) == Ledger(snapshot_of(FIRST), (SECOND,))


@pytest.mark.parametrize("when", ["lost", "persisted"])
@pytest.mark.parametrize("call", ["RunQuery", "BatchWrite"])
async def test_a_lease_that_fails_is_had_once_it_ends(
    store: FirestoreStore, calls: Calls, call: str, when: When
) -> None:
    calls.expect(call, when)
    with pytest.raises(StoreUnavailable):
        await store.lease(9, 10.0, moment(1))
    assert [leased.due for leased in await store.lease(9, 10.0, moment(11))] == [OLD_TIMER]


async def test_a_commit_is_never_repeated_by_the_client(store: FirestoreStore, calls: Calls) -> None:
    made = len(calls.made)
    calls.expect("Commit", "lost")
    with pytest.raises(StoreUnavailable):
        await send(store, append("acme", [SECOND], FIRST))
    assert calls.made[made:] == ["Commit", "BatchGetDocuments"]


async def test_an_append_on_a_known_head_is_one_call(store: FirestoreStore, calls: Calls) -> None:
    made = len(calls.made)
    await send(store, append("acme", [SECOND], FIRST))
    await send(store, append("acme", [THIRD], SECOND))
    await send(store, append("beta", chain("beta", 3)))
    assert calls.made[made:] == ["Commit"] * 3
