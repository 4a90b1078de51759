"""
What makes a store that was brought back from a backup fit to serve: nothing here knows where it came from.

    every chain verifies --> each ledger says that it was restored --> what was erased since is erased again

The outside world may be ahead of such a ledger, so that is the first thing it says.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from typing import Final

from msgspec import Struct

from tai_autonomics.application.codec import request_digest
from tai_autonomics.application.corridor import Answer, Corridor, Submission
from tai_autonomics.application.ports import Store
from tai_autonomics.application.transfer import TENANTS_PAGE, stored, tenants
from tai_autonomics.domain.tenant import Command, Erase, Restore
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.records import Erased, Head

TELL_RECEIPTS: Final = 500


class Fit(Struct, frozen=True):
    """What was found and done: `erased` parts were there and are gone now."""

    ledgers: int
    receipts: int
    erased: int


class Restoring:
    """`by` is the cause of what is decided; each decision takes at most `timeout_seconds`."""

    def __init__(self, store: Store, corridor: Corridor, *, by: str, timeout_seconds: float) -> None:
        self._store, self._corridor = store, corridor
        self._by, self._timeout_seconds = by, timeout_seconds

    async def run(self, erased: Collection[Erased], verified: Callable[[int], None]) -> Fit:
        """
        Verify, announce, erase, in this order; `verified` is told how many receipts are.

        Raises BrokenChain before anything is written, and Unavailable.
        """
        ledgers, receipts = 0, 0
        async for head in self._verified(verified):
            ledgers, receipts = ledgers + 1, receipts + head.seq
        async for page in self._pages():
            heads = await self._store.heads(page)
            await asyncio.gather(*(self._announce(tenant, head) for tenant, head in heads.items()))
        gone = 0
        for each in erased:
            gone += await self._erase(each)
        await self._store.journal_clean()
        return Fit(ledgers, receipts, gone)

    async def _verified(self, verified: Callable[[int], None]) -> AsyncIterator[Head]:
        done = 0
        async for tenant in tenants(self._store):
            chain = Chain(tenant)
            async for receipt, parts in stored(self._store, tenant):
                chain.extend(receipt.body, hash=receipt.hash, parts=parts)
                done += 1
                if done % TELL_RECEIPTS == 0:
                    verified(done)
            yield chain.close().head

    async def _pages(self) -> AsyncIterator[tuple[str, ...]]:
        after = ""
        while page := await self._store.tenants(after, TENANTS_PAGE):
            yield page
            after = page[-1]

    async def _announce(self, tenant: str, head: Head) -> None:
        asked = {"operation": "restore", "ledger": head.ledger, "seq": head.seq, "hash": head.hash}
        await self._submit(
            tenant, Restore(head.ledger, head.seq, head.hash), f"restore:{head.seq}:{head.hash}", request_digest(asked)
        )

    async def _erase(self, erased: Erased) -> bool:
        """Whether there was something to erase; the receipt must be the same, not one that took its place."""
        receipt = await self._store.receipt(erased.tenant, erased.seq)
        if receipt is None or receipt.hash != erased.hash:
            return False
        parts = await self._store.parts(erased.tenant, erased.seq, erased.seq)
        if erased.name not in {part.name for part in parts}:
            return False
        asked = {"operation": "erase", "seq": erased.seq, "part": erased.name}
        command = Erase(erased.seq, erased.name)
        await self._submit(erased.tenant, command, f"erase:{erased.seq}:{erased.name}", request_digest(asked))
        return True

    async def _submit(self, tenant: str, command: Command, key: str, request: str) -> Answer:
        submission = Submission(
            tenant=tenant,
            command=command,
            command_id=f"cli:{self._by}:{key}",
            source="cli",
            by=self._by,
            request=request,
        )
        return await self._corridor.submit(submission, timeout_seconds=self._timeout_seconds)
