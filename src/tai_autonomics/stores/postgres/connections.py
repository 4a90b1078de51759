"""
The pool, the limits of every transaction, and what each error of the engine means for a caller.

    use          a connection for one piece of work: a bounded wait for it, a bounded time with it (working)
    transaction  BEGIN, limits, work, COMMIT in one pipeline: the work's own questions are its only round trips

A connection that comes back in any state but idle is closed: the server rolls back, and the pool opens another. One
whose time is up, or whose caller leaves, is cut off at once: a server that stands still would not cancel either. One
that works would not notice, and go on (for a lost standby it waits without end), so it is asked to stop as well.
"""

import asyncio
import logging
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncCursor, capabilities, errors
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.errors import Diagnostic, PipelineAborted
from psycopg.generators import cancel
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGcancelConn
from psycopg.rows import TupleRow
from psycopg.waiting import wait_async, wait_conn_async
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.stores.postgres import statements as sql

RV = TypeVar("RV")

WAIT_SECONDS_MAX: Final = 3.0
"""For a connection of the pool."""
WORK_SECONDS_MAX: Final = 8.0
"""With a connection; the server's own limits (statements.LIMIT) end a statement long before."""
OURS: Final[dict[str, str | int]] = {"connect_timeout": 3, "application_name": "tai-autonomics"}
"""Where the URL says nothing."""
SAVING: Final = "tai-autonomics-saving"
"""The application's name where a store is copied or brought back."""
WAITING_MAX: Final = 10_000
"""Pieces of work that wait for a connection; the lanes' own bounds are met first."""
_INTERVAL_SECONDS: Final = 0.1
"""Psycopg's own: how often a wait looks up."""
CANCEL_SECONDS_MAX: Final = 3.0
"""For asking the server to leave what a cut connection has begun."""
CLOSE_SECONDS_MAX: Final = 2.0
RECONNECT_SECONDS_MAX: Final = 2.0
"""How long the pool tries by itself; after that the next piece of work makes it try again, at once."""

CONTENDED: Final = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
"""Rolled back for certain, also at COMMIT, because another transaction was in the way."""


