"""What a drop does beside others: to ids that were claimed anew, to another archive, to a base that is replaced."""

import pytest
from tests.contract.stores.builders import append, chain, receipt, send, snapshot_of
from tests.engines import firestore

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Appended, Base, Receipt
from tai_autonomics.stores.firestore import FirestoreStore, documents
from tai_autonomics.stores.firestore.documents import Write

pytestmark = pytest.mark.anyio


def base_of(last: Receipt, state: bytes = b"state") -> Base:
    return Base(snapshot_of(last, state), "a" * 64)


async def filled(store: FirestoreStore) -> tuple[Receipt, ...]:
    """Four appends of three receipts."""
    made = chain("acme", 12)
    for start in range(0, 12, 3):
        await send(store, append("acme", made[start : start + 3], made[start - 1] if start else None))
    return made


async def test_an_id_that_was_forgotten_and_claimed_anew_stays_claimed() -> None:
    store = await firestore.open_store()
    made = await filled(store)
    # As Firestore does thirty days after the receipt.
    await store._engine.commit([Write(documents.claim_path("acme", "command-2"), None)])
    anew = receipt("acme", made[-1], command_id="command-2")
    assert await send(store, append("acme", [anew], made[-1])) == (Appended(),)
    await store.rebase("acme", base_of(made[5]))
    assert await store.drop("acme", 100) == 6
    assert await store.find("acme", "command-2") == anew
    assert await store.find("acme", "command-1") is None
    await store.aclose()


async def test_a_segment_whose_claims_change_meanwhile_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = await firestore.open_store()
    made = await filled(store)
    await store.rebase("acme", base_of(made[2]))
    commit_if, tries = store._engine.commit_if, 0

    async def commit_beside(writes: list[Write]) -> bool:
        nonlocal tries
        tries += 1
        if tries == 1:  # forgotten between the reading and the commit
            await store._engine.commit([Write(documents.claim_path("acme", "command-2"), None)])
        return await commit_if(writes)

    monkeypatch.setattr(store._engine, "commit_if", commit_beside)
    assert await store.drop("acme", 100) == 3
    assert tries == 2
    assert await store.receipts("acme", 0, 20) == made[3:]
    await store.aclose()


async def test_what_another_archive_has_dropped_already_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    project = firestore.new_project()
    store, other = await firestore.open_store(project), await firestore.open_store(project)
    made = await filled(store)
    await store.rebase("acme", base_of(made[5]))
    commit_if, tries = store._engine.commit_if, 0

    async def commit_late(writes: list[Write]) -> bool:
        nonlocal tries
        tries += 1
        if tries == 1:
            assert await other.drop("acme", 3) == 3
        return await commit_if(writes)

    monkeypatch.setattr(store._engine, "commit_if", commit_late)
    assert await store.drop("acme", 100) == 3
    assert await store.receipts("acme", 0, 20) == made[6:]
    for each in (store, other):
        await each.aclose()


async def test_a_drop_that_is_refused_again_and_again_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store = await firestore.open_store()
    made = await filled(store)
    await store.rebase("acme", base_of(made[5]))

    async def refuse(writes: list[Write]) -> bool:
        return False

    monkeypatch.setattr(store._engine, "commit_if", refuse)
    with pytest.raises(StoreUnavailable, match="cannot be dropped now"):
        await store.drop("acme", 100)
    with pytest.raises(StoreUnavailable, match="is being replaced"):
        await store.rebase("acme", base_of(made[8]))
    assert await store.receipts("acme", 0, 20) == made
    await store.aclose()


async def test_of_two_bases_at_once_the_later_stays() -> None:
    project = firestore.new_project()
    store, other = await firestore.open_store(project), await firestore.open_store(project)
    made = await filled(store)
    large = b"x" * (2 * documents.CHUNK_BYTES + 1)
    await store.rebase("acme", base_of(made[2], large))
    commit_if, tries = store._engine.commit_if, 0

    async def commit_late(writes: list[Write]) -> bool:
        nonlocal tries
        tries += 1
        if tries == 1:
            await other.rebase("acme", base_of(made[8]))
        return await commit_if(writes)

    store._engine.commit_if = commit_late  # type: ignore[method-assign]
    await store.rebase("acme", base_of(made[5]))
    assert await other.bases(["acme"]) == {"acme": base_of(made[8])}
    for seq in (3, 6):
        paths = documents.base_chunk_paths("acme", seq, 3)
        assert await store._engine.get(paths) == {}, "the chunks of a base that is not there"
    for each in (store, other):
        await each.aclose()
