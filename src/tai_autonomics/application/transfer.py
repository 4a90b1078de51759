"""
Ledgers out of a store, and state out of receipts: export, replay.

    export: store --receipts--> verified --> lines, with the plans files that the receipts name
    replay: receipts --fold--> state, compared with the one that the store's snapshot leads to

Each begins where the ledger does: with its first receipt, or after its base. What reads many ledgers asks for the
beginnings of the next ones while it works on one: `read_ahead`.
"""

import asyncio
from asyncio import Task
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from itertools import islice
from typing import Final, TypeAlias

from msgspec import Struct

from tai_autonomics.application.codec import events_of, state_at, state_of
from tai_autonomics.application.ports import Store
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.tenant import TenantState, evolve
from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.lines import reply
from tai_autonomics.ledger.records import Base, Head, Part, Receipt

PAGE_RECEIPTS: Final = 500
TENANTS_PAGE: Final = 500
LEDGERS_AHEAD: Final = 8
"""Ledgers whose first pages are being read before their turn has come."""

Page: TypeAlias = list[tuple[Receipt, tuple[Part, ...]]]
"""Receipts in order, each with its parts that still exist."""


class Beginning(Struct, frozen=True):
    """Where a ledger begins, and its first page."""

    base: Base | None
    page: Page

    @property
    def after(self) -> int:
        return 0 if self.base is None else self.base.seq


class Replayed(Struct, frozen=True):
    """The state that a ledger's receipts lead to, and whether the store's snapshot and tail lead to the same."""

    tenant: str
    receipts: int
    head: Head
    state: TenantState
    agrees: bool


async def tenants(store: Store) -> AsyncIterator[tuple[str, ...]]:
    """Every tenant with a ledger, a page at a time."""
    after = ""
    while page := await store.tenants(after, TENANTS_PAGE):
        yield page
        after = page[-1]


async def beginning(store: Store, tenant: str) -> Beginning:
    """Where the ledger begins now."""
    while True:
        base = (await store.bases((tenant,))).get(tenant)
        first = await page(store, tenant, 0 if base is None else base.seq)
        if base is not None or not first or first[0][0].seq == 1:
            return Beginning(base, first)
        if tenant not in await store.bases((tenant,)):
            # Nothing was archived in between: the ledger's own beginning is missing, which verifying it will say.
            return Beginning(None, first)


async def stored(
    store: Store, tenant: str, *, after: int = 0, first: Page | None = None
) -> AsyncIterator[tuple[Receipt, tuple[Part, ...]]]:
    """
    A ledger's receipts in order, each with the parts that still exist; `first` is a first page that was read.

    Raises StoreUnavailable where some that were still to come are dropped meanwhile.
    """
    read = await page(store, tenant, after) if first is None else first
    while read:
        for each in read:
            yield each
        # A shorter page is the last one.
        if len(read) < PAGE_RECEIPTS:
            return
        last = read[-1][0].seq
        read = await page(store, tenant, last)
        if read and read[0][0].seq != last + 1 and tenant in await store.bases((tenant,)):
            raise StoreUnavailable(f"{tenant} is being archived: run this again")


async def receipts(store: Store, tenant: str, *, after: int = 0) -> AsyncIterator[Receipt]:
    """A ledger's receipts in order, without their parts."""
    while read := await store.receipts(tenant, after, PAGE_RECEIPTS):
        for receipt in read:
            yield receipt
        after = read[-1].seq


async def seq_before(store: Store, tenant: str, head: Head, since: str) -> int:
    """
    The seq of the newest receipt that is older than the moment `since`; times never go back in a ledger.

    Where there is none: what the ledger begins after, 0 or its base's.
    """
    base = (await store.bases((tenant,))).get(tenant)
    older, newer = 0 if base is None else base.seq, head.seq + 1
    while newer - older > 1:
        middle = (older + newer) // 2
        receipt = await store.receipt(tenant, middle)
        if receipt is None or receipt.time >= since:
            newer = middle
        else:
            older = middle
    return older