class Connection(AsyncConnection[TupleRow]):
    """Counts the server's warnings: a COMMIT that says one may be durable on this server and nowhere else."""

    warnings = 0
    is_cut = False
    is_read_only = False
    cancelling: asyncio.Task[None] | None = None

    def cut(self) -> None:
        """Shut the socket, and not its descriptor: whoever waits on it hears that the server is gone."""
        if self.is_cut:
            return
        self.is_cut = True
        if self.pgconn.transaction_status == TransactionStatus.ACTIVE and capabilities.has_cancel_safe():
            # Begun before the socket goes: it copies whom to ask, and of which session.
            asking = self.pgconn.cancel_conn()
            with suppress(psycopg.Error):
                asking.start()
                self.cancelling = asyncio.get_running_loop().create_task(_cancel(asking))
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.pgconn.socket)) as line:
            line.shutdown(socket.SHUT_RDWR)

    async def wait(self, gen: PQGen[RV], interval: float = _INTERVAL_SECONDS, timeout: float | None = None) -> RV:  # noqa: ASYNC109
        try:
            return await wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            self.cut()
            raise

    @property
    def is_in_transaction(self) -> bool:
        return self.pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def count_warning(self, notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self.warnings += 1


class Connections:
    """Opened by `open`; a broken connection is replaced when it is noticed, so no restart is ever needed."""

    def __init__(self, url: str, *, connections_max: int) -> None:
        self._conninfo = _conninfo(url)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self._conninfo,
            connection_class=Connection,
            kwargs={"autocommit": True, "prepare_threshold": None},
            configure=_configure,
            min_size=1,
            max_size=connections_max,
            max_waiting=WAITING_MAX,
            timeout=WAIT_SECONDS_MAX,
            reconnect_timeout=RECONNECT_SECONDS_MAX,
            open=False,
        )
        self._is_closed = False
        self._checking: asyncio.Task[None] | None = None
        self._cancelling: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Raises StoreUnavailable when the server does not let us in, with what it said."""
        # The pool tells in its own log alone why it cannot connect; nobody reads that.
        logging.getLogger("psycopg").addHandler(logging.NullHandler())
        try:
            async with await Connection.connect(self._conninfo, autocommit=True, prepare_threshold=None):
                pass
        except psycopg.Error as error:
            raise unavailable(error) from error
        await self._pool.open()

    @asynccontextmanager
    async def use(self, seconds_max: float | None = None) -> AsyncIterator[Connection]:
        """
        A connection in no transaction, for `seconds_max` (None: WORK_SECONDS_MAX).

        Raises StoreUnavailable, also for every error of the engine inside.
        """
        connection = await self.take()
        try:
            with working(connection, seconds_max):
                yield connection
        finally:
            await self.give_back(connection)

    async def take(self) -> Connection:
        """For `give_back`. Raises StoreUnavailable."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        try:
            return await self._pool.getconn()
        except PoolClosed as error:
            raise StoreUnavailable("the store is closed") from error
        except (PoolTimeout, TooManyRequests) as error:
            raise StoreUnavailable(f"no connection to PostgreSQL within {WAIT_SECONDS_MAX:g} s") from error

    async def give_back(self, connection: Connection) -> None:
        if connection.is_cut or connection.pgconn.transaction_status != TransactionStatus.IDLE:
            if connection.cancelling is not None:
                self._cancelling.add(connection.cancelling)
                connection.cancelling.add_done_callback(self._cancelling.discard)
            await connection.close()
            # What broke this one (a restart, a failover) broke those that lie in the pool as well.
            if self._checking is None or self._checking.done():
                renew = self._pool.drain if connection.is_read_only else self._pool.check
                self._checking = asyncio.create_task(self._renew(renew))
        await self._pool.putconn(connection)

    async def _renew(self, renew: Callable[[], Awaitable[None]]) -> None:
        with suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(WORK_SECONDS_MAX):
                await renew()

    async def close(self) -> None:
        self._is_closed = True
        if self._checking is not None:
            self._checking.cancel()
            with suppress(asyncio.CancelledError):
                await self._checking
        await self._pool.close(CLOSE_SECONDS_MAX)
        await asyncio.gather(*self._cancelling)


@asynccontextmanager
async def direct(url: str) -> AsyncIterator[Connection]:
    """
    A connection outside of the pool, for as long as it takes: a store is copied through it, or brought back.

    Its session must last, so it must be the server's own and not a pooler's. Raises StoreUnavailable, also for
    every error of the engine inside.
    """
    conninfo = make_conninfo(_conninfo(url), application_name=SAVING)
    try:
        async with await Connection.connect(conninfo, autocommit=True, prepare_threshold=None) as connection:
            await connection.execute(sql.UNLIMITED)
            yield connection
    except psycopg.Error as error:
        raise unavailable(error) from error


def child_connection(url: str) -> tuple[str, dict[str, str]]:
    """
    How a program of the engine connects: its argument, which everybody may read, and its environment, which holds
    the password. Raises StoreUnavailable.
    """
    given = conninfo_to_dict(_conninfo(url))
    if given.pop("sslpassword", None) is not None:
        raise StoreUnavailable("sslpassword cannot be handed to pg_dump unseen: use a key without a password")
    password = given.pop("password", None)
    given["application_name"] = SAVING
    return make_conninfo("", **given), {} if password is None else {"PGPASSWORD": str(password)}


def on_database(url: str, database: str) -> str:
    """The URL with another database's name. Raises StoreUnavailable where its options would name yet another."""
    found = re.fullmatch(r"(postgres(?:ql)?://[^/?]*/)[^?]*(.*)", url)
    other = None if found is None else f"{found[1]}{database}{found[2]}"
    if other is None or conninfo_to_dict(other).get("dbname") != database:
        raise StoreUnavailable("the URL of the PostgreSQL store names its database in more than one place")
    return other


