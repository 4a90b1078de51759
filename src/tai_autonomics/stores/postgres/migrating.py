"""
The schema: schema/postgres/NNNN_what.sql in order, each in a transaction of its own, under a lock of all instances.

Several instances may start at once: the first migrates, the others wait for it and find nothing to do.
"""

from importlib.resources import files
from typing import Final

from tai_autonomics.errors import LedgerNewerThanCode, StoreUnavailable
from tai_autonomics.stores.postgres import statements as sql
from tai_autonomics.stores.postgres.connections import Connection


def _migrations() -> tuple[tuple[int, str], ...]:
    folder = files("tai_autonomics.stores") / "schema" / "postgres"
    scripts = sorted(
        (entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql")
    )
    return tuple((int(name.split("_")[0]), script) for name, script in scripts)


MIGRATIONS: Final = _migrations()
"""Number and script, in order."""


async def migrate(connection: Connection) -> None:
    """Bring the schema to this release's. Raises LedgerNewerThanCode when it is a later release's."""
    if await _version(connection) == MIGRATIONS[-1][0]:
        return
    for number, script in MIGRATIONS:
        async with connection.transaction():
            await connection.execute(sql.LOCK_MIGRATIONS)
            await connection.execute(sql.MAKE_MIGRATIONS)
            if await _version(connection) < number:
                await connection.execute(script.encode())
                await connection.execute(sql.NOTE_MIGRATION, (number,))


async def check_readable(connection: Connection) -> None:
    """For a store that may not migrate. Raises StoreUnavailable when the schema is too old, LedgerNewerThanCode."""
    if await _version(connection) < MIGRATIONS[-1][0]:
        raise StoreUnavailable("the database has no schema of this release: start the service once, which makes it")


async def version(connection: Connection) -> int:
    """The schema's, for a copy of it. Raises StoreUnavailable where there is none, LedgerNewerThanCode."""
    found = await _version(connection)
    if found == 0:
        raise StoreUnavailable("the database holds no store of ours")
    return found


async def _version(connection: Connection) -> int:
    (is_migrated,) = await _one(connection, sql.SELECT_MIGRATED)
    version = (await _one(connection, sql.SELECT_VERSION))[0] if is_migrated else 0
    known = MIGRATIONS[-1][0]
    if version > known:
        raise LedgerNewerThanCode(f"the database has schema {version}; this release knows {known}: use a newer release")
    return int(version)


async def _one(connection: Connection, statement: str) -> tuple[int, ...]:
    row: tuple[int, ...] | None = await (await connection.execute(statement.encode())).fetchone()
    assert row is not None, "a statement that always answers"
    return row
