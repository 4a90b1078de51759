"""
Ledgers out of a store and into one, and state out of receipts: export, import, replay.

    export: store --receipts--> verified --> lines, with the plans files that the receipts name
    import: lines --> verified --> plans kept, receipts appended, with the due rows and the state that they lead to
    replay: receipts --fold--> state, compared with the one that the store's snapshot leads to
"""

from collections.abc import AsyncIterator, Collection, Iterable
from typing import Final

from msgspec import Struct

from tai_autonomics.application.codec import STATE_VERSION, due_rows, events_of, state_of, state_to_bytes
from tai_autonomics.application.ports import Store
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.tenant import INITIAL_STATE, Event, PartErased, TenantState, evolve
from tai_autonomics.errors import BrokenChain, StoreUnavailable
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.lines import Line, parse_line, reply
from tai_autonomics.ledger.receipt import Body, indexed, read
from tai_autonomics.ledger.records import (
    GENESIS,
    Append,
    Appended,
    Due,
    DueKey,
    Erasure,
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


async def export(store: Store, tenant: str, *, named: set[str] | None = None) -> AsyncIterator[bytes]:
    """
    A ledger's lines, verified on their way out. Raises BrokenChain.

    `named` holds the digests of the plans files that lines before these brought along, and takes those of these.
    """
    chain, named = Chain(tenant), set() if named is None else named
    async for receipt, parts in stored(store, tenant):
        policy = chain.extend(receipt.body, hash=receipt.hash, parts=parts)["policy"]
        plans = None
        if policy not in named:
            named.add(policy)
            plans = await store.policy(policy)
        yield reply(receipt.body, receipt.hash, parts, plans=plans) + b"\n"


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

    Restartable: a receipt that the store holds is verified against it and passed over. Each ledger's lines start at
    seq 1. One that goes another way than the store's is refused (BrokenChain, step 4) and nothing of it is written; one
    that breaks later keeps what earlier calls of `take` wrote, which is a verified beginning of it. The plans files
    that come along are stored before the receipts that name them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[str, _Inflow] = {}
        self._came: dict[str, bytes] = {}
        """The plans files of these lines, by digest."""
        self._newest = ("", "")
        """Time and policy of the newest receipt of these lines."""

    async def take(self, lines: Iterable[bytes]) -> int:
        """
        Verify some lines and then store them, all of them or none; how many.

        Raises BrokenChain, NotCanonical, LedgerNewerThanCode, StoreUnavailable, after which this import is of no more
        use; another one starts again from the first line.
        """
        count = 0
        touched: dict[str, _Inflow] = {}
        brought: list[tuple[Body, bytes]] = []
        for text in lines:
            line = parse_line(text)
            members = read(line.body)
            tenant = members["tenant"]
            if tenant not in self._open:
                self._open[tenant] = await _Inflow.open(self._store, tenant)
            touched[tenant] = self._open[tenant]
            touched[tenant].take(members, line)
            if line.plans is not None:
                brought.append((members, line.plans))
            self._newest = max(self._newest, (members["time"], members["policy"]))
            count += 1
        await self._keep(brought)
        await self._flush(touched.values())
        return count

    async def close(self) -> tuple[Imported, ...]:
        """What was imported, by ledger; the heads are read back from the store and compared."""
        await self._put_newest_last()
        for inflow in self._open.values():
            await inflow.compare_end(self._store)
        done = tuple(inflow.imported() for inflow in self._open.values())
        for page in range(0, len(done), TENANTS_PAGE):
            part = done[page : page + TENANTS_PAGE]
            heads = await self._store.heads([each.tenant for each in part])
            for each in part:
                if heads.get(each.tenant) != each.head:
                    raise StoreUnavailable(f"the store does not show what was appended to {each.tenant}")
        return done

    async def _keep(self, brought: Iterable[tuple[Body, bytes]]) -> None:
        for members, plans in brought:
            self._came[members["policy"]] = plans
            if await self._store.policy(members["policy"]) is None:
                newest = await self._store.newest_policy()
                await self._store.keep_policy(members["policy"], plans, members["time"])
                if newest is not None and newest[0] not in self._came:
                    # The store's own stay the newest.
                    await self._store.keep_policy(*newest, members["time"])

    async def _put_newest_last(self) -> None:
        """
        Of those that came, the plans that decided last are the newest, whichever ledger brought them first: a start
        carries over what they define.
        """
        time, policy = self._newest
        newest = await self._store.newest_policy()
        if policy in self._came and newest is not None and newest[0] != policy and newest[0] in self._came:
            await self._store.keep_policy(policy, self._came[policy], time)

    async def _flush(self, inflows: Collection["_Inflow"]) -> None:
        receipts_max = self._store.bounds.receipts_per_tenant_max
        while appends := [append for each in inflows if (append := each.next_append(receipts_max)) is not None]:
            await self._store.append(appends, self._told)

    def _told(self, append: Append, outcome: Outcome) -> None:
        if not isinstance(outcome, Appended):
            raise StoreUnavailable(f"{append.tenant} is being written by someone else: stop the service first")
        self._open[append.tenant].appended(append)


class _Inflow:
    """One ledger on its way in."""

    def __init__(self, tenant: str, held: Head | None) -> None:
        self._chain = Chain(tenant)
        self._tenant, self._held = tenant, held
        self._state = INITIAL_STATE
        self._waiting: list[tuple[Receipt, tuple[Part, ...], tuple[Event, ...], TenantState]] = []
        self._head = held
        self._appended = self._passed = 0

    @classmethod
    async def open(cls, store: Store, tenant: str) -> "_Inflow":
        return cls(tenant, (await store.heads([tenant])).get(tenant))

    def take(self, members: Body, line: Line) -> None:
        """The next receipt of the ledger, verified here."""
        self._chain.link(members, line.body, hash=line.hash, parts=line.parts, plans=line.plans)
        receipt = indexed(members, body=line.body, hash=line.hash)
        events = events_of(receipt)
        self._state = fold(evolve, self._state, events)
        held = self._held
        if held is None or receipt.seq > held.seq:
            self._waiting.append((receipt, line.parts, events, self._state))
            return
        self._passed += 1
        if receipt.seq == held.seq:
            self._compare(held.hash)

    async def compare_end(self, store: Store) -> None:
        """Where the lines end before the store's ledger does, it is compared there. Raises BrokenChain."""
        if self._held is not None and self._chain.seq < self._held.seq:
            stored_there = await store.receipt(self._tenant, self._chain.seq)
            self._compare("nothing" if stored_there is None else stored_there.hash)

    def _compare(self, hash: str) -> None:
        # Equal hashes are equal histories: each holds the hash of the one before.
        if hash != self._chain.hash:
            detail = f"the store holds {hash} in its place"
            raise BrokenChain(tenant=self._tenant, seq=self._chain.seq, step=4, detail=detail)

    def next_append(self, receipts_max: int) -> Append | None:
        if not self._waiting:
            return None
        page = self._waiting[:receipts_max]
        last, state = page[-1][0], page[-1][3]
        events = [event for _, _, events, _ in page for event in events]
        due = due_rows(tuple(events))
        return Append(
            tenant=self._tenant,
            expected_seq=self._head.seq if self._head else 0,
            expected_hash=self._head.hash if self._head else GENESIS,
            receipts=tuple(receipt for receipt, _, _, _ in page),
            parts=tuple(part for _, parts, _, _ in page for part in parts),
            # An export beside a running service may have read a part before it was erased.
            erasures=tuple(Erasure(event.seq, event.part) for event in events if isinstance(event, PartErased)),
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
