"""What erasing promises: the part goes in its decision's own transaction, and from the journal as soon as can be."""

import pytest
from tests.contract.stores.builders import SALT, append, chain, receipt, send, verify

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import Appended, Conflict, Erased, Erasure, Part

pytestmark = pytest.mark.anyio

METADATA, REASON = Part(1, "metadata", SALT, b'{"name":"Ada"}'), Part(1, "reason", SALT, b'"moved"')


async def test_an_erased_part_is_gone_and_the_chain_still_verifies(store: Store) -> None:
    first = receipt("acme", parts=(METADATA, REASON))
    await send(store, append("acme", [first], parts=(METADATA, REASON)))
    erasing = append("acme", [receipt("acme", first)], first, erasures=(Erasure(1, "metadata"),))
    assert await send(store, erasing) == (Appended(),)
    assert await store.parts("acme", 1, 2) == (REASON,)
    await verify(store, "acme", receipts=2)


async def test_a_part_that_comes_and_goes_in_one_append_is_gone(store: Store) -> None:
    made = chain("acme", 2)
    await send(store, append("acme", made, parts=(METADATA,), erasures=(Erasure(1, "metadata"),)))
    assert await store.parts("acme", 1, 2) == ()


async def test_an_append_that_is_refused_erases_nothing(store: Store) -> None:
    made = chain("acme", 2)
    await send(store, append("acme", made, parts=(METADATA,)))
    late = receipt("acme", made[0], command_id="late")
    outcome = await send(store, append("acme", [late], made[0], erasures=(Erasure(1, "metadata"),)))
    assert outcome == (Conflict(made[1:]),)
    assert await store.parts("acme", 1, 2) == (METADATA,)


async def test_another_tenants_part_of_the_same_name_stays(store: Store) -> None:
    acme, beta = chain("acme", 1), chain("beta", 1)
    await send(store, append("acme", acme, parts=(METADATA,)), append("beta", beta, parts=(METADATA,)))
    await send(store, append("acme", (), acme[0], erasures=(Erasure(1, "metadata"),)))
    assert await store.parts("acme", 1, 1) == ()
    assert await store.parts("beta", 1, 1) == (METADATA,)


async def test_erasing_what_is_gone_already_changes_nothing(store: Store) -> None:
    made = chain("acme", 1)
    await send(store, append("acme", made))
    assert await send(store, append("acme", (), made[0], erasures=(Erasure(1, "metadata"),))) == (Appended(),)


async def test_what_was_erased_is_named_once_with_the_hash_of_its_receipt(store: Store) -> None:
    acme, beta = chain("acme", 2), chain("beta", 1)
    later = Part(2, "metadata", SALT, b"{}")
    await send(store, append("acme", acme, parts=(METADATA, REASON, later)), append("beta", beta, parts=(METADATA,)))
    assert await store.erased() == ()
    for name in ("metadata", "reason", "metadata"):
        await send(store, append("acme", (), acme[-1], erasures=(Erasure(1, name),)))
    await send(store, append("acme", (), acme[-1], erasures=(Erasure(2, "metadata"),)))
    await send(store, append("beta", (), beta[-1], erasures=(Erasure(1, "metadata"),)))
    assert set(found := await store.erased()) == {
        Erased("acme", 1, acme[0].hash, "metadata"),
        Erased("acme", 1, acme[0].hash, "reason"),
        Erased("acme", 2, acme[1].hash, "metadata"),
        Erased("beta", 1, beta[0].hash, "metadata"),
    }
    assert len(found) == 4


async def test_the_journal_is_clean_once_nobody_is_in_the_way(store: Store) -> None:
    made = chain("acme", 1)
    await send(store, append("acme", made, parts=(METADATA,)))
    await send(store, append("acme", (), made[0], erasures=(Erasure(1, "metadata"),)))
    assert await store.journal_clean()
    assert await store.journal_clean()
