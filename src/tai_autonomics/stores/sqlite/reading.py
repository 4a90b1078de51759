"""What a connection can be asked: every function is one read, in the calling thread."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from tai_autonomics.ledger.records import (
    Base,
    Dropped,
    Erased,
    Head,
    Ledger,
    Part,
    Quarantined,
    Receipt,
    Snapshot,
    tail_follows,
)
from tai_autonomics.stores.sqlite import statements as sql

Connection: TypeAlias = sqlite3.Connection

UNBOUNDED: Final = -1
"""SQLite's LIMIT without a limit: a cold lane reads its whole tail, which snapshots keep short."""


def read(connection: Connection, tenant: str) -> Ledger | None:
    # No transaction is needed: receipts never change, so what is appended in between is the end of the tail, and where
    # some were dropped in between, the base is there by now.
    row = connection.execute(sql.SELECT_SNAPSHOT, (tenant,)).fetchone()
    snapshot = None if row is None else Snapshot(*row)
    found = receipts(connection, tenant, snapshot.seq if snapshot else 0, UNBOUNDED)
    if not tail_follows(snapshot, found) and (base := bases(connection, [tenant]).get(tenant)) is not None:
        snapshot, found = base.snapshot, receipts(connection, tenant, base.seq, UNBOUNDED)
    return Ledger(snapshot, found) if snapshot or found else None


def receipts(connection: Connection, tenant: str, after: int, limit: int) -> tuple[Receipt, ...]:
    return tuple(map(_receipt, connection.execute(sql.SELECT_RECEIPTS, (tenant, after, limit)).fetchall()))


