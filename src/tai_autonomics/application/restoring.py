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
from tai_autonomics.application.transfer import beginning, stored, tenants
from tai_autonomics.domain.tenant import Command, Erase, Restore
from tai_autonomics.errors import BrokenBackup
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

    async def run(self, restoration: str, erased: Collection[Erased], verified: Callable[[int], None]) -> Fit:
        """
        Verify, announce, erase, in this order; `verified` is told how many receipts are.

        May be repeated where it was cut short: of one `restoration` every ledger says once that it was restored.
        Raises BrokenChain and BrokenBackup before anything is written, and Unavailable.
        """
        ledgers, receipts = 0, 0
        async for count in self._verified(verified):
            ledgers, receipts = ledgers + 1, receipts + count
        async for page in tenants(self._store):
            heads = await self._store.heads(page)
            await asyncio.gather(*(self._announce(restoration, tenant, head) for tenant, head in heads.items()))
        gone = 0
        for each in erased:
            gone += await self._erase(each)
        await self._store.journal_clean()
        return Fit(ledgers, receipts, gone)

    async def _verified(self, verified: Callable[[int], None]) -> AsyncIterator[int]:
        """How many receipts each ledger has, from its base on."""
        done = 0
        async for page in tenants(self._store):
            heads = await self._store.heads(page)
            for tenant in page:
                first = await beginning(self._store, tenant)
                chain = Chain(tenant, base=first.base)
                async for receipt, parts in stored(self._store, tenant, after=first.after, first=first.page):
                    chain.extend(receipt.body, hash=receipt.hash, parts=parts)
                    done += 1
                    if done % TELL_RECEIPTS == 0:
                        verified(done)
                whole = chain.close()
                _check_moment(tenant, heads.get(tenant), whole.head)
                yield whole.receipts

    async def _announce(self, restoration: str, tenant: str, head: Head) -> None:
        # Not the head: it moves with the first answer.
        asked = {"operation": "restore", "restoration": restoration}
        command = Restore(head.ledger, head.seq, head.hash)
        await self._submit(tenant, command, f"restore:{restoration}", request_digest(asked))

    async def _erase(self, erased: Erased) -> bool:
        """Whether there was something to erase; the receipt must be the same, not one that took its place."""
        receipt = await self._store.receipt(erased.tenant, erased.seq)
        kept = receipt or await self._store.dropped(erased.tenant, erased.seq)
        if kept is None or kept.hash != erased.hash:
            return False
        parts = await self._store.parts(erased.tenant, erased.seq, erased.seq)
        if erased.name not in {part.name for part in parts}:
            return False
        asked = {"operation": "erase", "seq": erased.seq, "part": erased.name}
        command = Erase(erased.seq, erased.name, again=True)
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


def _check_moment(tenant: str, head: Head | None, last: Head) -> None:
    """Raises BrokenBackup where a copy holds a ledger's head of another moment than its receipts."""
    if head != last:
        named = "no receipt" if head is None else f"receipt {head.seq}"
        raise BrokenBackup(f"{tenant}: the last receipt is {last.seq}, its head names {named}: not of one moment")
