"""Ledgers between stores: whole, verified, restartable, and never mixed with another history."""

from collections.abc import AsyncIterator

import pytest
from tests.builders import CALLS, ENT, PRO
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import Instance, consume, opened

from tai_autonomics.application.transfer import Import, export, replay, tenants
from tai_autonomics.domain.entitlement import Grant
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import Release
from tai_autonomics.errors import BrokenChain, NotCanonical
from tai_autonomics.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

LATER = Moment("2026-12-24T00:00:00.000000Z")


@pytest.fixture
async def target() -> AsyncIterator[SQLiteStore]:
    store = await SQLiteStore.open(None)
    yield store
    await store.aclose()


async def lines_of(store: FaultyStore | SQLiteStore, tenant: str = "acme") -> list[bytes]:
    return [line async for line in export(store, tenant)]


async def import_all(store: SQLiteStore, lines: list[bytes]) -> None:
    taking = Import(store)
    await taking.take(lines)
    await taking.close()


async def live(one: Instance) -> None:
    """A term, some use, and a part."""
    await one.submit(Grant(ENT, PRO, expires_at=LATER), parts=(("reason", b'"because"'),))
    for _ in range(120):
        await one.submit(consume())
    await one.submit(Release(CALLS, 7))


async def test_an_import_gives_the_same_ledger_state_and_due_rows(one: Instance, target: SQLiteStore) -> None:
    await live(one)
    exported = await lines_of(one.store)
    taking = Import(target)
    assert await taking.take(exported) == 122
    (imported,) = await taking.close()
    assert (imported.appended, imported.held) == (122, 0)
    assert await lines_of(target) == exported
    rebuilt, there = await replay(one.store, "acme"), await replay(target, "acme")
    assert there is not None
    assert there == rebuilt
    (row,) = await target.lease(10, 10.0, LATER)
    assert (row.due.subject, row.due.kind, row.due.due) == ("entitlement/ent_1", "expire", LATER)
    async with opened(target) as other:
        assert (await other.submit(consume())).receipt.seq == 123


async def test_an_import_goes_on_where_it_was_interrupted(one: Instance, target: SQLiteStore) -> None:
    await live(one)
    exported = await lines_of(one.store)
    await Import(target).take(exported[:70])
    again = Import(target)
    await again.take(exported)
    (imported,) = await again.close()
    assert (imported.appended, imported.held) == (52, 70)
    assert await lines_of(target) == exported


async def test_a_tampered_line_stops_the_import_and_what_follows_it_is_not_written(
    one: Instance, target: SQLiteStore
) -> None:
    await live(one)
    exported = await lines_of(one.store)
    exported[60] = exported[60].replace(b'"used":60', b'"used":99')
    with pytest.raises(BrokenChain, match="receipt 61 of acme: step 4"):
        await Import(target).take(exported)
    assert await lines_of(target) == []


async def test_what_is_no_line_is_refused(target: SQLiteStore) -> None:
    with pytest.raises(NotCanonical):
        await Import(target).take([b"{}\n"])


@pytest.mark.parametrize("kept", [1, 122])
async def test_another_history_of_the_same_tenant_is_refused(one: Instance, kept: int) -> None:
    """Also where it ends before the store's own head does."""
    await live(one)
    exported = (await lines_of(one.store))[:kept]
    other_store = await SQLiteStore.open(None)
    async with opened(other_store) as other:
        other.clock.advance(1)
        for _ in range(20):
            await other.submit(consume())
        with pytest.raises(BrokenChain, match="step 4"):
            await import_all(other_store, exported)
        assert (await other_store.heads(["acme"]))["acme"].seq == 20
    await other_store.aclose()


async def test_every_tenant_with_a_ledger_is_named(one: Instance) -> None:
    for number in range(3):
        await one.grant(f"tenant-{number}")
    assert [tenant async for tenant in tenants(one.store)] == ["tenant-0", "tenant-1", "tenant-2"]


async def test_a_state_that_its_receipts_do_not_lead_to_is_told(one: Instance, target: SQLiteStore) -> None:
    await live(one)
    exported = await lines_of(one.store)
    await Import(target).take(exported)
    (ledger,) = [await target.read("acme")]
    assert ledger is not None
    assert ledger.snapshot is not None
    await falsify(target, ledger.snapshot.state.replace(b'"used":93', b'"used":92'))
    replayed = await replay(target, "acme")
    assert replayed is not None
    assert not replayed.agrees


async def falsify(store: SQLiteStore, state: bytes) -> None:
    """Put another state into the stored snapshot."""
    writer = store._writer
    assert writer is not None
    await store._run_in_writer(
        lambda: writer.run(lambda connection: connection.execute("UPDATE snapshots SET state = ?", (state,)))
    )


async def test_a_tenant_without_a_ledger_has_nothing_to_replay(target: SQLiteStore) -> None:
    assert await replay(target, "nobody") is None
