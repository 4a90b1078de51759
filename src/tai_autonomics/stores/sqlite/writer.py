"""
The one connection that writes. Every method runs in the writer's thread, so there is nothing to lock and no conflict.

An append goes the hopeful way first: heads from memory, every row inserted, and the unique index on claimed command
ids says whether one was held already. Only then are ids looked up. Receipts that do not claim their id are no entry of
that index, so theirs are looked up always.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, TypeVar

import msgspec

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import (
    GENESIS,
    Append,
    Appended,
    Base,
    Conflict,
    Due,
    Duplicates,
    Head,
    Leased,
    Outcome,
    Quarantined,
    Receipt,
)
from tai_autonomics.stores.sqlite import reading
from tai_autonomics.stores.sqlite import statements as sql

T = TypeVar("T")

MISSED_MAX: Final = 500
"""Receipts in one Conflict."""

HEADS_MAX: Final = 100_000
"""Heads kept in memory, about 300 bytes each; a tenant that was not written for long is read again."""

LEASE_SECONDS_MAX: Final = 300.0
"""Where the doubling of a row's lease ends."""

APPENDED: Final = Appended()
NO_HEAD: Final = (0, GENESIS)


class Writer:
    """Holds the writing connection, and opens another one when it breaks. `wrote` is told the rows of each append."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], *, quarantine_max: int, wrote: Callable[[int, bool], None]
    ) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._heads: dict[str, tuple[int, str]] = {}
        self._quarantine_max = quarantine_max
        self._wrote = wrote
        self.failed = False
        """Whether the last write failed, so that a probe tries one."""

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """
        Do the work on the connection. After a failure nothing of it is left under way and the next work can succeed.

        Raises StoreUnavailable; a failed commit may have been stored or not.
        """
        try:
            if self._connection is None:
                self._connection = self._connect()
            return work(self._connection)
        except sqlite3.IntegrityError as error:
            self._repair()
            raise AssertionError(f"no ledger can hold this: {error}") from error
        except sqlite3.Error as error:
            self._repair()
            raise StoreUnavailable(f"SQLite: {error}") from error

    def _repair(self) -> None:
        # What a failed commit left is unknown until it is read again.
        self._heads.clear()
        self.failed = True
        try:
            _roll_back(self._connection)
        except sqlite3.Error:
            self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def append(self, appends: Sequence[Append]) -> list[Outcome]:
        return self.run(lambda connection: self._append(connection, appends))

    def _append(self, connection: sqlite3.Connection, appends: Sequence[Append]) -> list[Outcome]:
        self._learn_heads(connection, appends)
        doubtful = [a for a in appends if not self._stands(a) or not all(r.claims for r in a.receipts)]
        try:
            return self._attempt(connection, appends, doubtful)
        except sqlite3.IntegrityError:
            _roll_back(connection)
            return self._attempt(connection, appends, appends)

    def _attempt(
        self, connection: sqlite3.Connection, appends: Sequence[Append], doubtful: Sequence[Append]
    ) -> list[Outcome]:
        held = _held(connection, doubtful)
        refused = {
            a.tenant: _refusal(connection, a, held.get(a.tenant))
            for a in appends
            if a.tenant in held or not self._stands(a)
        }
        clean = [a for a in appends if a.tenant not in refused]
        self._transact(connection, sql.statements_of(clean))
        self._remember(clean)
        self._wrote(sum(len(a.receipts) for a in clean), any(a.erasures for a in clean))
        return [refused.get(a.tenant, APPENDED) for a in appends]

    def _transact(self, connection: sqlite3.Connection, statements: Sequence[sql.Statement]) -> None:
        """All of the statements or none, durable on return. A single one is a transaction by itself."""
        if len(statements) > 1:
            connection.execute("BEGIN IMMEDIATE")
        for statement, parameters in statements:
            connection.execute(statement, parameters)
        if len(statements) > 1:
            connection.execute("COMMIT")
        if statements:
            self.failed = False

    def _learn_heads(self, connection: sqlite3.Connection, appends: Sequence[Append]) -> None:
        unknown = [a.tenant for a in appends if a.tenant not in self._heads]
        if unknown:
            read = reading.heads(connection, unknown)
            for tenant in unknown:
                self._heads[tenant] = (read[tenant].seq, read[tenant].hash) if tenant in read else NO_HEAD

    def _stands(self, append: Append) -> bool:
        return self._heads[append.tenant] == (append.expected_seq, append.expected_hash)

    def _remember(self, appends: Iterable[Append]) -> None:
        for append in appends:
            if append.receipts:
                # Out and in again, so that the order of the dict is the order of the last write.
                del self._heads[append.tenant]
                newest = append.receipts[-1]
                self._heads[append.tenant] = (newest.seq, newest.hash)
        while len(self._heads) > HEADS_MAX:
            del self._heads[next(iter(self._heads))]

    def rebase(self, tenant: str, base: Base) -> None:
        row = (tenant, *msgspec.structs.astuple(base.snapshot), base.archive)
        self.run(lambda connection: self._transact(connection, [(sql.REBASE, row)]))
        # It may be the head of a ledger that was none.
        self._heads.pop(tenant, None)

    def drop(self, tenant: str, limit: int) -> int:
        return self.run(lambda connection: self._drop(connection, tenant, limit))

    def _drop(self, connection: sqlite3.Connection, tenant: str, limit: int) -> int:
        count, last = connection.execute(sql.SELECT_DROPPABLE, (tenant, limit)).fetchone()
        if count:
            self._transact(connection, [(sql.NOTE_DROPPED, (tenant, last)), (sql.DROP_RECEIPTS, (tenant, last))])
            self._wrote(count, False)
        return int(count)

    def lease(self, limit: int, seconds: float, now: str, kinds: Sequence[str] | None) -> tuple[Leased, ...]:
        return self.run(lambda connection: self._lease(connection, limit, seconds, now, kinds))

    def _lease(
        self, connection: sqlite3.Connection, limit: int, seconds: float, now: str, kinds: Sequence[str] | None
    ) -> tuple[Leased, ...]:
        leased = {
            row_id: Leased(tenant, Due(subject, kind, due, payload), _until(now, seconds, attempts), attempts + 1)
            for row_id, tenant, subject, kind, due, payload, attempts in reading.ready(connection, now, kinds, limit)
        }
        if leased:
            ends = msgspec.json.encode([(row_id, row.until) for row_id, row in leased.items()]).decode()
            self._transact(connection, [(sql.LEASE_DUE, (ends,))])
        return tuple(leased.values())

    def quarantine(self, message: Quarantined) -> bool:
        return self.run(lambda connection: self._quarantine(connection, message))

    def _quarantine(self, connection: sqlite3.Connection, message: Quarantined) -> bool:
        (is_held,) = connection.execute(sql.EXISTS_QUARANTINED, (message.id,)).fetchone()
        if is_held:
            return True
        tenants = None if message.tenants is None else msgspec.json.encode(message.tenants).decode()
        row = {**msgspec.structs.asdict(message), "tenants": tenants, "quarantine_max": self._quarantine_max}
        is_kept = connection.execute(sql.INSERT_QUARANTINED, row).rowcount == 1
        self.failed = False
        return is_kept

    def put_off_quarantined(self, id: str, reason: str, redrives: int, redrive_at: str | None) -> None:
        row = {"id": id, "reason": reason, "redrives": redrives, "redrive_at": redrive_at}
        self.run(lambda connection: self._transact(connection, [(sql.PUT_OFF_QUARANTINED, row)]))

    def release_quarantined(self, id: str) -> None:
        # A quarantined payload may be personal: it leaves the journal as an erased part does.
        self.run(lambda connection: self._transact(connection, [(sql.DELETE_QUARANTINED, (id,))]))
        self._wrote(0, True)

    def keep_policy(self, digest: str, text: bytes, time: str) -> None:
        self.run(lambda connection: self._transact(connection, [(sql.KEEP_POLICY, (digest, text, time))]))

    def try_write(self) -> None:
        """Write a page that changes nothing: raises StoreUnavailable while writing fails."""
        self.run(self._rewrite_version)

    def _rewrite_version(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version}")
        self.failed = False


def _roll_back(connection: sqlite3.Connection | None) -> None:
    if connection is not None and connection.in_transaction:
        connection.execute("ROLLBACK")


def _held(connection: sqlite3.Connection, appends: Sequence[Append]) -> dict[str, dict[str, Receipt]]:
    asked = [(a.tenant, receipt.command_id) for a in appends for receipt in a.receipts]
    return reading.held(connection, asked) if asked else {}


def _refusal(connection: sqlite3.Connection, append: Append, first: dict[str, Receipt] | None) -> Outcome:
    if first is None:
        return Conflict(reading.receipts(connection, append.tenant, append.expected_seq, MISSED_MAX))
    head: Head = reading.heads(connection, [append.tenant])[append.tenant]
    return Duplicates(first, head)


def _until(now: str, seconds: float, attempts: int) -> str:
    """The end of a lease: it doubles with each one given before, up to LEASE_SECONDS_MAX."""
    longest = max(seconds, LEASE_SECONDS_MAX)
    length = min(seconds * 2.0 ** min(attempts, 32), longest)
    end = datetime.fromisoformat(now) + timedelta(seconds=length)
    return end.isoformat(timespec="microseconds").replace("+00:00", "Z")
