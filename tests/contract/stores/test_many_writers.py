"""Sixty-four writers, each deciding on what it read: no fork, no gap, no lost and no repeated command."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.contract.stores.builders import append, receipt, send, verify
from tests.sizes import size

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import Appended, Conflict, Duplicates, Receipt

pytestmark = pytest.mark.anyio

WRITERS = 64


async def write(store: Store, tenant: str, ids: Sequence[str]) -> None:
    """Append one receipt a command, again from the head whenever another was first; a command held is done."""
    head: Receipt | None = None
    for command_id in ids:
        while True:
            match (await send(store, append(tenant, [receipt(tenant, head, command_id=command_id)], head)))[0]:
                case Appended():
                    head = await store.find(tenant, command_id)
                    break
                case Duplicates():
                    break
                case Conflict(missed):
                    head = missed[-1] if missed else head


@pytest.mark.full
async def test_writers_on_one_tenant_make_one_chain_with_each_command_once(store: Store) -> None:
    ids = [f"c{number}" for number in range(WRITERS * size(short=1, full=10))]
    # Every command is sent by two writers, from opposite ends.
    shares = [ids[writer :: WRITERS // 2] for writer in range(WRITERS // 2)]
    await asyncio.gather(*(write(store, "acme", share) for share in shares + [share[::-1] for share in shares]))
    made = await verify(store, "acme", receipts=len(ids))
    assert sorted(one.command_id for one in made) == sorted(ids)


@pytest.mark.full
async def test_writers_on_a_tenant_each_do_not_touch_each_other(store: Store) -> None:
    ids = [f"c{number}" for number in range(size(short=10, full=100))]
    tenants = [f"tenant-{number}" for number in range(WRITERS)]
    await asyncio.gather(*(write(store, tenant, ids) for tenant in tenants))
    for tenant in tenants:
        made = await verify(store, tenant, receipts=len(ids))
        assert [one.command_id for one in made] == ids
