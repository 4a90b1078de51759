"""What Firestore's bounds ask for: names that it takes, documents under 1 MiB, commits under 10 MiB."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from tests.contract.stores.builders import SALT, append, chain, moment, receipt, send, snapshot_of, verify
from tests.contract.stores.test_keeping import message
from tests.engines import firestore
from tests.fault.stores.firestore_calls import Calls

from tai_autonomics.ledger.records import Append, Appended, Due, Ledger, Part, Receipt
from tai_autonomics.stores.firestore import documents

pytestmark = pytest.mark.anyio

AWKWARD = [".", "..", "__x__", "a/b", "a b", "%2F", "ü", "a" * 128, "a-0000000000000001", "x:y@z"]


@pytest.mark.parametrize("name", AWKWARD)
async def test_any_name_of_a_tenant_a_part_a_row_or_a_policy_can_be_a_documents_name(name: str) -> None:
    store = await firestore.open_store()
    part, due = Part(1, name, SALT, b"{}"), Due(name, name, moment(1))
    made = receipt(name, command_id=name)
    assert await send(store, append(name, [made], parts=(part,), due=(due,))) == (Appended(),)
    assert await store.read(name) == Ledger(None, (made,))
    assert await store.find(name, name) == made
    assert await store.parts(name, 1, 1) == (part,)
    assert [row.due for row in await store.lease(9, 1.0, moment(9))] == [due]
    await store.keep_policy(name, b"text", moment(1))
    assert await store.policy(name) == b"text"
    assert await store.quarantine(replace(message(1), id=name))
    assert (await store.quarantined("", 9))[0].id == name
    await store.aclose()


@pytest.mark.parametrize("one", AWKWARD)
def test_no_two_names_share_a_document(one: str) -> None:
    for other in AWKWARD:
        if other != one:
            assert documents.head_path(one) != documents.head_path(other)
            assert documents.segment_path(one, 1) != documents.segment_path(other, 1)


async def test_the_largest_append_fits_in_a_commit() -> None:
    # 500 receipts, each with the longest names, and parts; bodies of more than 512 KiB together.
    store = await firestore.open_store(timeout_seconds=20.0)
    tenant, made = "t" * 128, []
    for number in range(500):
        subject = ("entitlement", "e" * 128)
        made.append(receipt(tenant, made[-1] if made else None, command_id=f"{number:0400}", subject=subject))
    parts = tuple(Part(one.seq, name, SALT, b"x" * 2_048) for one in made for name in ("metadata", "reason"))
    bodies = sum(len(one.body) for one in made)
    assert bodies > documents.CHUNK_BYTES
    largest = append(tenant, made, parts=parts, snapshot=snapshot_of(made[-1], b"x" * 1_500_000))
    assert await send(store, largest) == (Appended(),)
    ledger = await store.read(tenant)
    # The snapshot does not fit beside all that: it is left out, being a cache.
    assert ledger == Ledger(None, tuple(made))
    await store.aclose()


async def test_a_snapshot_of_many_chunks_grows_and_shrinks() -> None:
    store, head = await firestore.open_store(), None
    for size in (0, 3 * documents.CHUNK_BYTES, documents.CHUNK_BYTES, 2 * documents.CHUNK_BYTES + 1, 1):
        head_before, head = head, receipt("acme", head)
        kept = snapshot_of(head, bytes([size % 251]) * size)
        await send(store, append("acme", [head], head_before, snapshot=kept))
        assert await store.read("acme") == Ledger(kept, ())
    await store.aclose()


async def test_a_snapshot_is_read_whole_while_another_instance_replaces_it() -> None:
    project = firestore.new_project()
    writing, reading = await firestore.open_store(project), await firestore.open_store(project)
    head = receipt("acme")
    await send(writing, append("acme", [head], snapshot=snapshot_of(head, b"1" * 1_200_000)))

    async def replace_it() -> None:
        before = head
        for _ in range(15):
            newer = receipt("acme", before)
            state = bytes([48 + newer.seq]) * 1_200_000
            await send(writing, append("acme", [newer], before, snapshot=snapshot_of(newer, state)))
            before = newer

    task = asyncio.create_task(replace_it())
    while not task.done():
        ledger = await reading.read("acme")
        assert ledger is not None
        if ledger.snapshot is not None:
            assert len(set(ledger.snapshot.state)) == 1
            assert len(ledger.snapshot.state) == 1_200_000
    await task
    await writing.aclose()
    await reading.aclose()


@pytest.mark.parametrize("size", [0, documents.CHUNK_BYTES, documents.CHUNK_BYTES + 1, 14_000_000])
async def test_a_quarantined_message_may_be_as_large_as_a_push_and_leaves_nothing_behind(size: int) -> None:
    payload = b"x" * size
    store = await firestore.open_store(timeout_seconds=20.0)
    held = message(1, payload=payload)
    assert await store.quarantine(held)
    assert await store.quarantine(replace(held, payload=payload + b"another"))
    assert await store.quarantined("", 9) == (held,)
    await store.release_quarantined(held.id)
    assert await store.quarantined("", 9) == ()
    assert await _every_chunk(store) == []
    await store.aclose()


async def _every_chunk(store: Any) -> list[str]:
    from google.cloud.firestore_v1 import types

    engine = store._engine
    request = types.RunQueryRequest.pb()(parent=engine._documents)
    chosen = request.structured_query.from_.add()
    chosen.collection_id, chosen.all_descendants = "chunks", True
    request = types.RunQueryRequest.wrap(request)
    answers = await engine._client.run_query(request=request, **engine._call("parent", engine._documents))
    return [answer.document.name async for answer in answers if answer.document.name]


async def test_messages_entering_at_once_pass_the_bound_by_no_more_than_is_said() -> None:
    store = await firestore.open_store(quarantine_max=5)
    kept = await asyncio.gather(*(store.quarantine(message(number)) for number in range(50)))
    held = len(await store.quarantined("", 99))
    assert held == sum(kept)
    assert 5 <= held <= 5 + 8
    await store.aclose()


async def test_a_ledger_of_single_receipts_and_one_of_large_segments_are_read_in_pages_alike() -> None:
    store = await firestore.open_store()
    made = chain("acme", 700)
    places = [*range(30), 30, 530, 531, 640]
    for start, end in zip(places, [*places[1:], 700], strict=True):
        await send(store, append("acme", made[start:end], made[start - 1] if start else None))
    for limit in (1, 7, 30, 500, 1_000):
        found: list[Receipt] = []
        while page := await store.receipts("acme", len(found), limit):
            assert len(page) == min(limit, 700 - len(found))
            found.extend(page)
        assert tuple(found) == made
    assert await store.receipts("acme", 5, 3, subject="ent_1") == made[5:8]
    assert await store.receipts("acme", 0, 3, type="refusal") == ()
    assert await store.receipt("acme", 300) == made[299]
    assert await store.receipt("acme", 701) is None
    await verify(store, "acme", receipts=700)
    await store.aclose()


async def test_pages_grow_to_what_is_wanted_of_small_segments_and_shrink_for_large_ones() -> None:
    calls = Calls()
    store = await calls.open_store()
    made = chain("acme", 300)
    for start in range(300):
        await send(store, append("acme", made[start : start + 1], made[start - 1] if start else None))
    asked = len(calls.made)
    assert await store.receipts("acme", 0, 300) == made
    assert calls.made[asked:] == ["RunQuery"] * 2
    assert await store.receipts("acme", 0, 1, type="refusal") == ()
    assert calls.made[asked + 2 :] == ["RunQuery"] * 2
    assert await store.receipts("acme", 0, 1) == made[:1]
    await store.aclose()


async def test_an_append_that_no_commit_can_hold_is_an_error_and_not_busy_for_ever() -> None:
    store = await firestore.open_store()
    made = receipt("acme")
    parts = tuple(Part(1, f"part-{number}", SALT, b"x" * 1_000_000) for number in range(5))
    with pytest.raises(AssertionError, match="a commit of"):
        await send(store, append("acme", [made], parts=parts))
    assert await send(store, append("acme", [made])) == (Appended(),)
    await store.aclose()


async def test_an_append_without_receipts_to_no_ledger_is_a_mistake_of_this_program() -> None:
    store = await firestore.open_store()
    with pytest.raises(AssertionError):
        await send(store, Append("acme", 0, "0" * 64, due=(Due("entitlement/ent_1", "expire", moment(1)),)))
    assert await store.tenants("", 9) == ()
    await store.aclose()
