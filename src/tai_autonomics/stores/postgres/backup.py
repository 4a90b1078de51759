"""
A copy of the schema as of one moment, made by pg_dump while instances write.

    one snapshot --> counted here, and handed to pg_dump --> one file

pg_dump needs a session that lasts: a direct connection, not a transaction-mode pooler's.
"""

from pathlib import Path

from tai_autonomics.ledger.records import Copied
from tai_autonomics.stores.postgres import migrating, programs, reading
from tai_autonomics.stores.postgres import statements as sql
from tai_autonomics.stores.postgres.connections import direct


async def copy(url: str, to: Path) -> Copied:
    """
    Dump the schema into the file `to`, durable on return; what erasing left behind in the server is not in it.

    While it runs, the server keeps the row versions of what is erased. Raises StoreUnavailable.
    """
    async with direct(url) as connection:
        await programs.check(connection, "pg_dump")
        await connection.execute(sql.BEGIN_SNAPSHOT)
        snapshot = await reading.only(connection, sql.EXPORT_SNAPSHOT)
        copied = Copied(
            schema=await migrating.version(connection),
            ledgers=await reading.only(connection, sql.COUNT_LEDGERS),
            receipts=await reading.only(connection, sql.COUNT_RECEIPTS),
            newest=await reading.newest_time(connection),
            erased=await reading.erased(connection),
        )
        await programs.run(
            "pg_dump",
            "--format=custom",
            "--compress=1",
            "--schema=tai",
            # Transactions of this server: elsewhere they would stand for others.
            "--exclude-table-data=tai.erasures",
            f"--snapshot={snapshot}",
            f"--file={to}",
            url=url,
        )
        await connection.execute(sql.COMMIT)
    return copied
