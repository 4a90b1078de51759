"""The store's port on PostgreSQL: every verb is one transaction, on a connection of the pool or of a tenant's hold."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime
from typing import Final, TypeVar

import msgspec

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
from tai_autonomics.stores.postgres import appending, erasing, migrating, reading
from tai_autonomics.stores.postgres import statements as sql
from tai_autonomics.stores.postgres.connections import Connection, Connections, transaction, working
from tai_autonomics.stores.postgres.holding import Hold, Holds

T = TypeVar("T")

APPENDS_AT_ONCE_MAX: Final = 4
"""
Measured on two cores with a fast disk, receipts a second with 1, 2, 4 and 8 at once: one receipt an append 660, 1,120,
1,350, 1,420; a hundred 27,000, 43,000, 50,000, 56,000. A slower disk or network gains more from the first four.
"""
BYTES_PER_TENANT_MAX: Final = 4 * 1024 * 1024
MIGRATE_SECONDS_MAX: Final = 600.0


class PostgresStore:
    """The `Store` of ports.py. Made by `open`; `aclose` ends its connections."""

    def __init__(self, connections: Connections, *, connections_max: int, quarantine_max: int, read_only: bool) -> None:
        self._connections = connections
        self._holds = Holds(connections, connections_max=connections_max)
        self._bounds = StoreBounds(
            receipts_per_tenant_max=50,
            bytes_per_tenant_max=BYTES_PER_TENANT_MAX,
            appends_at_once_max=max(1, min(APPENDS_AT_ONCE_MAX, connections_max // 2)),
        )
        self._quarantine_max = quarantine_max
        self._read_only = read_only
        self._failed = False
        self._unconfirmed: set[str] = set()
        """Tenants whose append may be committed on this server and nowhere else."""
        self._confirming: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, url: str, *, read_only: bool = False, connections_max: int = 10, quarantine_max: int = 10_000
    ) -> "PostgresStore":
        """
        Connect to the database that the libpq URL names; its schema is made and upgraded as needed.

        `read_only` changes nothing and refuses to write. Raises StoreUnavailable when the server cannot be used, and
        LedgerNewerThanCode when a later release has upgraded the schema. No message quotes the URL.
        """
        connections = Connections(url, connections_max=connections_max)
        try:
            await connections.open()
            async with connections.use(MIGRATE_SECONDS_MAX) as connection:
                await (migrating.check_readable if read_only else migrating.migrate)(connection)
        except BaseException:
            await connections.close()
            raise
        return cls(connections, connections_max=connections_max, quarantine_max=quarantine_max, read_only=read_only)

    @property
    def bounds(self) -> StoreBounds:
        return self._bounds

    @property
    def shared(self) -> bool:
        """Every instance may write every ledger."""
        return True

    async def append(self, appends: Sequence[Append], tell: Callable[[Append, Outcome], None]) -> None:
        check_appends(appends)
        self._require_writing()
        holds = [(append, hold) for append in appends if (hold := self._holds.of(append.tenant)) is not None]
        held = {append.tenant for append, _ in holds}
        rest = [append for append in appends if append.tenant not in held]
        # Every one of them to its end: what one cannot say of its tenants takes nothing from what the others tell.
        ended = await asyncio.gather(
            *(self._append_held(hold, append, tell) for append, hold in holds),
            *([self._append(rest, tell)] if rest else []),
            return_exceptions=True,
        )
        for end in ended:
            if end is not None:
                raise end

    async def _append(self, appends: Sequence[Append], tell: Callable[[Append, Outcome], None]) -> None:
        async with self._writing() as connection:
            with self._noting_unconfirmed(connection, appends):
                await appending.append(connection, appends, tell)

    async def _append_held(self, hold: Hold, append: Append, tell: Callable[[Append, Outcome], None]) -> None:
        async with hold.turn:
            if not hold.is_over:
                async with self._on(hold):
                    with self._noting_unconfirmed(hold.connection, [append]):
                        await appending.append(hold.connection, [append], tell, locked=True)
                return
        await self._append([append], tell)

    @contextmanager
    def _noting_unconfirmed(self, connection: Connection, appends: Sequence[Append]) -> Iterator[None]:
        warned = connection.warnings
        try:
            yield
        except BaseException:
            # Cut or lost, it may have been told to commit; and asked to cancel, it commits without the standby.
            if connection.warnings != warned or connection.is_cut or connection.closed:
                self._unconfirmed.update(append.tenant for append in appends)
            raise

    async def _confirm(self) -> None:
        """One commit that the standby confirms: it has then all that came before. Raises StoreUnavailable."""
        if self._confirming is None or self._confirming.done():
            self._confirming = asyncio.create_task(self._confirm_all(frozenset(self._unconfirmed)))
        await asyncio.shield(self._confirming)

    async def _confirm_all(self, tenants: frozenset[str]) -> None:
        await self._write(lambda connection: reading.ask(connection, sql.WRITE_NOTHING))
        self._unconfirmed -= tenants

    def held(self, tenant: str) -> AbstractAsyncContextManager[None]:
        return self._holds.held(tenant)

    async def read(self, tenant: str) -> Ledger | None:
        return await self._read_of(tenant, lambda connection: reading.read(connection, tenant))

    async def receipts(
        self, tenant: str, after: int, limit: int, *, type: str | None = None, subject: str | None = None
    ) -> tuple[Receipt, ...]:
        if type is None and subject is None:
            return await self._read_of(tenant, lambda connection: reading.receipts(connection, tenant, after, limit))
        return await self._read_of(
            tenant, lambda connection: reading.filtered(connection, tenant, after, limit, type, subject)
        )

    async def receipt(self, tenant: str, seq: int) -> Receipt | None:
        return await self._read_of(tenant, lambda connection: reading.receipt(connection, tenant, seq))

    async def find(self, tenant: str, command_id: str) -> Receipt | None:
        return await self._read_of(tenant, lambda connection: reading.claiming(connection, tenant, command_id))

    async def tenants(self, after: str, limit: int) -> tuple[str, ...]:
        return await self._read(lambda connection: reading.tenants(connection, after, limit))

    async def heads(self, tenants: Sequence[str]) -> dict[str, Head]:
        return await self._read(lambda connection: reading.heads(connection, tenants))

    async def action_receipts(self, tenant: str, after: int, limit: int) -> tuple[Receipt, ...]:
        return await self._read_of(tenant, lambda connection: reading.action_receipts(connection, tenant, after, limit))

    async def action_receipts_before(self, tenant: str, before: int, limit: int) -> tuple[Receipt, ...]:
        return await self._read_of(
            tenant, lambda connection: reading.action_receipts_before(connection, tenant, before, limit)
        )

    async def with_due(self, kind: str, after: str, limit: int) -> tuple[str, ...]:
        return await self._read(lambda connection: reading.with_due(connection, kind, after, limit))

    async def parts(self, tenant: str, first: int, last: int) -> tuple[Part, ...]:
        return await self._read_of(tenant, lambda connection: reading.parts(connection, tenant, first, last))

    async def bases(self, tenants: Sequence[str]) -> dict[str, Base]:
        return await self._read(lambda connection: reading.bases(connection, tenants))

    async def cut(self, tenant: str, through: int) -> int:
        return through

    async def rebase(self, tenant: str, base: Base) -> None:
        await self._write(lambda connection: self._rebase(connection, tenant, base))

    async def _rebase(self, connection: Connection, tenant: str, base: Base) -> None:
        head = base.head
        await reading.ask(connection, sql.REBASE, (tenant, *msgspec.structs.astuple(base.snapshot), base.archive))
        await reading.ask(connection, sql.MAKE_HEADS, ([tenant],))
        await reading.ask(connection, sql.BEGIN_HEAD, (head.seq, head.ledger, head.hash, head.time, tenant))

    async def drop(self, tenant: str, limit: int) -> int:
        asked = {"tenant": tenant, "limit": limit}
        return int(await self._write(lambda connection: reading.only(connection, sql.DROP_RECEIPTS, asked)))

    async def dropped(self, tenant: str, seq: int) -> Dropped | None:
        return await self._read(lambda connection: reading.dropped(connection, tenant, seq))

    async def erased(self) -> tuple[Erased, ...]:
        return await self._read(reading.erased)

    async def lease(
        self, limit: int, seconds: float, now: str | None = None, *, kinds: Sequence[str] | None = None
    ) -> tuple[Leased, ...]:
        """By the server's clock; `now` is another's, and does not count."""
        return await self._write(lambda connection: reading.lease(connection, limit, seconds, kinds))

    async def quarantine(self, message: Quarantined) -> bool:
        return await self._write(lambda connection: self._quarantine(connection, message))

    async def _quarantine(self, connection: Connection, message: Quarantined) -> bool:
        tenants = None if message.tenants is None else list(message.tenants)
        row = {**msgspec.structs.asdict(message), "tenants": tenants, "quarantine_max": self._quarantine_max}
        await reading.ask(connection, sql.LOCK_QUARANTINE)
        await reading.ask(connection, sql.INSERT_QUARANTINED, row)
        return bool(await reading.only(connection, sql.EXISTS_QUARANTINED, (message.id,)))

    async def quarantined(self, after: str, limit: int) -> tuple[Quarantined, ...]:
        return await self._read(lambda connection: reading.quarantined(connection, after, limit))

    async def quarantined_one(self, id: str) -> Quarantined | None:
        return await self._read(lambda connection: reading.quarantined_one(connection, id))

    async def quarantine_size(self) -> int:
        return await self._read(reading.quarantine_size)

    async def to_redrive(self, now: str, limit: int) -> tuple[Quarantined, ...]:
        return await self._read(lambda connection: reading.to_redrive(connection, now, limit))

    async def put_off_quarantined(self, id: str, *, reason: str, redrives: int, redrive_at: str | None) -> None:
        row = {"id": id, "reason": reason, "redrives": redrives, "redrive_at": redrive_at}
        await self._write(lambda connection: reading.ask(connection, sql.PUT_OFF_QUARANTINED, row))

    async def release_quarantined(self, id: str) -> None:
        await self._write(lambda connection: self._release_quarantined(connection, id))

    async def _release_quarantined(self, connection: Connection, id: str) -> None:
        # A quarantined payload may be personal: it leaves as an erased part does.
        await reading.ask(connection, sql.DELETE_QUARANTINED, (id,))
        await reading.ask(connection, sql.NOTE_ERASURE)

    async def keep_policy(self, digest: str, text: bytes, time: str) -> None:
        await self._write(lambda connection: reading.ask(connection, sql.KEEP_POLICY, (digest, text, time)))

    async def policy(self, digest: str) -> bytes | None:
        return await self._read(lambda connection: reading.policy(connection, digest))

    async def newest_policy(self) -> tuple[str, bytes] | None:
        return await self._read(reading.newest_policy)

    async def journal_clean(self) -> bool:
        """
        Whether neither a table's old row versions nor a recovery after a crash would bring back what was erased.

        A VACUUM is tried; a checkpoint is waited for. Archived journal, backups and standbys keep what they were given.
        """
        self._require_writing()
        async with self._connections.use() as connection:
            return await erasing.is_gone(connection)

    async def probe(self) -> None:
        """A read of what can be written; and a write only when the last one failed."""
        await self._read(lambda connection: reading.ask(connection, sql.SELECT_READABLE))
        await self._read(reading.require_writable)
        if self._failed:
            await self._write(lambda connection: reading.ask(connection, sql.WRITE_NOTHING))

    async def now(self) -> datetime | None:
        return await self._read(reading.clock)

    async def newest_time(self) -> str | None:
        return await self._read(reading.newest_time)

    async def durability(self) -> reading.Durability:
        """What an acknowledged receipt survives."""
        return await self._read(reading.durability)

    async def aclose(self) -> None:
        """Whoever comes later gets StoreUnavailable."""
        await self._connections.close()

    async def _read_of(self, tenant: str, work: Callable[[Connection], Awaitable[T]]) -> T:
        # What is read answers a command: what a failover may take away must not.
        while tenant in self._unconfirmed:
            await self._confirm()
        hold = self._holds.of(tenant)
        if hold is not None:
            async with hold.turn:
                if not hold.is_over:
                    async with self._on(hold):
                        return await work(hold.connection)
        return await self._read(work)

    async def _read(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._connections.use() as connection, transaction(connection):
            return await work(connection)

    async def _write(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        self._require_writing()
        async with self._writing() as connection, transaction(connection):
            return await work(connection)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        try:
            async with self._connections.use() as connection:
                yield connection
        except StoreUnavailable:
            self._failed = True
            raise
        self._failed = False

    @asynccontextmanager
    async def _on(self, hold: Hold) -> AsyncIterator[None]:
        """A hold in which anything failed, or whose append was committed, is over."""
        try:
            with working(hold.connection):
                yield
        except BaseException:
            hold.is_over = True
            raise
        hold.is_over = not hold.connection.is_in_transaction

    def _require_writing(self) -> None:
        if self._read_only:
            raise StoreUnavailable("the store was opened read-only")
