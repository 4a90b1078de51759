"""
Ledgers out of a store, and state out of receipts: export, replay.

    export: store --receipts--> verified --> lines, with the plans files that the receipts name
    replay: receipts --fold--> state, compared with the one that the store's snapshot leads to

What reads many ledgers asks for the first pages of the next ones while it works on one: `read_ahead`.
"""

import asyncio
from asyncio import Task
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from itertools import islice
from typing import Final, TypeAlias

from msgspec import Struct

from tai_autonomics.application.codec import events_of, state_of
from tai_autonomics.application.ports import Store
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.tenant import INITIAL_STATE, TenantState, evolve
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.lines import reply
from tai_autonomics.ledger.records import Head, Part, Receipt

PAGE_RECEIPTS: Final = 500
TENANTS_PAGE: Final = 500
LEDGERS_AHEAD: Final = 8
"""Ledgers whose first pages are being read before their turn has come."""

Page: TypeAlias = list[tuple[Receipt, tuple[Part, ...]]]
"""Receipts in order, each with its parts that still exist."""


class Replayed(Struct, frozen=True):
    """The state that a ledger's receipts lead to, and whether the store's snapshot and tail lead to the same."""

    tenant: str
    receipts: int
    head: Head
    state: TenantState
    agrees: bool


async def tenants(store: Store) -> AsyncIterator[str]:
    """Every tenant with a ledger."""
    after = ""
    while page := await store.tenants(after, TENANTS_PAGE):
        for tenant in page:
            yield tenant
        after = page[-1]


async def stored(
    store: Store, tenant: str, *, after: int = 0, first: Page | None = None
) -> AsyncIterator[tuple[Receipt, tuple[Part, ...]]]:
    """A ledger's receipts in order, each with the parts that still exist; `first` is a first page that was read."""
    read = await page(store, tenant, after) if first is None else first
    while read:
        for each in read:
            yield each
        # A shorter page is the last one.
        read = await page(store, tenant, read[-1][0].seq) if len(read) == PAGE_RECEIPTS else []


async def receipts(store: Store, tenant: str, *, after: int = 0) -> AsyncIterator[Receipt]:
    """A ledger's receipts in order, without their parts."""
    while read := await store.receipts(tenant, after, PAGE_RECEIPTS):
        for receipt in read:
            yield receipt
        after = read[-1].seq


async def seq_before(store: Store, tenant: str, head: Head, since: str) -> int:
    """The seq of the newest receipt that is older than the moment `since`, or 0; times never go back in a ledger."""
    older, newer = 0, head.seq + 1
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


async def read_ahead(store: Store, tenants: Iterable[str]) -> AsyncGenerator[tuple[str, Page]]:
    """
    The ledgers in order, each with its first page; those of the next LEDGERS_AHEAD are being read meanwhile.

    Close it where you leave it before its end.
    """
    rest = iter(tenants)
    ahead: deque[tuple[str, Task[Page]]] = deque()

    def ask(count: int) -> None:
        ahead.extend((tenant, asyncio.create_task(page(store, tenant, 0))) for tenant in islice(rest, count))

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
    first: Page | None = None,
    written: Chain | None = None,
) -> AsyncIterator[bytes]:
    """
    A ledger's lines, verified on their way out. Raises BrokenChain.

    `named` holds the digests of the plans files that lines before these brought along, and takes those of these;
    `first` is a first page that was read; `written` is how far lines before these have come.
    """
    chain, named = written or Chain(tenant), set() if named is None else named
    async for receipt, parts in stored(store, tenant, after=chain.seq, first=first):
        policy = chain.extend(receipt.body, hash=receipt.hash, parts=parts)["policy"]
        plans = None
        if policy not in named:
            named.add(policy)
            plans = await store.policy(policy)
        yield reply(receipt.body, receipt.hash, parts, plans=plans) + b"\n"


async def replay(store: Store, tenant: str, *, first: Page | None = None) -> Replayed | None:
    """
    Rebuild a tenant's state from its receipts alone and compare it with the live one; None without a ledger.

    `first` is a first page that was read. Raises BrokenChain, LedgerNewerThanCode.
    """
    chain, state = Chain(tenant), INITIAL_STATE
    async for receipt, parts in stored(store, tenant, first=first):
        chain.extend(receipt.body, hash=receipt.hash, parts=parts)
        state = fold(evolve, state, events_of(receipt))
    if not chain.receipts:
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
