"""A process for the kill tests: appends without end to five ledgers and says what was acknowledged, a line each."""

import asyncio
import sys

from tests.contract.stores.builders import append, moment, receipt, snapshot_of

from tai_autonomics.ledger.records import Append, Due, DueKey, Outcome, Receipt
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


async def main(path: str) -> None:
    store = await SQLiteStore.open(path)
    known = await store.heads(TENANTS)
    heads = {tenant: await store.receipt(tenant, known[tenant].seq) if tenant in known else None for tenant in TENANTS}

    def tell(one: Append, outcome: Outcome) -> None:
        assert type(outcome).__name__ == "Appended", outcome
        heads[one.tenant] = one.receipts[-1]
        for each in one.receipts:
            sys.stdout.write(f"{each.tenant} {each.seq} {each.hash}\n")
        sys.stdout.flush()

    while True:
        await store.append([following(tenant, head) for tenant, head in heads.items()], tell)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
