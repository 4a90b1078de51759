"""
The beginning of a ledger, and what lies before it.

    rebase   the state in chunks --> the base that names them, and a head where there is none --> older chunks
    drop     segment after segment, each in one commit with the claims that name it and what is kept of its receipts
"""

from collections.abc import Iterable, Sequence
from typing import Final

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Base, Receipt
from tai_autonomics.stores.firestore import documents, queries, reading
from tai_autonomics.stores.firestore.documents import CHUNK_BYTES, COMMIT_BYTES_MAX, Write
from tai_autonomics.stores.firestore.engine import Engine, Found

TRIES_MAX: Final = 5
"""Commits of one step whose conditions failed because another archive was at work, or a claim was forgotten."""

SEGMENTS_A_READ: Final = 8
CHUNKS_A_COMMIT: Final = COMMIT_BYTES_MAX // CHUNK_BYTES


async def rebase(engine: Engine, tenant: str, base: Base) -> None:
    """Raises StoreUnavailable."""
    chunks = documents.chunks_of(base.snapshot.state)
    paths = documents.base_chunk_paths(tenant, base.seq, len(chunks))
    base_path, head_path = documents.base_path(tenant), documents.head_path(tenant)
    for tries in range(TRIES_MAX):
        found = await engine.get([base_path, head_path])
        before = found.get(base_path)
        if before is not None and before.content["seq"] >= base.seq:
            if tries and before.content["seq"] != base.seq:
                # Another archive was first, and nothing names our chunks.
                await _write_all(engine, [Write(path, None) for path in paths])
            return
        await _write_all(engine, [Write(path, {"content": chunk}) for path, chunk in zip(paths, chunks, strict=True)])
        named = Write(
            base_path,
            documents.base(base, len(chunks)),
            exists=False if before is None else None,
            update_time=None if before is None else before.update_time,
        )
        if await engine.commit_if([named, *([] if head_path in found else [_head(tenant, base)])]):
            if before is not None:
                older = documents.base_chunk_paths(tenant, before.content["seq"], before.content["chunks"])
                await _write_all(engine, [Write(path, None) for path in older])
            return
    raise StoreUnavailable(f"Firestore: the base of {tenant} is being replaced")


async def _write_all(engine: Engine, writes: Sequence[Write]) -> None:
    for start in range(0, len(writes), CHUNKS_A_COMMIT):
        await engine.commit_if(writes[start : start + CHUNKS_A_COMMIT])


def _head(tenant: str, base: Base) -> Write:
    head = base.head
    content: documents.Content = {
        "tenant": tenant,
        "shard": documents.shard_of(tenant),
        "ledger": head.ledger,
        "seq": head.seq,
        "hash": head.hash,
        "time": head.time,
        "snapshot_seq": 0,
        "snapshot_chunks": 0,
    }
    return Write(documents.head_path(tenant), content, exists=False, stamped="written")


async def drop(engine: Engine, tenant: str, limit: int) -> int:
    """How many receipts, in whole segments. Raises StoreUnavailable."""
    base_path = documents.base_path(tenant)
    base = (await engine.get([base_path])).get(base_path)
    if base is None:
        return 0
    count = 0
    while count < limit:
        segments = await engine.query(queries.SEGMENTS, tenant, 0, limit=SEGMENTS_A_READ)
        going = [segment for segment in segments if segment.content["last"] <= base.content["seq"]]
        for segment in going:
            if count < limit:
                count += await _drop_segment(engine, tenant, segment)
        if len(going) < SEGMENTS_A_READ:
            break
    return count


async def _drop_segment(engine: Engine, tenant: str, segment: Found) -> int:
    receipts = documents.receipts_in(segment.content)
    for _ in range(TRIES_MAX):
        writes = [
            *await _notes(engine, tenant, receipts),
            *await _claims(engine, tenant, receipts),
            Write(segment.path, None, exists=True),
        ]
        if await engine.commit_if(writes):
            return len(receipts)
        if not await engine.get([segment.path]):
            return 0  # another archive was first
    raise StoreUnavailable(f"Firestore: receipts of {tenant} cannot be dropped now")


async def _notes(engine: Engine, tenant: str, receipts: Sequence[Receipt]) -> Iterable[Write]:
    """What is kept of receipts that had parts."""
    first, last = receipts[0].seq, receipts[-1].seq
    seqs = {part.seq for part in await reading.parts(engine, tenant, first, last)}
    seqs.update(seq for seq, _ in await reading.erasures(engine, tenant, first, last))
    return [
        Write(documents.dropped_path(tenant, each.seq), {"hash": each.hash}) for each in receipts if each.seq in seqs
    ]


async def _claims(engine: Engine, tenant: str, receipts: Sequence[Receipt]) -> Iterable[Write]:
    """Those that name these receipts: a forgotten id may have been claimed anew, by a receipt that stays."""
    seqs = {documents.claim_path(tenant, each.command_id): each.seq for each in receipts if each.claims}
    found = await engine.get(list(seqs))
    return [
        Write(path, None, update_time=claim.update_time)
        for path, claim in found.items()
        if claim.content["seq"] == seqs[path]
    ]
