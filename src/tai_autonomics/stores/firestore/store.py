"""The store's port on Firestore."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from datetime import datetime
from typing import Any, Final

from tai_autonomics.errors import LedgerNewerThanCode, StoreUnavailable
from tai_autonomics.ledger.records import (
    Append,
    Base,
    Dropped,
    Erased,
    Head,
    Leased,
    Ledger,
    Outcome,
    Part,
    Quarantined,
    Receipt,
    StoreBounds,
    check_appends,
)
from tai_autonomics.stores.firestore import archiving, documents, queries, reading
from tai_autonomics.stores.firestore.appending import Appending
from tai_autonomics.stores.firestore.documents import FORMAT, RECEIPTS, Content, Write
from tai_autonomics.stores.firestore.engine import Engine
from tai_autonomics.stores.firestore.keeping import Keeping
from tai_autonomics.stores.firestore.leasing import Leasing

COMMITS_AT_ONCE_MAX: Final = 64
"""Tenants whose appends are under way at once; Google takes 100 calls on a connection, and reads need some."""

BOUNDS: Final = StoreBounds(
    receipts_per_tenant_max=500, bytes_per_tenant_max=512 * 1024, appends_at_once_max=COMMITS_AT_ONCE_MAX
)

CALLS_AN_APPEND: Final = 3
"""How many calls' time an append may take: what it needs to commit, to examine and to read what it missed."""

OPEN_TRIES_MAX: Final = 3
FORMAT_PATH: Final = "meta/format"


