"""
Export lines into a store: verified, folded, and appended with the due rows and the state that they lead to.

    lines --parse--> the heads of ledgers not met before, in one read --> verified --> plans kept
          --> pages, those of one ledger one after the other, many ledgers' in one append --> stored
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Final

from msgspec import Struct

from tai_autonomics.application.codec import STATE_VERSION, due_rows, events_of, rows_at, state_at, state_to_bytes
from tai_autonomics.application.ports import Store
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.tenant import Event, PartErased, TenantState, evolve
from tai_autonomics.errors import BrokenChain, NotCanonical, StoreUnavailable
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.lines import Line, parse_line
from tai_autonomics.ledger.receipt import Body, indexed, read
from tai_autonomics.ledger.records import (
    GENESIS,
    RECEIPTS_PER_TENANT,
    Append,
    Appended,
    Base,
    Busy,
    Due,
    DueKey,
    Erasure,
    Head,
    Outcome,
    Part,
    Receipt,
    Snapshot,
)

HEADS_PAGE: Final = 500
"""Ledgers whose heads are asked for at once."""

APPEND_RECEIPTS_MAX: Final = 1_000
APPEND_BYTES_MAX: Final = 4 * 1024 * 1024
APPEND_LEDGERS_MAX: Final = 64
APPENDS_AT_ONCE_MAX: Final = 4
"""
Receipts, bytes and ledgers of one append, and how many appends are under way, where the store takes as many. On
Firestore each ledger is a commit: more at once would wait in line for longer than a commit may take.
"""

BUSY_TRIES_MAX: Final = 10
BUSY_SECONDS: Final = 0.05
"""The pause after the first time that a store has no room for a ledger; it doubles, to 13 s: half a minute in all."""


class Imported(Struct, frozen=True):
    """One ledger's share of an import: receipts appended now, and those that the store held already."""

    tenant: str
    appended: int
    held: int
    head: Head


