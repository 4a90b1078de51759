"""What holding a tenant's place promises: whoever holds it reads and appends as ever, and so do all others after it."""

import pytest
from tests.contract.stores.builders import append, chain, receipt, send, verify

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import Appended, Conflict, Duplicates, Head, Ledger

pytestmark = pytest.mark.anyio


async def test_who_holds_a_tenant_reads_decides_and_appends(store: Store) -> None:
    made = chain("acme", 3)
    await send(store, append("acme", made[:2]))
    async with store.held("acme"):
        assert await store.read("acme") == Ledger(None, made[:2])
        assert await store.receipts("acme", 1, 9) == made[1:2]
        assert await store.find("acme", "command-2") == made[1]
        assert await send(store, append("acme", made[2:], made[1])) == (Appended(),)
        assert await store.read("acme") == Ledger(None, made)
    await verify(store, "acme", receipts=3)


async def test_inside_outcomes_are_what_they_are_outside(store: Store) -> None:
    made = chain("acme", 2)
    await send(store, append("acme", made))
    late, again = receipt("acme", made[0], command_id="late"), receipt("acme", made[1], command_id="command-1")
    head = Head(made[1].ledger, 2, made[1].hash, made[1].time)
    async with store.held("acme"):
        assert await send(store, append("acme", [late], made[0])) == (Conflict(made[1:]),)
        assert await send(store, append("acme", [again], made[1])) == (Duplicates({"command-1": made[0]}, head),)
    await verify(store, "acme", receipts=2)


async def test_other_tenants_are_appended_beside_a_held_one(store: Store) -> None:
    async with store.held("acme"):
        assert await send(store, append("beta", chain("beta", 1))) == (Appended(),)
        both = await send(store, append("acme", chain("acme", 1)), append("gamma", chain("gamma", 1)))
        assert both == (Appended(), Appended())


async def test_whoever_holds_a_tenant_may_leave_without_a_word(store: Store) -> None:
    async with store.held("acme"):
        pass
    with pytest.raises(ZeroDivisionError):
        async with store.held("acme"):
            raise ZeroDivisionError
    assert await send(store, append("acme", chain("acme", 1))) == (Appended(),)
