"""
A store brought back beside the one that is there, and then in its place.

    beside      a database of its own on the same server, filled by pg_restore, dropped at the end
    take        one transaction: what is there is renamed aside, the schema is made anew, every row is copied into it

The schema's name is fixed, so a copy that is not yet fit needs another database. The place itself is the schema and not
the database: other programs may live beside it there.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from psycopg import errors
from psycopg.sql import SQL, Identifier

from tai_autonomics.errors import BrokenBackup, StoreUnavailable
from tai_autonomics.stores.postgres import migrating, programs, reading
from tai_autonomics.stores.postgres import statements as sql
from tai_autonomics.stores.postgres.connections import Connection, check_committed, direct, on_database

RESTORE_JOBS: Final = 2
"""Tables and indexes that pg_restore makes at once."""
GONE_SECONDS_MAX: Final = 1.0
"""How long a session that was closed may still be seen."""
LOOK_SECONDS: Final = 0.05

Table = tuple[str, list[str]]


class Place:
    """Where the store is, held by its one session against every other restore and drill. Made by `hold`."""

    def __init__(self, connection: Connection, url: str, number: str) -> None:
        self._connection, self._url = connection, url
        self._prefix = f"tai_beside_{number}_"

    @asynccontextmanager
    async def beside(self, name: str) -> AsyncIterator[str]:
        """
        The URL of an empty database on the same server, dropped at the end.

        Raises StoreUnavailable, also where the role may not make a database.
        """
        database = f"{self._prefix}{name}"
        url = on_database(self._url, database)
        await self._make(database)
        try:
            yield url
        finally:
            await self._drop(database)

    async def _make(self, database: str) -> None:
        made = SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(Identifier(database))
        try:
            await self._connection.execute(made)
        except errors.InsufficientPrivilege as error:
            raise StoreUnavailable(
                "PostgreSQL: the role may not make a database beside this one, where a backup is verified:"
                " ALTER ROLE … CREATEDB, or run this with a role that may and owns the schema"
            ) from error

    async def drop_left_behind(self) -> None:
        """What a killed restore or drill has left."""
        pattern = self._prefix.replace("_", r"\_") + "%"
        for (name,) in await (await reading.ask(self._connection, sql.SELECT_BESIDE, (pattern,))).fetchall():
            await self._drop(name)

    async def _drop(self, database: str) -> None:
        await self._connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(database)))

    async def check_alone(self) -> None:
        """Raises StoreUnavailable while others are connected to the store's database as we are."""
        await check_alone(self._connection)

    async def is_there(self) -> bool:
        return bool(await reading.only(self._connection, sql.EXISTS_SCHEMA))

    async def check_empty(self) -> None:
        """Raises StoreUnavailable when the place holds receipts."""
        if await reading.only(self._connection, sql.EXISTS_RECEIPTS) and await reading.only(
            self._connection, sql.HOLDS_RECEIPTS
        ):
            raise StoreUnavailable(
                "the database holds receipts: --replace moves them aside, and then takes their place"
            )

    async def take(self, source: str, *, aside: str, replace: bool) -> None:
        """
        Put the store at the URL `source` in this place, all of it or nothing, durable on return.

        A schema that is there is renamed to `aside`. Raises StoreUnavailable.
        """
        connection = self._connection
        await connection.execute(sql.BEGIN)
        try:
            if await self.is_there():
                await self._move_aside(aside, replace=replace)
            await check_alone(connection)
            await self._copy(source)
        except BaseException:
            if not connection.closed:
                await connection.rollback()
            raise
        warned = connection.warnings
        check_committed(connection, await connection.execute(sql.COMMIT), warned)

    async def _move_aside(self, aside: str, *, replace: bool) -> None:
        """Its tables are locked first, so that whoever still writes is waited for, and whoever comes is kept out."""
        tables = await _tables(self._connection)
        if tables:
            names = SQL(", ").join(Identifier("tai", name) for name, _ in tables)
            await self._connection.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
        if not replace:
            await self.check_empty()
        await self._connection.execute(SQL("ALTER SCHEMA tai RENAME TO {}").format(Identifier(aside)))

    async def _copy(self, source: str) -> None:
        """Indexes are made at the end, as that is faster."""
        await migrating.migrate(self._connection)
        indexes = await (await reading.ask(self._connection, sql.SELECT_INDEXES)).fetchall()
        for name, _ in indexes:
            await self._connection.execute(SQL("DROP INDEX {}").format(Identifier("tai", name)))
        async with direct(source) as read:
            for table in await _tables(read):
                await _copy_table(read, self._connection, table)
            for name, last in await (await reading.ask(read, sql.SELECT_SEQUENCES)).fetchall():
                await reading.ask(self._connection, sql.SET_SEQUENCE, (name, last))
        for _, definition in indexes:
            await self._connection.execute(definition.encode())
        await analyze(self._connection)


@asynccontextmanager
async def hold(url: str) -> AsyncIterator[Place]:
    """Raises StoreUnavailable, also while another restore or drill holds the place."""
    async with direct(url) as connection:
        await programs.check(connection, "pg_restore")
        if not await reading.only(connection, sql.LOCK_SAVING):
            raise StoreUnavailable("another restore or drill is under way on this store")
        place = Place(connection, url, await reading.only(connection, sql.SELECT_DATABASE))
        await place.drop_left_behind()
        yield place


async def alone(url: str) -> None:
    """Raises StoreUnavailable while others are connected to the store's database as we are."""
    async with direct(url) as connection:
        await check_alone(connection)


async def check_alone(connection: Connection) -> None:
    """The same, but for this connection."""
    loop = asyncio.get_running_loop()
    until = loop.time() + GONE_SECONDS_MAX
    while others := await (await reading.ask(connection, sql.SELECT_OTHERS)).fetchall():
        if loop.time() > until:
            named = ", ".join(f"{application} ({count})" for application, count in others)
            raise StoreUnavailable(
                f"others are connected to the store: {named}. Stop the service, and what keeps connections for it"
            )
        await asyncio.sleep(LOOK_SECONDS)


async def fill(url: str, file: Path) -> None:
    """Bring a dump into the empty database at the URL. Raises StoreUnavailable."""
    await programs.run(
        "pg_restore",
        "--exit-on-error",
        "--no-owner",
        "--no-privileges",
        f"--jobs={RESTORE_JOBS}",
        str(file),
        url=url,
    )
    async with direct(url) as connection:
        await analyze(connection)


async def analyze(connection: Connection) -> None:
    """Without it, plans are made for empty tables until the server looks by itself."""
    for name, _ in await _tables(connection):
        await connection.execute(SQL("ANALYZE {}").format(Identifier("tai", name)))


async def _tables(connection: Connection) -> list[Table]:
    return await (await reading.ask(connection, sql.SELECT_TABLES)).fetchall()


async def _copy_table(source: Connection, to: Connection, table: Table) -> None:
    name, columns = table
    place = SQL("{} ({})").format(Identifier("tai", name), SQL(", ").join(map(Identifier, columns)))
    out, into = source.cursor(), to.cursor()
    async with (
        out.copy(SQL("COPY {} TO STDOUT (FORMAT binary)").format(place)) as read,
        into.copy(SQL("COPY {} FROM STDIN (FORMAT binary)").format(place)) as written,
    ):
        async for block in read:
            await written.write(block)
    if out.rowcount != into.rowcount:
        raise BrokenBackup(f"of {out.rowcount} rows of {name}, {into.rowcount} were copied")
