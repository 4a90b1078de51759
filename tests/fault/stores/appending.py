"""
A process for the kill tests: appends without end to five ledgers and says what was acknowledged, a line each.

It is told a file or a URL. On a shared store others may be first: then it reads the head again.
"""

import asyncio
import sys

from tests.contract.stores.builders import append, moment, receipt, snapshot_of

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.records import Append, Appended, Due, DueKey, Outcome, Receipt
from tai_autonomics.stores.postgres import PostgresStore
from tai_autonomics.stores.sqlite import SQLiteStore, checkpoints

TENANTS = [f"tenant-{number}" for number in range(5)]

# Often enough that kills meet checkpoints too.
checkpoints.ROWS_MAX = 50


def following(tenant: str, head: Receipt | None) -> Append:
    """Two receipts, a timer that replaces the one before, now and then a snapshot."""
    first = receipt(tenant, head, padding=500)
    second = receipt(tenant, first, padding=500)
    return append(
        tenant,
        [first, second],
        head,
        due=(Due(f"entitlement/{second.seq}", "expire", moment(1)),),
        settled=(DueKey(f"entitlement/{head.seq}", "expire"),) if head else (),
        snapshot=snapshot_of(second) if second.seq % 20 == 0 else None,
    )


async def open_store(place: str) -> Store:
    if place.startswith("postgresql://"):
        return await PostgresStore.open(place, connections_max=4)
    return await SQLiteStore.open(place)


async def newest(store: Store, tenant: str) -> Receipt | None:
    head = (await store.heads([tenant])).get(tenant)
    return None if head is None else await store.receipt(tenant, head.seq)


async def main(place: str) -> None:
    store = await open_store(place)
    heads = {tenant: await newest(store, tenant) for tenant in TENANTS}
    others: set[str] = set()

    def tell(one: Append, outcome: Outcome) -> None:
        if not isinstance(outcome, Appended):
            assert store.shared, outcome
            others.add(one.tenant)
            return
        heads[one.tenant] = one.receipts[-1]
        for each in one.receipts:
            sys.stdout.write(f"{each.tenant} {each.seq} {each.hash}\n")
        sys.stdout.flush()

    while True:
        await store.append([following(tenant, head) for tenant, head in heads.items()], tell)
        while others:
            tenant = others.pop()
            heads[tenant] = await newest(store, tenant)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
