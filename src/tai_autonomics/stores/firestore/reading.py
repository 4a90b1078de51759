"""
What a ledger's documents say.

A segment holds the receipts of one append, so what a read costs depends on how the ledger was written: one document for
500 receipts that came at once, 500 for as many that came one by one. A document may be 1 MiB, so pages are sized by
what the page before them held.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import (
    Base,
    Dropped,
    Erased,
    Head,
    Ledger,
    Part,
    Receipt,
    Snapshot,
    concerns_action,
    tail_follows,
)
from tai_autonomics.stores.firestore import documents, queries
from tai_autonomics.stores.firestore.engine import Engine, Found

FIRST_PAGE_SEGMENTS: Final = 8
PAGE_SEGMENTS_MAX: Final = 500
PAGE_BYTES: Final = 4 * 1024 * 1024

PARTS_PAGE: Final = 500
READS_AT_ONCE_MAX: Final = 32

SNAPSHOT_TRIES_MAX: Final = 5
"""Readings of a snapshot that another instance replaces meanwhile; after them the ledger is read without one."""


async def read(engine: Engine, tenant: str) -> tuple[Ledger | None, Found | None]:
    """
    The newest snapshot with every receipt after it, and the head's document.

    Costs the head and the snapshot's documents, and those of the segments after it; the base's where it is needed.
    """
    for _ in range(SNAPSHOT_TRIES_MAX):
        head_path, first_path = documents.head_path(tenant), documents.snapshot_path(tenant, 0)
        found = await engine.get([head_path, first_path])
        head = found.get(head_path)
        if head is None:
            return None, None
        snapshot = await _snapshot(engine, tenant, head.content, found.get(first_path))
        if snapshot is not None or not head.content["snapshot_chunks"]:
            break
    tail = await receipts(engine, tenant, snapshot.seq if snapshot else 0, None)
    if not tail_follows(snapshot, tail) and (based := await base(engine, tenant)) is not None:
        snapshot, tail = based.snapshot, await receipts(engine, tenant, based.seq, None)
    return Ledger(snapshot, tail), head


async def _snapshot(engine: Engine, tenant: str, head: dict[str, Any], first: Found | None) -> Snapshot | None:
    """The snapshot that the head names, or None where its chunks are no longer, or not yet, of that one."""
    count, seq = head["snapshot_chunks"], head["snapshot_seq"]
    if not count or first is None:
        return None
    paths = [documents.snapshot_path(tenant, number) for number in range(1, count)]
    rest = await engine.get(paths) if paths else {}
    chunks = [first, *(rest[path] for path in paths if path in rest)]
    if len(chunks) != count or any(chunk.content["seq"] != seq for chunk in chunks):
        return None
    about = first.content
    state = b"".join(chunk.content["state"] for chunk in chunks)
    return Snapshot(seq, about["ledger"], about["hash"], about["time"], about["state_version"], state)


async def receipts(
    engine: Engine, tenant: str, after: int, limit: int | None, wanted: Callable[[Receipt], bool] | None = None
) -> tuple[Receipt, ...]:
    """
    Receipts with seq > after, in order; at most `limit`, where there is one.

    With `wanted` every segment is read until enough are found: up to the whole ledger, a document for each append.
    """
    found: list[Receipt] = []
    reached, page = after, FIRST_PAGE_SEGMENTS
    if limit is not None and wanted is None:
        page = min(page, limit)
    while limit is None or len(found) < limit:
        segments = await engine.query(queries.SEGMENTS, tenant, reached, limit=page)
        read = [each for segment in segments for each in documents.receipts_in(segment.content) if each.seq > after]
        found.extend(read if wanted is None else filter(wanted, read))
        if len(segments) < page:
            break
        reached = segments[-1].content["last"]
        page = _next_page(segments, None if limit is None or wanted is not None else limit - len(found))
    return tuple(found if limit is None else found[:limit])


async def action_receipts(
    engine: Engine, tenant: str, seq: int, limit: int, *, newest_first: bool
) -> tuple[Receipt, ...]:
    """Those that concern actions, after the seq, or before it. Costs the segments of the appends that hold them."""
    query = queries.ACTION_SEGMENTS_BEFORE if newest_first else queries.ACTION_SEGMENTS
    found: list[Receipt] = []
    reached, page = seq, FIRST_PAGE_SEGMENTS
    while len(found) < limit:
        segments = await engine.query(query, tenant, True, reached, limit=page)
        for segment in segments:
            held = documents.receipts_in(segment.content)
            wanted = [
                one for one in held if concerns_action(one) and (one.seq < seq if newest_first else one.seq > seq)
            ]
            found.extend(reversed(wanted) if newest_first else wanted)
        if len(segments) < page:
            break
        reached = segments[-1].content["first" if newest_first else "last"]
        page = _next_page(segments, None)
    return tuple(found[:limit])


def _next_page(segments: Sequence[Found], wanted: int | None) -> int:
    """How many segments like these hold what is wanted, and are not too large together."""
    size = sum(len(segment.content["receipts"]) for segment in segments)
    page = PAGE_BYTES * len(segments) // size
    if wanted is not None:
        held = sum(segment.content["last"] - segment.content["first"] + 1 for segment in segments)
        page = min(page, -(-wanted * len(segments) // held))
    return max(1, min(page, PAGE_SEGMENTS_MAX))


def wanting(type: str | None, subject: str | None) -> Callable[[Receipt], bool]:
    """Whether a receipt is of the type and about the subject, "kind/id" or a bare id."""
    kind, separator, id_of_kind = (subject or "").partition("/")

    def wanted(receipt: Receipt) -> bool:
        if type is not None and receipt.type != type:
            return False
        if subject is None:
            return True
        if separator:
            return (receipt.subject_kind, receipt.subject_id) == (kind, id_of_kind)
        return receipt.subject_id == subject

    return wanted


async def claiming(engine: Engine, tenant: str, command_id: str) -> Receipt | None:
    """The receipt that claims the id, while its claim is remembered. Costs two reads."""
    path = documents.claim_path(tenant, command_id)
    claim = (await engine.get([path])).get(path)
    if claim is None:
        return None
    return (await claimed(engine, tenant, {command_id: claim})).get(command_id)


async def claimed(engine: Engine, tenant: str, claims: dict[str, Found]) -> dict[str, Receipt]:
    """The receipts that claims name, by command id; a segment is read once."""
    paths = {documents.segment_path(tenant, claim.content["first"]) for claim in claims.values()}
    segments = await engine.get(sorted(paths))
    by_seq = {each.seq: each for one in segments.values() for each in documents.receipts_in(one.content)}
    seqs = {command_id: claim.content["seq"] for command_id, claim in claims.items()}
    return {command_id: by_seq[seq] for command_id, seq in seqs.items() if seq in by_seq}


async def heads(engine: Engine, tenants: Sequence[str]) -> dict[str, Head]:
    paths = {documents.head_path(tenant): tenant for tenant in tenants}
    found = await engine.get(paths)
    return {paths[path]: documents.head_in(one.content) for path, one in found.items()}


async def tenants(engine: Engine, after: str, limit: int) -> tuple[str, ...]:
    # The engine orders strings by their bytes in UTF-8.
    found = await engine.query(queries.TENANTS, after, limit=limit)
    return tuple(one.content["tenant"] for one in found)


async def with_due(engine: Engine, kind: str, after: str, limit: int) -> tuple[str, ...]:
    """Each once, though a tenant may have more rows of the kind: costs a document a row."""
    found: list[str] = []
    while len(found) < limit:
        rows = await engine.query(queries.WITH_DUE, kind, after, limit=limit)
        found.extend(dict.fromkeys(one.content["tenant"] for one in rows))
        if len(rows) < limit:
            break
        # Of the last one there may be rows beyond this page, which the next passes over.
        after = found[-1]
    return tuple(found[:limit])


async def parts(engine: Engine, tenant: str, first: int, last: int) -> tuple[Part, ...]:
    found: list[Part] = []
    start, end = documents.part_id(first), documents.part_id(last + 1)
    while True:
        page = await engine.query(queries.PARTS, start, end, limit=PARTS_PAGE, parent=documents.head_path(tenant))
        found.extend(documents.part_in(one.content) for one in page)
        if len(page) < PARTS_PAGE:
            return tuple(sorted(found, key=lambda part: (part.seq, part.name)))
        start = f"{page[-1].id}\0"


async def erased(engine: Engine) -> tuple[Erased, ...]:
    """Every part that was taken away. Costs a document each, and the segment of its receipt."""
    found: list[Erased] = []
    start = "0"
    while True:
        page = await engine.query(queries.ERASED, start, limit=READS_AT_ONCE_MAX)
        found.extend(each for each in await asyncio.gather(*(_erased(engine, one) for one in page)) if each)
        if len(page) < READS_AT_ONCE_MAX:
            return tuple(found)
        start = f"{page[-1].id}\0"


async def _erased(engine: Engine, note: Found) -> Erased | None:
    tenant, seq = note.content["tenant"], note.content["seq"]
    receipt = next((one for one in await receipts(engine, tenant, seq - 1, 1) if one.seq == seq), None)
    if receipt is not None:
        return Erased(tenant, seq, receipt.hash, note.content["name"])
    path = documents.dropped_path(tenant, seq)
    kept = (await engine.get([path])).get(path)
    return None if kept is None else Erased(tenant, seq, kept.content["hash"], note.content["name"])


async def base(engine: Engine, tenant: str) -> Base | None:
    """Costs its document and those of its state. Raises StoreUnavailable while it is replaced again and again."""
    path = documents.base_path(tenant)
    for _ in range(SNAPSHOT_TRIES_MAX):
        about = (await engine.get([path])).get(path)
        if about is None:
            return None
        paths = documents.base_chunk_paths(tenant, about.content["seq"], about.content["chunks"])
        chunks = await engine.get(paths)
        if len(chunks) == len(paths):
            return documents.base_in(about.content, b"".join(chunks[each].content["content"] for each in paths))
    raise StoreUnavailable(f"Firestore: the base of {tenant} is being replaced")


async def cut(engine: Engine, tenant: str, through: int) -> int:
    """A segment goes as a whole. Costs one document."""
    found = await engine.query(queries.SEGMENTS, tenant, through - 1, limit=1)
    if not found:
        return 0
    segment = found[0].content
    return through if segment["last"] == through else int(segment["first"]) - 1


async def dropped(engine: Engine, tenant: str, seq: int) -> Dropped | None:
    path = documents.dropped_path(tenant, seq)
    kept = (await engine.get([path])).get(path)
    if kept is None:
        return None
    names = {part.name for part in await parts(engine, tenant, seq, seq)}
    names.update(name for _, name in await erasures(engine, tenant, seq, seq))
    return Dropped(kept.content["hash"], tuple(sorted(names)))


async def erasures(engine: Engine, tenant: str, first: int, last: int) -> set[tuple[int, str]]:
    """Which parts of receipts first..last were taken away: seq and name."""
    found: set[tuple[int, str]] = set()
    start, end = (documents.erased_path(tenant, seq, "").rpartition("/")[2] for seq in (first, last + 1))
    while True:
        page = await engine.query(queries.ERASED, start, limit=READS_AT_ONCE_MAX)
        found.update((one.content["seq"], one.content["name"]) for one in page if one.id < end)
        if len(page) < READS_AT_ONCE_MAX or page[-1].id >= end:
            return found
        start = f"{page[-1].id}\0"
