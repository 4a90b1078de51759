"""
What was erased, until it is gone.

    DELETE       no statement that begins later sees the row; its old version still lies in the table
    VACUUM       the old version is gone, once nobody's snapshot is older than the DELETE
    checkpoint   a recovery no longer replays the INSERT that brought it

What stays then are bytes that nothing points to: in the free space of a page until it is used again (VACUUM FULL
writes the table anew), and in old journal files until they are recycled.
"""

from tai_autonomics.stores.postgres import reading
from tai_autonomics.stores.postgres import statements as sql
from tai_autonomics.stores.postgres.connections import Connection


async def is_gone(connection: Connection) -> bool:
    """Whether all of it is; tries to make it so. The connection is in no transaction."""
    (many, newest, lsn, is_unseen) = await _row(connection, sql.SELECT_ERASED)
    if many == 0:
        return True
    warned = connection.warnings
    await connection.execute(sql.VACUUM)
    # A table that is not ours to vacuum is passed over with a warning.
    if not is_unseen or connection.warnings != warned:
        return False
    if not await reading.only(connection, sql.SELECT_CHECKPOINTED, (lsn,)):
        return False
    await connection.execute(sql.FORGET_ERASED.encode(), (newest,))
    return True


async def _row(connection: Connection, statement: str) -> tuple[int, str, str, bool]:
    row: tuple[int, str, str, bool] | None = await (await reading.ask(connection, statement)).fetchone()
    assert row is not None, "a count is always answered"
    return row
