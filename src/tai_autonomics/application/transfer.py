"""
Ledgers out of a store and into one, and state out of receipts: export, import, replay.

    export: store --receipts--> verified --> lines
    import: lines --> verified --> appended, with the due rows and the state that they lead to
    replay: receipts --fold--> state, compared with the one that the store's snapshot leads to
"""

from collections.abc import AsyncIterator, Iterable
from typing import Final

from msgspec import Struct

from tai_autonomics.application.codec import STATE_VERSION, due_rows, events_of, state_of, state_to_bytes
from tai_autonomics.application.ports import Store
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.tenant import INITIAL_STATE, TenantState, evolve
from tai_autonomics.errors import BrokenChain, StoreUnavailable
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.lines import parse_line, reply
from tai_autonomics.ledger.receipt import indexed, read
from tai_autonomics.ledger.records import (
    GENESIS,
    Append,
    Appended,
    Due,
    DueKey,
    Head,
    Outcome,
    Part,
    Receipt,
    Snapshot,
)

PAGE_RECEIPTS: Final = 500
TENANTS_PAGE: Final = 500


class Replayed(Struct, frozen=True):
    """The state that a ledger's receipts lead to, and whether the store's snapshot and tail lead to the same."""

    tenant: str
    receipts: int
    head: Head
    state: TenantState
    agrees: bool


class Imported(Struct, frozen=True):
    """One ledger's share of an import: receipts appended now, and those that the store held already."""

    tenant: str
    appended: int
    held: int
    head: Head


async def tenants(store: Store) -> AsyncIterator[str]:
    """Every tenant with a ledger."""
    after = ""
    while page := await store.tenants(after, TENANTS_PAGE):
        for tenant in page:
            yield tenant
        after = page[-1]


async def stored(store: Store, tenant: str, *, after: int = 0) -> AsyncIterator[tuple[Receipt, tuple[Part, ...]]]:
    """A ledger's receipts in order, each with the parts that still exist."""
    while page := await store.receipts(tenant, after, PAGE_RECEIPTS):
        parts: dict[int, list[Part]] = {}
        for part in await store.parts(tenant, page[0].seq, page[-1].seq):
            parts.setdefault(part.seq, []).append(part)
        for receipt in page:
            yield receipt, tuple(parts.get(receipt.seq, ()))
        after = page[-1].seq


async def export(store: Store, tenant: str) -> AsyncIterator[bytes]:
    """A ledger's lines, verified on their way out. Raises BrokenChain."""
    chain = Chain(tenant)
    async for receipt, parts in stored(store, tenant):
        chain.extend(receipt.body, hash=receipt.hash, parts=parts)
        yield reply(receipt.body, receipt.hash, parts) + b"\n"


async def replay(store: Store, tenant: str) -> Replayed | None:
    """
    Rebuild a tenant's state from its receipts alone and compare it with the live one; None without a ledger.

    Raises BrokenChain, LedgerNewerThanCode.
    """
    chain, state = Chain(tenant), INITIAL_STATE
    async for receipt, parts in stored(store, tenant):
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


