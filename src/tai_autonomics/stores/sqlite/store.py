"""
The store's port on SQLite: every verb becomes work for the writer's thread or for one of the readers'.

A ledger in memory has one connection and one thread for both; one opened read-only has no writer.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tai_autonomics.errors import StoreUnavailable
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
from tai_autonomics.stores.sqlite import files, reading
from tai_autonomics.stores.sqlite.checkpoints import Checkpoints
from tai_autonomics.stores.sqlite.readers import Readers
from tai_autonomics.stores.sqlite.writer import Writer

T = TypeVar("T")

READERS_MAX: Final = 4
"""Threads that read beside the writer, each with its own connection."""

BOUNDS: Final = StoreBounds(receipts_per_tenant_max=50, bytes_per_tenant_max=4 * 1024 * 1024, appends_at_once_max=1)


class SQLiteStore:
    """The `Store` of ports.py in one file, or in memory. Made by `open`; `aclose` ends its threads and its lock."""

    def __init__(self, path: Path | None) -> None:
        self._place = "memory" if path is None else str(path)
        self._writing = ThreadPoolExecutor(1, "tai-sqlite-writer")
        self._reading = self._writing if path is None else ThreadPoolExecutor(READERS_MAX, "tai-sqlite-reader")
        self._readers = Readers(partial(files.connect, path, read_only=True, cache_kib=files.READER_CACHE_KIB))
        self._writer: Writer | None = None
        self._checkpoints: Checkpoints | None = None
        self._lock: int | None = None
        self._file: int | None = None
        self._is_closed = False

    @classmethod
    async def open(
        cls,
        path: str | None,
        *,
        read_only: bool = False,
        quarantine_max: int = 10_000,
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> "SQLiteStore":
        """
        Open the file at `path` (None: a ledger in memory that nothing outlives), made and upgraded as needed.

        `read_only` opens beside a running service, takes no lock and changes nothing. `factory` makes the writing
        connection. Raises StoreUnavailable when another process writes the file, or it cannot be used, and
        LedgerNewerThanCode when a later release has upgraded it.
        """
        store = cls(None if path is None else Path(path))
        try:
            if read_only:
                await store._read(partial(files.check_readable, place=store._place))
            else:
                await store._run_in_writer(
                    partial(store._start, None if path is None else Path(path), quarantine_max, factory)
                )
        except BaseException:
            await store.aclose()
            raise
        return store

    def _start(self, path: Path | None, quarantine_max: int, factory: type[sqlite3.Connection]) -> None:
        if path is not None:
            self._lock = files.claim(path)
        self._writer = Writer(
            partial(files.connect, path, factory=factory),
            quarantine_max=quarantine_max,
            wrote=self._wrote,
        )
        self._writer.run(partial(files.migrate, place=self._place))
        if path is not None:
            beside = partial(files.connect, path, cache_kib=files.READER_CACHE_KIB)
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._checkpoints = Checkpoints(beside, self._file, self._writing, self._writer.run)

    def _wrote(self, rows: int, erased: bool) -> None:
        if self._checkpoints is not None:
            self._checkpoints.wrote(rows, erased=erased)

    @property
    def bounds(self) -> StoreBounds:
        return BOUNDS

    @property
    def shared(self) -> bool:
        """One process writes; `open` refuses a second."""
        return False

    async def append(self, appends: Sequence[Append], tell: Callable[[Append, Outcome], None]) -> None:
        check_appends(appends)
        outcomes = await self._write(lambda writer: writer.append(appends))
        for append, outcome in zip(appends, outcomes, strict=True):
            tell(append, outcome)

    def held(self, tenant: str) -> AbstractAsyncContextManager[None]:
        """Nothing to do: no other process writes."""
        return nullcontext()

    async def read(self, tenant: str) -> Ledger | None:
        return await self._read(partial(reading.read, tenant=tenant))

    async def receipts(
        self, tenant: str, after: int, limit: int, *, type: str | None = None, subject: str | None = None
    ) -> tuple[Receipt, ...]:
        if type is None and subject is None:
            return await self._read(partial(reading.receipts, tenant=tenant, after=after, limit=limit))
        return await self._read(
            partial(reading.filtered, tenant=tenant, after=after, limit=limit, type=type, subject=subject)
        )

    async def receipt(self, tenant: str, seq: int) -> Receipt | None:
        return await self._read(partial(reading.receipt, tenant=tenant, seq=seq))

    async def find(self, tenant: str, command_id: str) -> Receipt | None:
        return await self._read(partial(reading.claiming, tenant=tenant, command_id=command_id))

    async def tenants(self, after: str, limit: int) -> tuple[str, ...]:
        return await self._read(partial(reading.tenants, after=after, limit=limit))

    async def heads(self, tenants: Sequence[str]) -> dict[str, Head]:
        return await self._read(partial(reading.heads, tenants=tenants))

    async def action_receipts(self, tenant: str, after: int, limit: int) -> tuple[Receipt, ...]:
        return await self._read(partial(reading.action_receipts, tenant=tenant, after=after, limit=limit))

    async def action_receipts_before(self, tenant: str, before: int, limit: int) -> tuple[Receipt, ...]:
        return await self._read(partial(reading.action_receipts_before, tenant=tenant, before=before, limit=limit))

    async def with_due(self, kind: str, after: str, limit: int) -> tuple[str, ...]:
        return await self._read(partial(reading.with_due, kind=kind, after=after, limit=limit))

    async def parts(self, tenant: str, first: int, last: int) -> tuple[Part, ...]:
        return await self._read(partial(reading.parts, tenant=tenant, first=first, last=last))

    async def bases(self, tenants: Sequence[str]) -> dict[str, Base]:
        return await self._read(partial(reading.bases, tenants=tenants))

    async def cut(self, tenant: str, through: int) -> int:
        return through

    async def rebase(self, tenant: str, base: Base) -> None:
        await self._write(lambda writer: writer.rebase(tenant, base))

    async def drop(self, tenant: str, limit: int) -> int:
        return await self._write(lambda writer: writer.drop(tenant, limit))

    async def dropped(self, tenant: str, seq: int) -> Dropped | None:
        return await self._read(partial(reading.dropped, tenant=tenant, seq=seq))

    async def erased(self) -> tuple[Erased, ...]:
        return await self._read(reading.erased)

    async def lease(
        self, limit: int, seconds: float, now: str | None = None, *, kinds: Sequence[str] | None = None
    ) -> tuple[Leased, ...]:
        """`now` is required: SQLite has no clock of its own."""
        assert now is not None
        # Asked of a reader first: a poll that finds nothing costs the writer nothing.
        if not await self._read(partial(reading.has_ready, now=now, kinds=kinds)):
            return ()
        return await self._write(lambda writer: writer.lease(limit, seconds, now, kinds))

    async def quarantine(self, message: Quarantined) -> bool:
        return await self._write(lambda writer: writer.quarantine(message))

    async def quarantined(self, after: str, limit: int) -> tuple[Quarantined, ...]:
        return await self._read(partial(reading.quarantined, after=after, limit=limit))

    async def quarantined_one(self, id: str) -> Quarantined | None:
        return await self._read(partial(reading.quarantined_one, id=id))

    async def quarantine_size(self) -> int:
        return await self._read(reading.quarantine_size)

    async def to_redrive(self, now: str, limit: int) -> tuple[Quarantined, ...]:
        return await self._read(partial(reading.to_redrive, now=now, limit=limit))

    async def put_off_quarantined(self, id: str, *, reason: str, redrives: int, redrive_at: str | None) -> None:
        await self._write(lambda writer: writer.put_off_quarantined(id, reason, redrives, redrive_at))

    async def release_quarantined(self, id: str) -> None:
        await self._write(lambda writer: writer.release_quarantined(id))

    async def keep_policy(self, digest: str, text: bytes, time: str) -> None:
        await self._write(lambda writer: writer.keep_policy(digest, text, time))

    async def policy(self, digest: str) -> bytes | None:
        return await self._read(partial(reading.policy, digest=digest))

    async def newest_policy(self) -> tuple[str, bytes] | None:
        return await self._read(reading.newest_policy)

    async def journal_clean(self) -> bool:
        checkpoints = self._checkpoints
        return True if checkpoints is None else await self._write(lambda _: checkpoints.truncate())

    async def probe(self) -> None:
        """A read; and a write only when the last one failed, which shows the recovery before a caller needs it."""
        await self._read(reading.newest_time)
        if self._writer is not None and self._writer.failed:
            await self._write(lambda writer: writer.try_write())

    async def now(self) -> datetime | None:
        return None

    async def newest_time(self) -> str | None:
        return await self._read(reading.newest_time)

    async def problems(self) -> tuple[str, ...]:
        """What SQLite's full check of the file finds; empty when it is sound. Reads the whole file."""
        return await self._read(reading.problems)

    async def aclose(self) -> None:
        """Ends when what was begun has ended; whoever comes later gets StoreUnavailable."""
        self._is_closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close()
        self._reading.shutdown()
        self._readers.close()
        self._writing.shutdown()
        if self._writer is not None:
            # The last connection: closing it moves the journal into the file.
            self._writer.close()
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._lock = None

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        writer = self._writer
        run = writer.run if writer is not None and self._reading is self._writing else self._readers.run
        return await self._in(self._reading, partial(run, work))

    async def _write(self, work: Callable[[Writer], T]) -> T:
        writer = self._writer
        if writer is None:
            raise StoreUnavailable(f"{self._place} was opened read-only")
        return await self._run_in_writer(partial(work, writer))

    async def _run_in_writer(self, work: Callable[[], T]) -> T:
        return await self._in(self._writing, work)

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._is_closed:
            raise StoreUnavailable(f"the store in {self._place} is closed")
        return await asyncio.get_running_loop().run_in_executor(threads, work)
