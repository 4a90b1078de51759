"""
Quarantine and policies. What is larger than a chunk lies in documents of its own, written before the one that names it.

The quarantine is bounded by counting it (one read a thousand messages): a counter would be one document that every
instance writes just when messages flood in, and Firestore sustains about one write a second of a document. The price:
messages counted at the same moment may go over the bound, by ENTERING_MAX an instance.
"""

import asyncio
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from tai_autonomics.ledger.records import Quarantined
from tai_autonomics.stores.firestore import documents, queries
from tai_autonomics.stores.firestore.documents import CHUNK_BYTES, COMMIT_BYTES_MAX, Content, Write
from tai_autonomics.stores.firestore.engine import Engine, Found

ENTERING_MAX: Final = 8
"""Messages of this instance that are counted and written at once."""

CHUNKS_A_COMMIT: Final = COMMIT_BYTES_MAX // CHUNK_BYTES


class Keeping:
    """Everything runs on one event loop."""

    def __init__(self, engine: Engine, *, quarantine_max: int) -> None:
        self._engine = engine
        self._quarantine_max = quarantine_max
        self._entering = asyncio.Semaphore(ENTERING_MAX)

    # ---- quarantine

    async def quarantine(self, message: Quarantined) -> bool:
        path = documents.quarantine_path(message.id)
        async with self._entering:
            if await self._engine.get([path]):
                return True
            if await self._engine.count(queries.EVERY_QUARANTINED, up_to=self._quarantine_max) >= self._quarantine_max:
                return False
            await self._keep(path, documents.quarantined(message), message.payload)
            return True

    async def quarantined(self, after: str, limit: int) -> tuple[Quarantined, ...]:
        return await self._messages(await self._engine.query(queries.QUARANTINED, after, limit=limit))

    async def quarantined_one(self, id: str) -> Quarantined | None:
        found = await self._engine.get([documents.quarantine_path(id)])
        return next(iter(await self._messages(found.values())), None)

    async def quarantine_size(self) -> int:
        return await self._engine.count(queries.EVERY_QUARANTINED, up_to=self._quarantine_max)

    async def to_redrive(self, now: str, limit: int) -> tuple[Quarantined, ...]:
        return await self._messages(await self._engine.query(queries.TO_REDRIVE, now, limit=limit))

    async def put_off_quarantined(self, id: str, *, reason: str, redrives: int, redrive_at: str | None) -> None:
        changed: Content = {"reason": reason, "redrives": redrives, "redrive_at": redrive_at}
        await self._engine.commit_if([Write(documents.quarantine_path(id), changed, exists=True, only=True)])

    async def release_quarantined(self, id: str) -> None:
        path = documents.quarantine_path(id)
        found = (await self._engine.get([path])).get(path)
        if found is not None:
            gone = [path, *_chunk_paths(path, found.content["chunked"], found.content["chunks"])]
            await self._engine.commit_if([Write(each, None) for each in gone])

    async def _messages(self, found: Iterable[Found]) -> tuple[Quarantined, ...]:
        messages = []
        for one in found:
            payload = await self._content(one)
            if payload is not None:
                messages.append(documents.quarantined_in(one.content, payload))
        return tuple(messages)

    # ---- policies

    async def keep_policy(self, digest: str, text: bytes, time: str) -> None:
        path = documents.policy_path(digest)
        if not await self._keep(path, {"digest": digest, "time": time}, text, stamped="kept"):
            await self._engine.commit_if([Write(path, {}, exists=True, only=True, stamped="kept")])

    async def policy(self, digest: str) -> bytes | None:
        path = documents.policy_path(digest)
        found = (await self._engine.get([path])).get(path)
        return None if found is None else await self._content(found)

    async def newest_policy(self) -> tuple[str, bytes] | None:
        for found in await self._engine.query(queries.NEWEST_POLICY, limit=1):
            text = await self._content(found)
            return None if text is None else (found.content["digest"], text)
        return None

    # ---- a document with content of any size

    async def _keep(self, path: str, about: Content, content: bytes, *, stamped: str = "") -> bool:
        """Keep it unless there is a document at `path` already; whether it was kept."""
        chunks = documents.chunks_of(content)
        if len(chunks) == 1:
            whole: Content = {**about, "content": content, "chunked": "", "chunks": 0}
            return await self._engine.commit_if([Write(path, whole, exists=False, stamped=stamped)])
        # Named by what they hold, so that two who keep different contents at once do not mix them.
        chunked = sha256(content).hexdigest()[:16]
        paths = _chunk_paths(path, chunked, len(chunks))
        writes = [Write(each, {"content": chunk}) for each, chunk in zip(paths, chunks, strict=True)]
        for start in range(0, len(writes), CHUNKS_A_COMMIT):
            await self._engine.commit_if(writes[start : start + CHUNKS_A_COMMIT])
        named: Content = {**about, "content": b"", "chunked": chunked, "chunks": len(chunks)}
        is_kept = await self._engine.commit_if([Write(path, named, exists=False, stamped=stamped)])
        if not is_kept:
            await self._drop_unnamed(path, chunked, paths)
        return is_kept

    async def _drop_unnamed(self, path: str, chunked: str, paths: list[str]) -> None:
        """Somebody else was first: our chunks go, unless they are theirs too."""
        first = (await self._engine.get([path])).get(path)
        if first is not None and first.content["chunked"] != chunked:
            await self._engine.commit_if([Write(each, None) for each in paths])

    async def _content(self, found: Found) -> bytes | None:
        """None when it was released while it was read."""
        if not found.content["chunks"]:
            content: bytes = found.content["content"]
            return content
        paths = _chunk_paths(found.path, found.content["chunked"], found.content["chunks"])
        chunks = await self._engine.get(paths)
        if len(chunks) < len(paths):
            return None
        return b"".join(chunks[path].content["content"] for path in paths)


def _chunk_paths(path: str, chunked: str, count: int) -> list[str]:
    return [documents.chunk_path(f"{path}/chunks", number, of=chunked) for number in range(count)]