class Import:
    """
    Takes export lines, in any mixture of ledgers, and appends what the store lacks.

    Restartable: a receipt that the store holds is verified against it and passed over. A ledger that goes another way
    in the store is refused (BrokenChain, step 4), and nothing of it is written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[str, _Inflow] = {}

    async def take(self, lines: Iterable[bytes]) -> int:
        """
        Verify and store some lines; how many.

        Raises NotCanonical, BrokenChain, LedgerNewerThanCode, StoreUnavailable; what was stored by then stays.
        """
        count = 0
        for text in lines:
            line = parse_line(text)
            members = read(line.body)
            inflow = self._open.get(members["tenant"])
            if inflow is None:
                inflow = self._open[members["tenant"]] = await _Inflow.open(self._store, members["tenant"])
            inflow.chain.link(members, line.body, hash=line.hash, parts=line.parts)
            inflow.take(indexed(members, body=line.body, hash=line.hash), line.parts)
            count += 1
        await self._flush()
        return count

    async def close(self) -> tuple[Imported, ...]:
        """
        What was imported, by ledger; the heads are read back from the store and compared.

        Raises BrokenChain for lines that end before the store's head and are not the beginning of its ledger.
        """
        await self._flush()
        for inflow in self._open.values():
            await inflow.compare(self._store)
        done = tuple(inflow.imported() for inflow in self._open.values())
        for page in range(0, len(done), TENANTS_PAGE):
            part = done[page : page + TENANTS_PAGE]
            heads = await self._store.heads([each.tenant for each in part])
            for each in part:
                stored_head = heads.get(each.tenant)
                if stored_head is None or stored_head.seq < each.head.seq:
                    raise StoreUnavailable(f"the store does not show what was appended to {each.tenant}")
        return done

    async def _flush(self) -> None:
        bounds = self._store.bounds
        while appends := [
            append
            for inflow in self._open.values()
            if (append := inflow.next_append(bounds.receipts_per_tenant_max)) is not None
        ]:
            await self._store.append(appends, self._told)

    def _told(self, append: Append, outcome: Outcome) -> None:
        if not isinstance(outcome, Appended):
            raise StoreUnavailable(f"{append.tenant} is being written by someone else: stop the service first")
        self._open[append.tenant].appended(append)


class _Inflow:
    """One ledger on its way in."""

    def __init__(self, tenant: str, held: Head | None) -> None:
        self.chain = Chain(tenant)
        self._tenant, self._held = tenant, held
        self._state = INITIAL_STATE
        self._waiting: list[tuple[Receipt, tuple[Part, ...], TenantState]] = []
        self._head = held
        self._appended = self._passed = 0

    @classmethod
    async def open(cls, store: Store, tenant: str) -> "_Inflow":
        return cls(tenant, (await store.heads([tenant])).get(tenant))

    def take(self, receipt: Receipt, parts: tuple[Part, ...]) -> None:
        """A verified receipt, the next of its ledger."""
        self._state = fold(evolve, self._state, events_of(receipt))
        held = self._held
        if held is None or receipt.seq > held.seq:
            self._waiting.append((receipt, parts, self._state))
            return
        self._passed += 1
        if receipt.seq == held.seq and receipt.hash != held.hash:
            detail = f"the store holds {held.hash} in its place"
            raise BrokenChain(tenant=self._tenant, seq=receipt.seq, step=4, detail=detail)

    async def compare(self, store: Store) -> None:
        """Lines that end before the store's head were not held against it yet. Raises BrokenChain."""
        if self._held is None or self.chain.seq >= self._held.seq:
            return
        held = await store.receipt(self._tenant, self.chain.seq)
        if held is None or held.hash != self.chain.hash:
            detail = "the store holds another receipt in its place"
            raise BrokenChain(tenant=self._tenant, seq=self.chain.seq, step=4, detail=detail)

    def next_append(self, receipts_max: int) -> Append | None:
        if not self._waiting:
            return None
        page = self._waiting[:receipts_max]
        receipts = tuple(receipt for receipt, _, _ in page)
        last, state = receipts[-1], page[-1][2]
        due: dict[tuple[str, str], Due | DueKey] = {}
        for receipt in receipts:
            due.update(due_rows(events_of(receipt)))
        return Append(
            tenant=self._tenant,
            expected_seq=self._head.seq if self._head else 0,
            expected_hash=self._head.hash if self._head else GENESIS,
            receipts=receipts,
            parts=tuple(part for _, parts, _ in page for part in parts),
            snapshot=Snapshot(last.seq, last.ledger, last.hash, last.time, STATE_VERSION, state_to_bytes(state)),
            due=tuple(row for row in due.values() if isinstance(row, Due)),
            settled=tuple(row for row in due.values() if isinstance(row, DueKey)),
        )

    def appended(self, append: Append) -> None:
        last = append.receipts[-1]
        self._head = Head(last.ledger, last.seq, last.hash, last.time)
        self._waiting = self._waiting[len(append.receipts) :]
        self._appended += len(append.receipts)

    def imported(self) -> Imported:
        assert self._head is not None
        return Imported(self._tenant, self._appended, self._passed, self._head)
