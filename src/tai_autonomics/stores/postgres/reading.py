"""What a transaction can be asked: every function is one read, or as few as it takes, on the connection given."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from psycopg import AsyncCursor
from psycopg.errors import ReadOnlySqlTransaction

from tai_autonomics.ledger.records import (
    Base,
    Dropped,
    Due,
    Erased,
    Head,
    Leased,
    Ledger,
    Part,
    Quarantined,
    Receipt,
    Snapshot,
    tail_follows,
)
from tai_autonomics.stores.postgres import statements as sql
from tai_autonomics.stores.postgres.connections import Connection


async def ask(connection: Connection, statement: str, parameters: Any = ()) -> AsyncCursor[Any]:
    """The statement on its way; in a pipeline its answer comes with the first fetch."""
    return await connection.execute(statement.encode(), parameters, binary=True)


async def read(connection: Connection, tenant: str) -> Ledger | None:
    # Each statement sees what is newest; receipts never change, so what came in between is the end of the tail, and
    # where some were dropped in between, the base is there by now.
    row = await (await ask(connection, sql.SELECT_SNAPSHOT, (tenant,))).fetchone()
    snapshot = None if row is None else Snapshot(*row)
    found = await receipts(connection, tenant, snapshot.seq if snapshot else 0, None)
    if not tail_follows(snapshot, found) and (base := (await bases(connection, [tenant])).get(tenant)) is not None:
        snapshot, found = base.snapshot, await receipts(connection, tenant, base.seq, None)
    return Ledger(snapshot, found) if snapshot or found else None


async def receipts(connection: Connection, tenant: str, after: int, limit: int | None) -> tuple[Receipt, ...]:
    """`limit` None: the whole tail, which snapshots keep short."""
    return await receipts_of(await ask(connection, sql.SELECT_RECEIPTS, (tenant, after, limit)))


async def receipts_of(cursor: AsyncCursor[Any]) -> tuple[Receipt, ...]:
    return tuple(Receipt(*row) for row in await cursor.fetchall())


async def filtered(
    connection: Connection, tenant: str, after: int, limit: int, type: str | None, subject: str | None
) -> tuple[Receipt, ...]:
    kind, separator, bare_id = (subject or "").partition("/")
    asked = {
        "tenant": tenant,
        "after": after,
        "limit": limit,
        "type": type,
        "subject_kind": kind if separator else None,
        "subject_id": bare_id if separator else subject,
    }
    return await receipts_of(await ask(connection, sql.SELECT_RECEIPTS_FILTERED, asked))


async def action_receipts(connection: Connection, tenant: str, after: int, limit: int) -> tuple[Receipt, ...]:
    return await receipts_of(await ask(connection, sql.SELECT_ACTION_RECEIPTS, (tenant, after, limit)))


async def action_receipts_before(connection: Connection, tenant: str, before: int, limit: int) -> tuple[Receipt, ...]:
    return await receipts_of(await ask(connection, sql.SELECT_ACTION_RECEIPTS_BEFORE, (tenant, before, limit)))


async def receipt(connection: Connection, tenant: str, seq: int) -> Receipt | None:
    row = await (await ask(connection, sql.SELECT_RECEIPT, (tenant, seq))).fetchone()
    return None if row is None else Receipt(*row)


async def claiming(connection: Connection, tenant: str, command_id: str) -> Receipt | None:
    row = await (await ask(connection, sql.SELECT_CLAIMING, (tenant, command_id))).fetchone()
    return None if row is None else Receipt(*row)


async def heads(connection: Connection, tenants: Iterable[str]) -> dict[str, Head]:
    return await heads_of(await ask(connection, sql.SELECT_HEADS, (list(tenants),)))


async def heads_of(cursor: AsyncCursor[Any]) -> dict[str, Head]:
    return {tenant: Head(*head) for tenant, *head in await cursor.fetchall()}


async def tenants(connection: Connection, after: str, limit: int) -> tuple[str, ...]:
    rows = await (await ask(connection, sql.SELECT_TENANTS, (after, limit))).fetchall()
    return tuple(tenant for (tenant,) in rows)


async def with_due(connection: Connection, kind: str, after: str, limit: int) -> tuple[str, ...]:
    rows = await (await ask(connection, sql.SELECT_WITH_DUE, (kind, after, limit))).fetchall()
    return tuple(tenant for (tenant,) in rows)


async def bases(connection: Connection, tenants: Iterable[str]) -> dict[str, Base]:
    rows = await (await ask(connection, sql.SELECT_BASES, (list(tenants),))).fetchall()
    return {tenant: Base(Snapshot(*snapshot), archive) for tenant, *snapshot, archive in rows}


async def dropped(connection: Connection, tenant: str, seq: int) -> Dropped | None:
    rows = await (await ask(connection, sql.SELECT_DROPPED, (tenant, seq))).fetchall()
    return Dropped(rows[0][0], tuple(name for _, name in rows)) if rows else None


async def parts(connection: Connection, tenant: str, first: int, last: int) -> tuple[Part, ...]:
    rows = await (await ask(connection, sql.SELECT_PARTS, (tenant, first, last))).fetchall()
    return tuple(Part(*row) for row in rows)


async def erased(connection: Connection) -> tuple[Erased, ...]:
    rows = await (await ask(connection, sql.SELECT_ERASED_PARTS)).fetchall()
    return tuple(Erased(*row) for row in rows)


async def lease(connection: Connection, limit: int, seconds: float, kinds: Sequence[str] | None) -> tuple[Leased, ...]:
    """Writes too, in the statement that finds the rows."""
    asked = {"limit": limit, "seconds": float(seconds), "kinds": None if kinds is None else list(kinds)}
    rows = await (await ask(connection, sql.LEASE_DUE, asked)).fetchall()
    return tuple(
        Leased(tenant, Due(subject, kind, due, payload), until, attempts)
        for _, tenant, subject, kind, due, payload, until, attempts in sorted(rows)
    )


async def quarantined(connection: Connection, after: str, limit: int) -> tuple[Quarantined, ...]:
    return _quarantined(await (await ask(connection, sql.SELECT_QUARANTINED, (after, limit))).fetchall())


async def quarantined_one(connection: Connection, id: str) -> Quarantined | None:
    found = _quarantined(await (await ask(connection, sql.SELECT_QUARANTINED_ONE, (id,))).fetchall())
    return found[0] if found else None


async def quarantine_size(connection: Connection) -> int:
    row = await (await ask(connection, sql.COUNT_QUARANTINED, ())).fetchone()
    assert row is not None
    return int(row[0])


async def to_redrive(connection: Connection, now: str, limit: int) -> tuple[Quarantined, ...]:
    return _quarantined(await (await ask(connection, sql.SELECT_TO_REDRIVE, (now, limit))).fetchall())


def _quarantined(rows: Sequence[Sequence[Any]]) -> tuple[Quarantined, ...]:
    found = (dict(zip(Quarantined.__struct_fields__, row, strict=True)) for row in rows)
    return tuple(
        Quarantined(**{**held, "tenants": None if held["tenants"] is None else tuple(held["tenants"])})
        for held in found
    )


async def policy(connection: Connection, digest: str) -> bytes | None:
    text: bytes | None = await only(connection, sql.SELECT_POLICY, (digest,))
    return text


async def newest_policy(connection: Connection) -> tuple[str, bytes] | None:
    row: tuple[str, bytes] | None = await (await ask(connection, sql.SELECT_NEWEST_POLICY)).fetchone()
    return row


async def newest_time(connection: Connection) -> str | None:
    time: str | None = await only(connection, sql.SELECT_NEWEST_TIME)
    return time


async def clock(connection: Connection) -> datetime:
    now: datetime = await only(connection, sql.SELECT_CLOCK)
    return now.astimezone(UTC)


class Durability(Struct, frozen=True):
    """What an acknowledged receipt survives, as far as the server lets us see."""

    flushes: bool
    """Commits are on the server's disk: a crash of its machine takes none away."""
    names_standbys: bool
    """A commit waits for a synchronous standby."""
    standbys: int
    """Those that can be seen now."""


async def durability(connection: Connection) -> Durability:
    row = await (await ask(connection, sql.SELECT_DURABILITY)).fetchone()
    assert row is not None, "settings are always answered"
    return Durability(*row)


async def require_writable(connection: Connection) -> None:
    """Raises ReadOnlySqlTransaction."""
    if not await only(connection, sql.SELECT_WRITABLE):
        raise ReadOnlySqlTransaction("this server takes no writes")


async def only(connection: Connection, statement: str, parameters: Any = ()) -> Any:
    """The first column of the first row, or None."""
    row = await (await ask(connection, statement, parameters)).fetchone()
    return None if row is None else row[0]