def filtered(
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
    return tuple(map(_receipt, connection.execute(sql.SELECT_RECEIPTS_FILTERED, asked).fetchall()))


def action_receipts(connection: Connection, tenant: str, after: int, limit: int) -> tuple[Receipt, ...]:
    return tuple(map(_receipt, connection.execute(sql.SELECT_ACTION_RECEIPTS, (tenant, after, limit)).fetchall()))


def action_receipts_before(connection: Connection, tenant: str, before: int, limit: int) -> tuple[Receipt, ...]:
    rows = connection.execute(sql.SELECT_ACTION_RECEIPTS_BEFORE, (tenant, before, limit)).fetchall()
    return tuple(map(_receipt, rows))


def receipt(connection: Connection, tenant: str, seq: int) -> Receipt | None:
    row = connection.execute(sql.SELECT_RECEIPT, (tenant, seq)).fetchone()
    return None if row is None else _receipt(row)


def claiming(connection: Connection, tenant: str, command_id: str) -> Receipt | None:
    row = connection.execute(sql.SELECT_CLAIMING, (tenant, command_id)).fetchone()
    return None if row is None else _receipt(row)


def held(connection: Connection, asked: Iterable[tuple[str, str]]) -> dict[str, dict[str, Receipt]]:
    """Of the (tenant, command id) asked for, those that a receipt claims: tenant to command id to that receipt."""
    found: dict[str, dict[str, Receipt]] = {}
    for row in connection.execute(sql.SELECT_HELD, (_json(asked),)).fetchall():
        first = _receipt(row)
        found.setdefault(first.tenant, {})[first.command_id] = first
    return found


def heads(connection: Connection, tenants: Sequence[str]) -> dict[str, Head]:
    rows = connection.execute(sql.SELECT_HEADS, (_json(tenants),)).fetchall()
    found = {tenant: Head(*head) for tenant, *head in rows}
    if len(found) < len(tenants):
        # Those that nothing was appended to after their base.
        rest = bases(connection, [tenant for tenant in tenants if tenant not in found])
        found.update((tenant, base.head) for tenant, base in rest.items())
    return found


def tenants(connection: Connection, after: str, limit: int) -> tuple[str, ...]:
    asked = {"after": after, "limit": limit}
    rows = connection.execute(sql.SELECT_TENANTS, asked).fetchall()
    based = connection.execute(sql.SELECT_BASED_TENANTS, asked).fetchall()
    return tuple(tenant for (tenant,) in sorted({*rows, *based})[:limit])


def bases(connection: Connection, tenants: Iterable[str]) -> dict[str, Base]:
    rows = connection.execute(sql.SELECT_BASES, (_json(tenants),)).fetchall()
    return {tenant: Base(Snapshot(*snapshot), archive) for tenant, *snapshot, archive in rows}


def dropped(connection: Connection, tenant: str, seq: int) -> Dropped | None:
    rows = connection.execute(sql.SELECT_DROPPED, (tenant, seq)).fetchall()
    return Dropped(rows[0][0], tuple(name for _, name in rows)) if rows else None


def with_due(connection: Connection, kind: str, after: str, limit: int) -> tuple[str, ...]:
    rows = connection.execute(sql.SELECT_WITH_DUE, (kind, after, limit)).fetchall()
    return tuple(tenant for (tenant,) in rows)


def parts(connection: Connection, tenant: str, first: int, last: int) -> tuple[Part, ...]:
    return tuple(Part(*row) for row in connection.execute(sql.SELECT_PARTS, (tenant, first, last)).fetchall())


def erased(connection: Connection) -> tuple[Erased, ...]:
    return tuple(Erased(*row) for row in connection.execute(sql.SELECT_ERASED).fetchall())


def has_ready(connection: Connection, now: str, kinds: Sequence[str] | None) -> bool:
    if kinds is None:
        return bool(_only(connection, sql.EXISTS_READY, (now,)))
    return bool(_only(connection, sql.EXISTS_READY_OF, (now, _json(kinds))))


def ready(connection: Connection, now: str, kinds: Sequence[str] | None, limit: int) -> list[Any]:
    """Due rows as the writer leases them: (id, tenant, subject, kind, due, payload, attempts)."""
    if kinds is None:
        return connection.execute(sql.SELECT_READY, (now, limit)).fetchall()
    return connection.execute(sql.SELECT_READY_OF, (now, _json(kinds), limit)).fetchall()


def quarantined(connection: Connection, after: str, limit: int) -> tuple[Quarantined, ...]:
    return tuple(map(_quarantined, connection.execute(sql.SELECT_QUARANTINED, (after, limit)).fetchall()))


def quarantined_one(connection: Connection, id: str) -> Quarantined | None:
    row = connection.execute(sql.SELECT_QUARANTINED_ONE, (id,)).fetchone()
    return None if row is None else _quarantined(row)


def quarantine_size(connection: Connection) -> int:
    count: int = connection.execute(sql.COUNT_QUARANTINED).fetchone()[0]
    return count


def to_redrive(connection: Connection, now: str, limit: int) -> tuple[Quarantined, ...]:
    return tuple(map(_quarantined, connection.execute(sql.SELECT_TO_REDRIVE, (now, limit)).fetchall()))


def policy(connection: Connection, digest: str) -> bytes | None:
    text: bytes | None = _only(connection, sql.SELECT_POLICY, (digest,))
    return text


def newest_policy(connection: Connection) -> tuple[str, bytes] | None:
    row: tuple[str, bytes] | None = connection.execute(sql.SELECT_NEWEST_POLICY).fetchone()
    return row


def newest_time(connection: Connection) -> str | None:
    time: str | None = _only(connection, sql.SELECT_NEWEST_TIME, ())
    return time


def problems(connection: Connection) -> tuple[str, ...]:
    """What SQLite's own full check of the file finds; empty when it is sound. Reads the whole file."""
    rows = connection.execute("PRAGMA integrity_check").fetchall()
    return tuple(text for (text,) in rows if text != "ok")


def _receipt(row: tuple[Any, ...]) -> Receipt:
    tenant, ledger, seq, digest, time, kind, subject_kind, subject_id, command_id, claims, body = row
    # SQLite has no booleans.
    return Receipt(tenant, ledger, seq, digest, time, kind, subject_kind, subject_id, command_id, claims == 1, body)


def _quarantined(row: tuple[Any, ...]) -> Quarantined:
    held = dict(zip(Quarantined.__struct_fields__, row, strict=True))
    held["tenants"] = None if held["tenants"] is None else tuple(msgspec.json.decode(held["tenants"]))
    return Quarantined(**held)


def _only(connection: Connection, statement: str, parameters: Sequence[Any]) -> Any:
    row = connection.execute(statement, parameters).fetchone()
    return None if row is None else row[0]


def _json(values: Iterable[object]) -> str:
    return msgspec.json.encode(list(values)).decode()
