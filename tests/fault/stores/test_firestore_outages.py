"""Connections that are cut, answers that never come, an engine that goes away: errors, then recovery in place."""

import asyncio
import random
from collections.abc import AsyncIterator
from time import monotonic

import pytest
from tests.contract.stores.builders import append, chain, receipt, send, verify
from tests.engines import firestore
from tests.engines.firestore import Emulator
from tests.engines.proxy import Proxy
from tests.sizes import size

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Appended, Busy, Conflict, Duplicates, Outcome, Receipt
from tai_autonomics.stores.firestore import FirestoreStore

pytestmark = pytest.mark.anyio

TIMEOUT_SECONDS = 1.0
RECOVERY_SECONDS_MAX = 30


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with Proxy(firestore.emulator().port) as started:
        yield started


async def appended(store: FirestoreStore, tenant: str, made: Receipt, head: Receipt | None) -> Outcome:
    """The outcome of one receipt, whose same bytes are sent until there is one; nothing in between may be lost."""
    end = monotonic() + RECOVERY_SECONDS_MAX
    while True:
        try:
            (outcome,) = await send(store, append(tenant, [made], head))
        except StoreUnavailable:
            assert monotonic() < end, "it does not recover"
            await asyncio.sleep(0.01)
        else:
            if not isinstance(outcome, Busy):
                return outcome


async def test_an_answer_that_never_comes_is_an_error_in_time_and_what_persisted_is_found(proxy: Proxy) -> None:
    store = await firestore.open_store(emulator=proxy.address, timeout_seconds=TIMEOUT_SECONDS)
    first, second = chain("acme", 2)
    assert await appended(store, "acme", first, None) == Appended()
    proxy.arm("down", 0, "mute")
    began = monotonic()
    with pytest.raises(StoreUnavailable):
        await send(store, append("acme", [second], first))
    assert monotonic() - began < 3 * TIMEOUT_SECONDS + 0.5
    proxy.heal()
    assert await appended(store, "acme", second, first) == Appended()
    await verify(store, "acme", receipts=2)
    await store.aclose()


async def test_a_connection_cut_in_the_middle_of_a_commit_loses_and_repeats_nothing(proxy: Proxy) -> None:
    store = await firestore.open_store(emulator=proxy.address, timeout_seconds=2.0)
    head: Receipt | None = None
    chance = random.Random(7)
    count = size(short=30, full=400)
    for number in range(count):
        made = receipt("acme", head, command_id=f"c{number}", padding=2_000)
        # From the first bytes of the commit to those of the reading back.
        proxy.arm("up", chance.randrange(1, 6_000), "reset")
        assert await appended(store, "acme", made, head) == Appended()
        head = made
    proxy.heal()
    assert proxy.strikes >= count // 2
    found = await verify(store, "acme", receipts=count)
    assert [one.command_id for one in found] == [f"c{number}" for number in range(count)]
    await store.aclose()


async def test_an_engine_that_goes_away_and_comes_back_empty_is_noticed_without_a_restart() -> None:
    emulator = Emulator().start()
    try:
        store = await firestore.open_store(emulator=emulator.address, timeout_seconds=2.0)
        first, second = chain("acme", 2)
        assert await appended(store, "acme", first, None) == Appended()
        emulator.kill()
        with pytest.raises(StoreUnavailable):
            await send(store, append("acme", [second], first))
        with pytest.raises(StoreUnavailable):
            await store.probe()
        with pytest.raises(StoreUnavailable):
            await store.read("acme")
        await asyncio.to_thread(emulator.start)
        # What it had is gone with it: to this instance, a ledger that went back to nothing.
        assert await appended(store, "acme", second, first) == Conflict(())
        assert await store.read("acme") is None
        assert await appended(store, "acme", first, None) == Appended()
        await store.aclose()
    finally:
        emulator.kill()


async def test_writers_go_on_while_connections_are_cut_again_and_again(proxy: Proxy) -> None:
    store = await firestore.open_store(emulator=proxy.address, timeout_seconds=2.0)
    tenants = [f"tenant-{number}" for number in range(8)]
    count = size(short=12, full=200)
    writing = [asyncio.create_task(write(store, tenant, count)) for tenant in tenants]
    chance = random.Random(11)
    while not all(task.done() for task in writing):
        proxy.arm("up", chance.randrange(1, 30_000), "reset")
        await asyncio.wait(writing, timeout=0.15)
    proxy.heal()
    await asyncio.gather(*writing)
    assert proxy.strikes
    for tenant in tenants:
        await verify(store, tenant, receipts=count)
    await store.aclose()


async def write(store: FirestoreStore, tenant: str, count: int) -> None:
    head: Receipt | None = None
    for number in range(count):
        made = receipt(tenant, head, command_id=f"c{number}", padding=500)
        match await appended(store, tenant, made, head):
            case Appended():
                pass
            case Duplicates(first):
                assert first == {f"c{number}": made}
            case other:
                pytest.fail(f"{other}")
        head = made


async def test_a_closed_store_says_so() -> None:
    store = await firestore.open_store()
    await store.aclose()
    with pytest.raises(StoreUnavailable):
        await send(store, append("acme", chain("acme", 1)))
    with pytest.raises(StoreUnavailable):
        await store.read("acme")
    await store.aclose()