class FirestoreStore:
    """The `Store` of ports.py in one database. Made by `open`; `aclose` ends its connection. One event loop."""

    def __init__(
        self,
        engine: Engine,
        *,
        read_only: bool,
        timeout_seconds: float,
        quarantine_max: int,
        chance: Callable[[int], bytes],
    ) -> None:
        self._engine = engine
        self._read_only = read_only
        self._append_seconds = CALLS_AN_APPEND * timeout_seconds
        self._committing = asyncio.Semaphore(COMMITS_AT_ONCE_MAX)
        self._appending = Appending(engine)
        self._leasing = Leasing(engine, chance)
        self._keeping = Keeping(engine, quarantine_max=quarantine_max)

    @classmethod
    async def open(
        cls,
        project: str,
        database: str,
        *,
        collection: str = RECEIPTS,
        chance: Callable[[int], bytes],
        emulator: str | None = None,
        read_only: bool = False,
        timeout_seconds: float = 3.0,
        quarantine_max: int = 10_000,
    ) -> "FirestoreStore":
        """
        Open the database ("(default)" is the project's first), or that of the emulator at host:port.

        Receipts lie in `collection`. `timeout_seconds` bounds each call to Firestore; an append takes at most three of
        them. `read_only` writes nothing. Raises StoreUnavailable when there are no credentials, the database does not
        answer or it keeps its receipts in another collection, and LedgerNewerThanCode when a later release has
        written it.
        """
        engine = await Engine.connect(
            project, database, collection=collection, emulator=emulator, timeout_seconds=timeout_seconds
        )
        store = cls(
            engine,
            read_only=read_only,
            timeout_seconds=timeout_seconds,
            quarantine_max=quarantine_max,
            chance=chance,
        )
        try:
            await store._begin(collection)
        except BaseException:
            await store.aclose()
            raise
        return store

    async def _begin(self, collection: str) -> None:
        """The first call makes the connection too, for which a cold machine may need longer than a call has."""
        for _ in range(OPEN_TRIES_MAX - 1):
            with suppress(StoreUnavailable):
                return await self._check_format(collection)
        return await self._check_format(collection)

    async def _check_format(self, collection: str) -> None:
        found = await self._engine.get([FORMAT_PATH])
        if not found and not self._read_only:
            begin: Content = {"version": FORMAT, "receipts": collection}
            await self._engine.commit_if([Write(FORMAT_PATH, begin, exists=False)])
            # Another instance that starts now may have been first.
            found = await self._engine.get([FORMAT_PATH])
        if found:
            _require_known(found[FORMAT_PATH].content, collection)

    @property
    def bounds(self) -> StoreBounds:
        return BOUNDS

    @property
    def shared(self) -> bool:
        return True

    def held(self, tenant: str) -> AbstractAsyncContextManager[None]:
        """Holds nothing: Firestore's commits wait for nobody."""
        return nullcontext()

    async def append(self, appends: Sequence[Append], tell: Callable[[Append, Outcome], None]) -> None:
        """Each tenant's append is a commit of its own, beside the others'."""
        self._check_writable()
        check_appends(appends)

        async def one(append: Append) -> None:
            tell(append, await self._append(append))

        ended = await asyncio.gather(*map(one, appends), return_exceptions=True)
        for failed in ended:
            if failed is not None:
                raise failed

    async def _append(self, append: Append) -> Outcome:
        try:
            async with asyncio.timeout(self._append_seconds), self._committing:
                return await self._appending.append(append)
        except TimeoutError as error:
            raise StoreUnavailable(f"Firestore: no answer within {self._append_seconds:g} s") from error

    async def read(self, tenant: str) -> Ledger | None:
        ledger, head = await reading.read(self._engine, tenant)
        self._appending.saw(tenant, head)
        return ledger

    async def receipts(
        self, tenant: str, after: int, limit: int, *, type: str | None = None, subject: str | None = None
    ) -> tuple[Receipt, ...]:
        """With a filter, every segment after `after` is read until enough are found: a document an append."""
        wanted = None if type is None and subject is None else reading.wanting(type, subject)
        return await reading.receipts(self._engine, tenant, after, limit, wanted)

    async def receipt(self, tenant: str, seq: int) -> Receipt | None:
        """Costs one document, with all receipts that were appended with it."""
        found = await reading.receipts(self._engine, tenant, seq - 1, 1)
        return next((one for one in found if one.seq == seq), None)

    async def find(self, tenant: str, command_id: str) -> Receipt | None:
        """None also once its claim is forgotten, 30 days after the receipt's time: a repeat is then decided again."""
        return await reading.claiming(self._engine, tenant, command_id)

    async def tenants(self, after: str, limit: int) -> tuple[str, ...]:
        return await reading.tenants(self._engine, after, limit)

    async def heads(self, tenants: Sequence[str]) -> dict[str, Head]:
        return await reading.heads(self._engine, tenants)

    async def action_receipts(self, tenant: str, after: int, limit: int) -> tuple[Receipt, ...]:
        return await reading.action_receipts(self._engine, tenant, after, limit, newest_first=False)

    async def action_receipts_before(self, tenant: str, before: int, limit: int) -> tuple[Receipt, ...]:
        return await reading.action_receipts(self._engine, tenant, before, limit, newest_first=True)

    async def with_due(self, kind: str, after: str, limit: int) -> tuple[str, ...]:
        return await reading.with_due(self._engine, kind, after, limit)

    async def parts(self, tenant: str, first: int, last: int) -> tuple[Part, ...]:
        return await reading.parts(self._engine, tenant, first, last)

    async def bases(self, tenants: Sequence[str]) -> dict[str, Base]:
        found = await asyncio.gather(*(reading.base(self._engine, tenant) for tenant in tenants))
        return {tenant: base for tenant, base in zip(tenants, found, strict=True) if base is not None}

    async def cut(self, tenant: str, through: int) -> int:
        return await reading.cut(self._engine, tenant, through)

    async def rebase(self, tenant: str, base: Base) -> None:
        self._check_writable()
        await archiving.rebase(self._engine, tenant, base)

    async def drop(self, tenant: str, limit: int) -> int:
        """Whole segments, so that it may be up to 499 more than `limit`."""
        self._check_writable()
        return await archiving.drop(self._engine, tenant, limit)

    async def dropped(self, tenant: str, seq: int) -> Dropped | None:
        return await reading.dropped(self._engine, tenant, seq)

    async def erased(self) -> tuple[Erased, ...]:
        return await reading.erased(self._engine)

    async def lease(
        self, limit: int, seconds: float, now: str | None = None, *, kinds: Sequence[str] | None = None
    ) -> tuple[Leased, ...]:
        """
        By Firestore's clock; `now` is another's, and does not count.

        Costs two reads when nothing is due; where kinds are named, one, and one a kind.

        Where other instances lease at the same moment, it may find fewer rows than are due.
        """
        self._check_writable()
        return await self._leasing.lease(limit, seconds, kinds)

    async def quarantine(self, message: Quarantined) -> bool:
        """The bound may be passed by what is counted at the same moment: 8 messages an instance."""
        self._check_writable()
        return await self._keeping.quarantine(message)

    async def quarantined(self, after: str, limit: int) -> tuple[Quarantined, ...]:
        return await self._keeping.quarantined(after, limit)

    async def quarantined_one(self, id: str) -> Quarantined | None:
        return await self._keeping.quarantined_one(id)

    async def quarantine_size(self) -> int:
        return await self._keeping.quarantine_size()

    async def to_redrive(self, now: str, limit: int) -> tuple[Quarantined, ...]:
        return await self._keeping.to_redrive(now, limit)

    async def put_off_quarantined(self, id: str, *, reason: str, redrives: int, redrive_at: str | None) -> None:
        self._check_writable()
        await self._keeping.put_off_quarantined(id, reason=reason, redrives=redrives, redrive_at=redrive_at)

    async def release_quarantined(self, id: str) -> None:
        self._check_writable()
        await self._keeping.release_quarantined(id)

    async def keep_policy(self, digest: str, text: bytes, time: str) -> None:
        self._check_writable()
        await self._keeping.keep_policy(digest, text, time)

    async def policy(self, digest: str) -> bytes | None:
        return await self._keeping.policy(digest)

    async def newest_policy(self) -> tuple[str, bytes] | None:
        return await self._keeping.newest_policy()

    async def journal_clean(self) -> bool:
        """
        True: Firestore has no journal of ours to clean. A deleted document is gone from it and every index at once.

        What it keeps for reads in the past ages out by itself, and nothing can hasten that: versions of the last hour,
        with point-in-time recovery of the last 7 days, and backups for as long as they are kept.
        """
        return True

    async def probe(self) -> None:
        """A read; a write check would cost a write a time."""
        await self.now()

    async def now(self) -> datetime:
        """Costs one read."""
        return await self._engine.now()

    async def newest_time(self) -> str | None:
        """The newest head of each of 16 shards: one index in order of time would bound all tenants together."""
        shards = await asyncio.gather(
            *(self._engine.query(queries.NEWEST_HEAD, shard, limit=1) for shard in range(documents.SHARDS))
        )
        newest = max((one.content for shard in shards for one in shard), key=_written, default=None)
        return None if newest is None else newest["time"]

    async def aclose(self) -> None:
        """Calls under way end with StoreUnavailable, and so do later ones."""
        await self._engine.aclose()

    def _check_writable(self) -> None:
        if self._read_only:
            raise StoreUnavailable("the database was opened read-only")


def _require_known(begun: Mapping[str, Any], collection: str) -> None:
    if begun["version"] > FORMAT:
        raise LedgerNewerThanCode(
            f"the database has documents of format {begun['version']}; this release knows {FORMAT}: use a newer release"
        )
    if (kept_in := begun.get("receipts", RECEIPTS)) != collection:
        raise StoreUnavailable(
            f"the database keeps its receipts in the collection {kept_in!r}, and FIRESTORE_COLLECTION is {collection!r}"
        )


def _written(head: dict[str, object]) -> tuple[int, int]:
    written = head["written"]
    return written.seconds, written.nanos  # type: ignore[attr-defined]
