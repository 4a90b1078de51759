"""
One tenant's append: one commit, and what it means when that fails.

    head known? --no--> read it --> stands? --no-------------------------+
         |                             |                                 v
         +-----------> commit <--------+                              examine: one read of head, segment and claims
                         |                                               |
       stored ---> Appended                                              +- the segment is ours        --> Appended
       refused (condition) ---------------------------------------------+- ids are held               --> Duplicates
       refused (contended, exhausted) ----------------------------------+- the head is another        --> Conflict
       nothing can be said ---------------------------------------------+- nothing stands in the way  --> again, Busy,
                                                                                                     or still unknown

The conditions of a commit: the head was last written when we saw it; the segment and the claimed ids are not there yet.
A failed commit names one document alone, hence the examination. A commit of which nothing is known can still arrive
once the head has moved only if it is stored already: its conditions would not hold any more.
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import (
    GENESIS,
    Append,
    Appended,
    Busy,
    Conflict,
    Duplicates,
    Head,
    Outcome,
    Snapshot,
)
from tai_autonomics.stores.firestore import documents, reading
from tai_autonomics.stores.firestore.documents import Write
from tai_autonomics.stores.firestore.engine import Engine, Found, NotStored

MISSED_MAX: Final = 500
"""Receipts in one Conflict."""

HEADS_MAX: Final = 100_000
"""Heads kept in memory, about 600 bytes each; a tenant that was not written for long is read again."""

TRIES_MAX: Final = 3
"""Commits of one append whose conditions failed although nothing stands in its way."""

APPENDED: Final = Appended()
BUSY: Final = Busy()


class Known(Struct, frozen=True, gc=False):
    """A head as it was last seen. `update_time` is None while the document does not exist."""

    head: Head
    update_time: Any
    snapshot_seq: int = 0
    snapshot_chunks: int = 0

    def stands(self, append: Append) -> bool:
        return (self.head.seq, self.head.hash) == (append.expected_seq, append.expected_hash)


NOTHING: Final = Known(Head("", 0, GENESIS, ""), None)


class Appending:
    """Remembers heads. Everything runs on one event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._heads: dict[str, Known] = {}

    def saw(self, tenant: str, found: Found | None) -> Known:
        """Take note of a head's document as it was read."""
        known = NOTHING if found is None else _known(found)
        return self._remember(tenant, known)

    async def append(self, append: Append) -> Outcome:
        """Raises StoreUnavailable when nothing can be said."""
        known = self._heads.get(append.tenant, NOTHING)
        for _ in range(TRIES_MAX):
            if not known.stands(append) or not append.receipts:
                known = await self._read_head(append.tenant)
            if not known.stands(append) or await self._holds_unclaimed(append):
                return await self._examine(append) or BUSY
            if _carries_nothing(append):
                return APPENDED
            assert append.receipts or known.update_time is not None, f"{append.tenant} has no ledger to add this to"
            try:
                return await self._commit(append, known)
            except NotStored as refused:
                outcome = await self._examine(append)
                if outcome is not None or refused.why != "condition":
                    return outcome or BUSY
                known = self._heads[append.tenant]
            except StoreUnavailable:
                outcome = await self._examine(append)
                if outcome is None:
                    raise
                return outcome
        return BUSY

    async def _commit(self, append: Append, known: Known) -> Outcome:
        following = _following(append, known)
        # What is there after a failure is unknown until it is read.
        self._heads.pop(append.tenant, None)
        times = await self._engine.commit([_head_write(append.tenant, known, following), *_writes(append, known)])
        self._remember(append.tenant, replace(following, update_time=times[0]))
        return APPENDED

    async def _read_head(self, tenant: str) -> Known:
        path = documents.head_path(tenant)
        return self.saw(tenant, (await self._engine.get([path])).get(path))

    async def _holds_unclaimed(self, append: Append) -> bool:
        """
        Whether the ledger holds an id that this append does not claim, so that no condition of its commit sees it.

        Asked after the head was seen: who claims it later moves the head.
        """
        claimed = {receipt.command_id for receipt in append.receipts if receipt.claims}
        unclaimed = {receipt.command_id for receipt in append.receipts} - claimed
        paths = [documents.claim_path(append.tenant, command_id) for command_id in unclaimed]
        return bool(paths and await self._engine.get(paths))

    async def _examine(self, append: Append) -> Outcome | None:
        """What the ledger says to this append, or None when nothing stands in its way."""
        head_path = documents.head_path(append.tenant)
        claims = {r.command_id: documents.claim_path(append.tenant, r.command_id) for r in append.receipts}
        segment_path = documents.segment_path(append.tenant, append.expected_seq + 1)
        found = await self._engine.get([head_path, segment_path, *claims.values()])
        known = self.saw(append.tenant, found.get(head_path))
        if append.receipts and _is_ours(append, found.get(segment_path)):
            return APPENDED
        if held := {command_id: found[path] for command_id, path in claims.items() if path in found}:
            return await self._duplicates(append.tenant, held)
        if known.stands(append):
            return None
        return Conflict(await reading.receipts(self._engine, append.tenant, append.expected_seq, MISSED_MAX))

    async def _duplicates(self, tenant: str, held: dict[str, Found]) -> Outcome:
        first = await reading.claimed(self._engine, tenant, held)
        # Read after the claims, so that it is not behind the receipts that they name.
        return Duplicates(first, (await self._read_head(tenant)).head)

    def _remember(self, tenant: str, known: Known) -> Known:
        # Out and in again, so that the order of the dict is the order of the last use.
        self._heads.pop(tenant, None)
        self._heads[tenant] = known
        if len(self._heads) > HEADS_MAX:
            del self._heads[next(iter(self._heads))]
        return known