async def page(store: Store, tenant: str, after: int) -> Page:
    """At most PAGE_RECEIPTS of a ledger's receipts, in order, with the parts that still exist."""
    receipts = await store.receipts(tenant, after, PAGE_RECEIPTS)
    if not receipts:
        return []
    parts: dict[int, list[Part]] = {}
    for part in await store.parts(tenant, receipts[0].seq, receipts[-1].seq):
        parts.setdefault(part.seq, []).append(part)
    return [(receipt, tuple(parts.get(receipt.seq, ()))) for receipt in receipts]


async def read_ahead(store: Store, tenants: Iterable[str]) -> AsyncGenerator[tuple[str, Beginning]]:
    """
    The ledgers in order, each with its beginning; those of the next LEDGERS_AHEAD are being read meanwhile.

    Close it where you leave it before its end.
    """
    rest = iter(tenants)
    ahead: deque[tuple[str, Task[Beginning]]] = deque()

    def ask(count: int) -> None:
        ahead.extend((tenant, asyncio.create_task(beginning(store, tenant))) for tenant in islice(rest, count))

    try:
        ask(LEDGERS_AHEAD)
        while ahead:
            tenant, reading = ahead[0]
            first = await reading
            ahead.popleft()
            ask(1)
            yield tenant, first
    finally:
        for _, reading in ahead:
            reading.cancel()
        await asyncio.gather(*(reading for _, reading in ahead), return_exceptions=True)


async def export(
    store: Store,
    tenant: str,
    *,
    named: set[str] | None = None,
    first: Beginning | None = None,
    written: Chain | None = None,
) -> AsyncIterator[bytes]:
    """
    A ledger's lines, verified on their way out. Raises BrokenChain.

    `named` holds the digests of the plans files that lines before these brought along, and takes those of these;
    `first` is a beginning that was read; `written` is how far lines before these have come.
    """
    named = set() if named is None else named
    page_read: Page | None = None
    if written is None:
        first = first or await beginning(store, tenant)
        chain, base, page_read = Chain(tenant, base=first.base), first.base, first.page
    else:
        chain, base = written, None
    async for receipt, parts in stored(store, tenant, after=chain.seq, first=page_read):
        policy = chain.extend(receipt.body, hash=receipt.hash, parts=parts)["policy"]
        plans = None
        if policy not in named:
            named.add(policy)
            plans = await store.policy(policy)
        yield reply(receipt.body, receipt.hash, parts, plans=plans, base=base) + b"\n"
        base = None
    if chain.ledger is not None:
        chain.close()


async def replay(store: Store, tenant: str, *, first: Beginning | None = None) -> Replayed | None:
    """
    Rebuild a tenant's state from its receipts alone and compare it with the live one; None without a ledger.

    Of an archived ledger, from its base on. `first` is a beginning that was read. Raises BrokenChain,
    LedgerNewerThanCode.
    """
    first = first or await beginning(store, tenant)
    chain, state = Chain(tenant, base=first.base), state_at(first.base)
    async for receipt, parts in stored(store, tenant, after=first.after, first=first.page):
        chain.extend(receipt.body, hash=receipt.hash, parts=parts)
        state = fold(evolve, state, events_of(receipt))
    if chain.ledger is None:
        return None
    live = await live_state(store, tenant, through=chain.seq)
    return Replayed(tenant, chain.receipts, chain.close().head, state, agrees=live is None or live == state)


async def live_state(store: Store, tenant: str, *, through: int) -> TenantState | None:
    """What a lane would hold after receipt `through`, by snapshot and tail; None without a snapshot to start from."""
    ledger = await store.read(tenant)
    if ledger is None or ledger.snapshot is None or ledger.snapshot.seq > through:
        return None
    state = state_of(ledger.snapshot)
    if state is None:
        return None
    for receipt in ledger.receipts:
        if receipt.seq <= through:
            state = fold(evolve, state, events_of(receipt))
    return state