class Import:
    """
    Takes export lines, in any mixture of ledgers, and appends what the store lacks.

    Restartable: a receipt that the store holds is verified against it and passed over. Each ledger's lines start at
    seq 1, or after the base that their first one brings along; behind the lines of its archive files the store takes
    up the whole ledger. One that goes another way than the store's is refused (BrokenChain, step 4) and nothing of it
    is written; one that breaks later keeps what earlier calls of `take` wrote, which is a verified beginning of it. The
    plans files that come along are stored before the receipts that name them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[str, _Inflow] = {}
        self._came: dict[str, bytes] = {}
        """The plans files of these lines, by digest."""
        self._lines = 0
        self._newest = ("", "")
        """Time and policy of the newest receipt of these lines."""

    async def take(self, lines: Iterable[bytes]) -> int:
        """
        Verify some lines and then store them, all of them or none; how many. More lines are fewer, larger appends.

        Raises BrokenChain, NotCanonical (which says the line), LedgerNewerThanCode, StoreUnavailable, after which this
        import is of no more use; another one starts again from the first line.
        """
        parsed = [self._parsed(text) for text in lines]
        await self._meet(
            [tenant for tenant in dict.fromkeys(m["tenant"] for _, m in parsed) if tenant not in self._open]
        )
        touched: dict[str, _Inflow] = {}
        for line, members in parsed:
            inflow = touched[members["tenant"]] = self._open[members["tenant"]]
            inflow.take(members, line)
            self._newest = max(self._newest, (members["time"], members["policy"]))
        await self._keep((members, line.plans) for line, members in parsed if line.plans is not None)
        for inflow in touched.values():
            await inflow.begin(self._store)
        await self._flush(touched.values())
        return len(parsed)

    def _parsed(self, text: bytes) -> tuple[Line, Body]:
        self._lines += 1
        try:
            line = parse_line(text)
            return line, read(line.body)
        except NotCanonical as error:
            raise NotCanonical(f"line {self._lines}: {error}") from error

    async def close(self) -> tuple[Imported, ...]:
        """What was imported, by ledger; the heads are read back from the store and compared."""
        await self._put_newest_last()
        for inflow in self._open.values():
            await inflow.end(self._store)
        done = tuple(inflow.imported() for inflow in self._open.values())
        heads = await self._heads([each.tenant for each in done])
        for each in done:
            if heads.get(each.tenant) != each.head:
                raise StoreUnavailable(f"the store does not show what was appended to {each.tenant}")
        return done

    async def _meet(self, tenants: Sequence[str]) -> None:
        heads = await self._heads(tenants)
        self._open.update((tenant, _Inflow(tenant, heads.get(tenant))) for tenant in tenants)

    async def _heads(self, tenants: Sequence[str]) -> dict[str, Head]:
        heads: dict[str, Head] = {}
        for start in range(0, len(tenants), HEADS_PAGE):
            heads.update(await self._store.heads(tenants[start : start + HEADS_PAGE]))
        return heads

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

    async def _flush(self, inflows: Iterable["_Inflow"]) -> None:
        """Raises StoreUnavailable, once every append under way has ended."""
        waiting = deque(inflow for inflow in inflows if inflow.waiting)
        at_once = min(APPENDS_AT_ONCE_MAX, self._store.bounds.appends_at_once_max)
        ended = await asyncio.gather(*(self._append_all(waiting) for _ in range(at_once)), return_exceptions=True)
        for end in ended:
            if end is not None:
                raise end

    async def _append_all(self, waiting: "deque[_Inflow]") -> None:
        """One append after the other, until no ledger waits; a ledger with more to append waits behind the others."""
        while waiting:
            inflows, appends = self._next(waiting)
            await self._append(appends)
            waiting.extend(inflow for inflow in inflows if inflow.waiting)

    def _next(self, waiting: "deque[_Inflow]") -> "tuple[list[_Inflow], list[Append]]":
        inflows: list[_Inflow] = []
        appends: list[Append] = []
        receipts = size = 0
        bytes_max = self._store.bounds.bytes_per_tenant_max
        while waiting and receipts < APPEND_RECEIPTS_MAX and size < APPEND_BYTES_MAX:
            if len(appends) == APPEND_LEDGERS_MAX:
                break
            inflow = waiting.popleft()
            append = inflow.next_append(bytes_max)
            inflows.append(inflow)
            appends.append(append)
            receipts += len(append.receipts)
            size += _size_of(append)
        return inflows, appends

    async def _append(self, appends: list[Append]) -> None:
        pause = BUSY_SECONDS
        for _ in range(BUSY_TRIES_MAX):
            busy: list[Append] = []
            await self._store.append(appends, partial(self._told, busy))
            if not busy:
                return
            await asyncio.sleep(pause)
            appends, pause = busy, pause * 2
        raise StoreUnavailable(f"the store has had no room for {appends[0].tenant} for a while: run this again later")

    def _told(self, busy: list[Append], append: Append, outcome: Outcome) -> None:
        match outcome:
            case Appended():
                self._open[append.tenant].appended(append)
            case Busy():
                busy.append(append)
            case _:
                raise StoreUnavailable(f"{append.tenant} is being written by someone else: stop the service first")


class _Entry(Struct, frozen=True, gc=False):
    """A verified receipt that the store lacks, and the state after it."""

    receipt: Receipt
    parts: tuple[Part, ...]
    events: tuple[Event, ...]
    state: TenantState

    @property
    def size(self) -> int:
        return len(self.receipt.body) + sum([len(part.text) for part in self.parts])


class _Inflow:
    """One ledger on its way in."""

    def __init__(self, tenant: str, held: Head | None) -> None:
        self._chain = Chain(tenant)
        self._tenant, self._held = tenant, held
        self._state = state_at(None)
        self._to_begin: Base | None = None
        """Where the store's ledger is to begin, before its first append."""
        self.waiting: deque[_Entry] = deque()
        self._head = held
        self._appended = self._passed = 0

    def take(self, members: Body, line: Line) -> None:
        """The next receipt of the ledger, verified here."""
        if line.base is not None:
            self._take_base(line.base)
        self._chain.link(members, line.body, hash=line.hash, parts=line.parts, plans=line.plans)
        receipt = indexed(members, body=line.body, hash=line.hash)
        events = events_of(receipt)
        self._state = fold(evolve, self._state, events)
        held = self._held
        if held is None or receipt.seq > held.seq:
            self.waiting.append(_Entry(receipt, line.parts, events, self._state))
            return
        self._passed += 1
        if receipt.seq == held.seq:
            self._compare(held.hash)

    def _take_base(self, base: Base) -> None:
        starts, held = self._chain.ledger is None, self._held
        self._chain.begin(base)
        if not starts:
            return
        self._state = state_at(base)
        if held is None:
            self._to_begin = base
        elif held.seq < base.seq:
            detail = (
                f"the store's ledger ends before receipt {base.seq}, after which these begin: bring its archive first"
            )
            raise BrokenChain(tenant=self._tenant, seq=held.seq + 1, step=3, detail=detail)
        elif held.seq == base.seq:
            self._compare(held.hash)

    async def begin(self, store: Store) -> None:
        """Let the store's ledger begin at the base that the first line brought along, if it did."""
        if (base := self._to_begin) is not None:
            await store.rebase(self._tenant, base)
            self._head, self._to_begin = base.head, None

    async def end(self, store: Store) -> None:
        """
        A base must have been named, and where the lines end before the store's ledger does, it is compared there.

        Raises BrokenChain.
        """
        self._chain.close()
        if self._held is not None and self._chain.seq < self._held.seq:
            stored_there = await store.receipt(self._tenant, self._chain.seq)
            self._compare("nothing" if stored_there is None else stored_there.hash)

    def _compare(self, hash: str) -> None:
        # Equal hashes are equal histories: each holds the hash of the one before.
        if hash != self._chain.hash:
            detail = f"the store holds {hash} in its place"
            raise BrokenChain(tenant=self._tenant, seq=self._chain.seq, step=4, detail=detail)

    def next_append(self, bytes_max: int) -> Append:
        """What one append may hold of what waits, at least one receipt."""
        page = list(_page(self.waiting, bytes_max))
        last, state = page[-1].receipt, page[-1].state
        events = [event for entry in page for event in entry.events]
        due = due_rows(tuple(events))
        if (base := self._chain.base) is not None and page[0].receipt.seq == base.seq + 1:
            due = {**{(row.subject, row.kind): row for row in rows_at(base)}, **due}
        return Append(
            tenant=self._tenant,
            expected_seq=self._head.seq if self._head else 0,
            expected_hash=self._head.hash if self._head else GENESIS,
            receipts=tuple([entry.receipt for entry in page]),
            parts=tuple([part for entry in page for part in entry.parts]),
            # An export beside a running service may have read a part before it was erased.
            erasures=tuple([Erasure(event.seq, event.part) for event in events if isinstance(event, PartErased)]),
            snapshot=Snapshot(last.seq, last.ledger, last.hash, last.time, STATE_VERSION, state_to_bytes(state)),
            due=tuple([row for row in due.values() if isinstance(row, Due)]),
            settled=tuple([row for row in due.values() if isinstance(row, DueKey)]),
        )

    def appended(self, append: Append) -> None:
        last = append.receipts[-1]
        self._head = Head(last.ledger, last.seq, last.hash, last.time)
        for _ in append.receipts:
            self.waiting.popleft()
        self._appended += len(append.receipts)

    def imported(self) -> Imported:
        assert self._head is not None
        return Imported(self._tenant, self._appended, self._passed, self._head)


def _page(waiting: Iterable[_Entry], bytes_max: int) -> Iterable[_Entry]:
    """The service is stopped, so no tenant waits for another one's append to end."""
    size = 0
    for number, entry in enumerate(islice(waiting, RECEIPTS_PER_TENANT)):
        size += entry.size
        if number and size > bytes_max:
            return
        yield entry


def _size_of(append: Append) -> int:
    return sum([len(receipt.body) for receipt in append.receipts]) + sum([len(part.text) for part in append.parts])