def _known(found: Found) -> Known:
    content = found.content
    return Known(documents.head_in(content), found.update_time, content["snapshot_seq"], content["snapshot_chunks"])


def _carries_nothing(append: Append) -> bool:
    return not (append.receipts or append.parts or append.erasures or append.snapshot or append.due or append.settled)


def _is_ours(append: Append, segment: Found | None) -> bool:
    """Whether this very append is stored: the segment holds its receipts, all of them and no other."""
    if segment is None:
        return False
    stored = documents.receipts_in(segment.content)
    return [receipt.hash for receipt in stored] == [receipt.hash for receipt in append.receipts]


# ---- what a commit writes


def _following(append: Append, known: Known) -> Known:
    """The head that the append leaves."""
    if append.receipts:
        last = append.receipts[-1]
        known = replace(known, head=Head(last.ledger, last.seq, last.hash, last.time))
    if (snapshot := _kept_snapshot(append)) is not None:
        chunks = len(documents.chunks_of(snapshot.state))
        known = replace(known, snapshot_seq=snapshot.seq, snapshot_chunks=chunks)
    return known


def _kept_snapshot(append: Append) -> Snapshot | None:
    """The append's snapshot, unless it is too large to go with the rest in one commit: it is only a cache."""
    if append.snapshot is None:
        return None
    size = len(append.snapshot.state) + sum(len(receipt.body) for receipt in append.receipts)
    size += sum(len(part.text) for part in append.parts)
    return append.snapshot if size <= documents.COMMIT_BYTES_MAX else None


def _head_write(tenant: str, known: Known, following: Known) -> Write:
    head = following.head
    return Write(
        documents.head_path(tenant),
        {
            "tenant": tenant,
            "shard": documents.shard_of(tenant),
            "ledger": head.ledger,
            "seq": head.seq,
            "hash": head.hash,
            "time": head.time,
            "snapshot_seq": following.snapshot_seq,
            "snapshot_chunks": following.snapshot_chunks,
        },
        exists=False if known.update_time is None else None,
        update_time=known.update_time,
        stamped="written",
    )


def _writes(append: Append, known: Known) -> Iterable[Write]:
    tenant = append.tenant
    if append.receipts:
        first = append.receipts[0].seq
        yield Write(documents.segment_path(tenant, first), documents.segment(append.receipts), exists=False)
        for receipt in append.receipts:
            if receipt.claims:
                path = documents.claim_path(tenant, receipt.command_id)
                yield Write(path, documents.claim(receipt, first), exists=False)
    yield from _due_writes(append)
    yield from _part_writes(append)
    if (snapshot := _kept_snapshot(append)) is not None:
        yield from _snapshot_writes(tenant, snapshot, known.snapshot_chunks)


def _due_writes(append: Append) -> Iterable[Write]:
    """What is settled goes before what is set anew; a document is written once."""
    tenant = append.tenant
    rows: dict[str, Write] = {}
    for key in append.settled:
        path = documents.due_path(tenant, key.subject, key.kind)
        rows[path] = Write(path, None)
    for row in append.due:
        path = documents.due_path(tenant, row.subject, row.kind)
        rows[path] = Write(path, documents.due(tenant, row))
    return rows.values()


def _part_writes(append: Append) -> Iterable[Write]:
    """A part that comes and goes in one append is never written; that it is gone is."""
    parts: dict[str, Write] = {}
    for part in append.parts:
        path = documents.part_path(append.tenant, part.seq, part.name)
        parts[path] = Write(path, documents.part_content(part))
    for gone in append.erasures:
        path = documents.part_path(append.tenant, gone.seq, gone.name)
        parts[path] = Write(path, None)
        noted = documents.erased_path(append.tenant, gone.seq, gone.name)
        parts[noted] = Write(noted, documents.erased(append.tenant, gone))
    return parts.values()


def _snapshot_writes(tenant: str, snapshot: Snapshot, chunks_before: int) -> Iterable[Write]:
    chunks = documents.chunks_of(snapshot.state)
    for number, chunk in enumerate(chunks):
        yield Write(documents.snapshot_path(tenant, number), documents.snapshot(snapshot, chunk))
    for number in range(len(chunks), chunks_before):
        yield Write(documents.snapshot_path(tenant, number), None)
