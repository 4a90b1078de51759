"""
One append of many tenants, in one transaction that no tenant can spoil for another.

    heads that are not there yet are made, in a transaction of their own
    heads are locked, without waiting       not returned --> Busy, that tenant alone
    command ids are looked up               held         --> Duplicates
    heads are compared                      moved on     --> Conflict, with what was missed
    the rest is stored and committed                     --> Appended

The look-up is a statement of its own, begun when the locks are had: in READ COMMITTED it then sees whatever an earlier
holder of a lock has committed. Under the locks nothing can come in between, so no statement here can fail for what one
tenant sent.

Where commits wait for a synchronous standby, what another instance stored may be on this server alone: its wait was cut
short. There Duplicates and Conflict are told after our own commit. Locks are in the journal too, so it waits for the
standby, and thereby for all that we have seen.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import psycopg
from msgspec import Struct
from psycopg import AsyncCursor

from tai_autonomics.ledger.records import (
    Append,
    Appended,
    Busy,
    Conflict,
    Duplicates,
    Head,
    Outcome,
    Receipt,
)
from tai_autonomics.stores.postgres import reading
from tai_autonomics.stores.postgres import statements as sql
from tai_autonomics.stores.postgres.connections import CONTENDED, Connection, check_committed, first, roll_back

Tell = Callable[[Append, Outcome], None]

MISSED_MAX: Final = 500
"""Receipts in one Conflict."""

APPENDED: Final = Appended()
BUSY: Final = Busy()


class Found(Struct, frozen=True):
    """What the locked heads and the command ids say of the appends."""

    clean: tuple[Append, ...]
    duplicates: Mapping[str, Duplicates]
    conflicts: tuple[Append, ...]
    unlocked: tuple[Append, ...]
    """No head of theirs was locked."""
    names_standbys: bool


async def append(connection: Connection, appends: Sequence[Append], tell: Tell, *, locked: bool = False) -> None:
    """
    Tell each tenant's outcome. Raises psycopg.Error or StoreUnavailable when nothing can be said of the rest.

    `locked`: the connection is in a transaction that holds the head of the only append (holding.py), which is what
    `Appended` ends, and with a synchronous standby `Duplicates` and `Conflict` do.
    """
    untold = {append.tenant: append for append in appends}

    def tell_once(append: Append, outcome: Outcome) -> None:
        del untold[append.tenant]
        tell(append, outcome)

    try:
        await _append(connection, appends, tell_once, locked)
    except psycopg.Error as error:
        await roll_back(connection)
        if not isinstance(first(error), CONTENDED):
            raise
        for append in tuple(untold.values()):
            tell_once(append, BUSY)


async def _append(connection: Connection, appends: Sequence[Append], tell: Tell, locked: bool) -> None:
    async with connection.pipeline():
        if not locked:
            await _begin(connection, [a.tenant for a in appends if a.expected_seq == 0])
        found = await _find(connection, appends)
        await _tell_unlocked(connection, found.unlocked, tell)
        refused = await _refused(connection, appends, found)
        if not found.names_standbys:
            _tell_all(refused, tell)
            refused = []
        if locked and not found.clean and not refused:
            return
        for statement in sql.statements_of(found.clean):
            await connection.execute(statement.text.encode(), statement.parameters)
        warned, committing = connection.warnings, await connection.execute(sql.COMMIT)
    check_committed(connection, committing, warned)
    _tell_all([*refused, *((append, APPENDED) for append in found.clean)], tell)


async def _refused(
    connection: Connection, appends: Sequence[Append], found: Found
) -> list[tuple[Append, Duplicates | Conflict]]:
    duplicates = [(append, found.duplicates[append.tenant]) for append in appends if append.tenant in found.duplicates]
    missed = [
        await reading.receipts(connection, append.tenant, append.expected_seq, MISSED_MAX) for append in found.conflicts
    ]
    return [*duplicates, *zip(found.conflicts, map(Conflict, missed), strict=True)]


def _tell_all(outcomes: Sequence[tuple[Append, Outcome]], tell: Tell) -> None:
    for append, outcome in outcomes:
        tell(append, outcome)


async def _begin(connection: Connection, new: Sequence[str]) -> None:
    if new:
        await make_heads(connection, new)
    for statement in (sql.BEGIN, sql.LIMIT_APPEND):
        await connection.execute(statement)


async def make_heads(connection: Connection, tenants: Sequence[str]) -> None:
    """In the order of their ids, so that two instances that begin the same ledgers wait for each other in one order."""
    for statement in (sql.BEGIN, sql.LIMIT, sql.WITHOUT_WAITING):
        await connection.execute(statement)
    await connection.execute(sql.MAKE_HEADS.encode(), (list(tenants),))
    await connection.execute(sql.COMMIT)


async def _find(connection: Connection, appends: Sequence[Append]) -> Found:
    asked = [(a.tenant, receipt.command_id) for a in appends for receipt in a.receipts]
    locking = await reading.ask(connection, sql.LOCK_HEADS, ([a.tenant for a in appends],))
    looking = await reading.ask(connection, sql.SELECT_HELD, ([t for t, _ in asked], [i for _, i in asked]))
    standbys = await reading.ask(connection, sql.SELECT_NAMES_STANDBYS)
    heads = await reading.heads_of(locking)
    held = await _held_of(looking)
    ((names_standbys,),) = await standbys.fetchall()
    return _sorted_out(appends, heads, held, names_standbys=names_standbys)


async def _held_of(cursor: AsyncCursor[Any]) -> dict[str, dict[str, Receipt]]:
    held: dict[str, dict[str, Receipt]] = {}
    for receipt in await reading.receipts_of(cursor):
        held.setdefault(receipt.tenant, {})[receipt.command_id] = receipt
    return held


def _sorted_out(
    appends: Sequence[Append],
    heads: Mapping[str, Head],
    held: Mapping[str, dict[str, Receipt]],
    *,
    names_standbys: bool,
) -> Found:
    clean, conflicts, unlocked, duplicates = [], [], [], {}
    for append in appends:
        head = heads.get(append.tenant)
        if head is None:
            unlocked.append(append)
        elif append.tenant in held:
            duplicates[append.tenant] = Duplicates(held[append.tenant], head)
        elif (head.seq, head.hash) != (append.expected_seq, append.expected_hash):
            conflicts.append(append)
        else:
            clean.append(append)
    return Found(tuple(clean), duplicates, tuple(conflicts), tuple(unlocked), names_standbys)


async def _tell_unlocked(connection: Connection, unlocked: Sequence[Append], tell: Tell) -> None:
    """Another has the lock, unless there is no head at all: then the ledger that the append goes on is not there."""
    if not unlocked:
        return
    known = await reading.ask(connection, sql.SELECT_KNOWN, ([append.tenant for append in unlocked],))
    heads = {tenant for (tenant,) in await known.fetchall()}
    for append in unlocked:
        tell(append, BUSY if append.tenant in heads or append.expected_seq == 0 else Conflict(()))