@contextmanager
def working(connection: Connection, seconds_max: float | None = None) -> Iterator[None]:
    """
    Work with a connection, for `seconds_max` (None: WORK_SECONDS_MAX).

    Raises StoreUnavailable for every error of the engine inside.
    """
    seconds_max = WORK_SECONDS_MAX if seconds_max is None else seconds_max
    cutting = asyncio.get_running_loop().call_later(seconds_max, connection.cut)
    try:
        yield
    except psycopg.Error as error:
        if connection.is_cut:
            raise StoreUnavailable(f"PostgreSQL did not answer within {seconds_max:g} s") from error
        if isinstance(first(error), errors.ReadOnlySqlTransaction):
            # A server that became a standby, or was told to write nothing: another connection may find another one.
            connection.is_read_only = True
            connection.cut()
        raise unavailable(error) from error
    finally:
        cutting.cancel()


@asynccontextmanager
async def transaction(connection: Connection) -> AsyncIterator[None]:
    """All of the work or none, durable afterwards. Raises psycopg.Error; then nothing of it is under way any more."""
    try:
        async with connection.pipeline():
            await connection.execute(sql.BEGIN)
            await connection.execute(sql.LIMIT)
            yield
            warned, committing = connection.warnings, await connection.execute(sql.COMMIT)
    except psycopg.Error:
        await roll_back(connection)
        raise
    check_committed(connection, committing, warned)


def check_committed(connection: Connection, committing: AsyncCursor[Any], warned: int) -> None:
    """
    Raises StoreUnavailable when the server's answer to COMMIT is not a plain yes.

    It warns, and says yes, when it gave up waiting for its synchronous standby: a failover may lose that commit.
    """
    if committing.statusmessage != "COMMIT" or connection.warnings != warned:
        raise StoreUnavailable("PostgreSQL does not say that the commit is safe")


async def roll_back(connection: Connection) -> None:
    """Leave the transaction, unless the connection is broken or becomes so; then the server does, by itself."""
    with working(connection), suppress(psycopg.Error):
        await connection.rollback()


def first(error: psycopg.Error) -> psycopg.Error:
    """The error that broke a pipeline, where the driver raises that it is broken."""
    while isinstance(error, PipelineAborted) and isinstance(error.__context__, psycopg.Error):
        error = error.__context__
    return error


def unavailable(error: psycopg.Error) -> StoreUnavailable:
    """What a caller is told. Raises AssertionError for what only a mistake of this program can cause."""
    error = first(error)
    if isinstance(error, psycopg.IntegrityError | psycopg.DataError | psycopg.ProgrammingError) and not _is_operators(
        error
    ):
        raise AssertionError(f"no ledger can hold this: {_said(error)}") from error
    return StoreUnavailable(f"PostgreSQL: {_said(error)}")


def _is_operators(error: psycopg.Error) -> bool:
    """What an operator caused, though the driver files it under programming: no right, no schema, no table."""
    return isinstance(error, errors.InsufficientPrivilege | errors.UndefinedTable | errors.InvalidSchemaName)


def _said(error: psycopg.Error) -> str:
    """The first line: those below quote rows and statements."""
    return (error.diag.message_primary or str(error) or type(error).__name__).partition("\n")[0]


async def _cancel(asking: PGcancelConn) -> None:
    """
    Whether it did cancel, nobody can say; a connection's outcome is unknown from its cut on.

    A commit that waits for the standby stays: it is then on this server alone, where everybody sees it.
    """
    with suppress(psycopg.Error, OSError):
        await wait_conn_async(cancel(asking), interval=_INTERVAL_SECONDS, timeout=CANCEL_SECONDS_MAX)


async def _configure(connection: Connection) -> None:
    connection.add_notice_handler(connection.count_warning)


def _conninfo(url: str) -> str:
    """With our own where the URL says nothing. Raises StoreUnavailable that does not quote it: it holds a password."""
    unread = StoreUnavailable("the URL of the PostgreSQL store is not of a form that libpq reads")
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise unread from None
    if not re.fullmatch(r"[0-9,]*", str(given.get("port", ""))):
        raise unread
    ours = {name: value for name, value in OURS.items() if name not in given}
    return make_conninfo(url, **ours, client_encoding="utf8")
