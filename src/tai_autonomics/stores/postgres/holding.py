"""
Holding a tenant's head: it stays locked while its tenant is read, decided and appended, on a connection of its own.

For fairness only. Appends take the lock without waiting, so an instance that is always a little later could lose for
ever; whoever stands in the lock's queue is next. Nothing rests on having it: after a bounded wait one goes on without.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.stores.postgres import statements as sql
from tai_autonomics.stores.postgres.appending import make_heads
from tai_autonomics.stores.postgres.connections import CONTENDED, Connection, Connections, first, roll_back, working

HOLDS_MAX_SHARE: Final = 0.5
"""Of the connections: the rest stays free for everybody else."""
ROOM_SECONDS_MAX: Final = 2.0
"""For one of them."""


class Hold:
    """A connection in a transaction that has the head's lock; `turn` keeps its users apart, `is_over` once it ended."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.turn = asyncio.Lock()
        self.is_over = False


class Holds:
    """What this process holds, one hold a tenant; a second `held` of a tenant waits for the first."""

    def __init__(self, connections: Connections, *, connections_max: int) -> None:
        self._connections = connections
        self._room = asyncio.Semaphore(max(1, int(connections_max * HOLDS_MAX_SHARE)))
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        self._holds: dict[str, Hold] = {}

    def of(self, tenant: str) -> Hold | None:
        hold = self._holds.get(tenant)
        return None if hold is None or hold.is_over else hold

    @asynccontextmanager
    async def held(self, tenant: str) -> AsyncIterator[None]:
        """Raises StoreUnavailable."""
        async with self._turn(tenant):
            hold = await self._begin(tenant)
            try:
                yield
            finally:
                if hold is not None:
                    await self._end(tenant, hold)

    async def _begin(self, tenant: str) -> Hold | None:
        """None where the place was not had in time; then no connection is kept. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(ROOM_SECONDS_MAX):
                await self._room.acquire()
        except TimeoutError:
            return None
        try:
            hold = Hold(await self._connections.take())
        except BaseException:
            self._room.release()
            raise
        try:
            is_had = await _lock(hold.connection, tenant)
        except BaseException:
            await self._end(tenant, hold)
            raise
        if not is_had:
            await self._end(tenant, hold)
            return None
        self._holds[tenant] = hold
        return hold

    async def _end(self, tenant: str, hold: Hold) -> None:
        self._holds.pop(tenant, None)
        try:
            async with hold.turn:
                hold.is_over = True
                await roll_back(hold.connection)
                await self._connections.give_back(hold.connection)
        finally:
            self._room.release()

    @asynccontextmanager
    async def _turn(self, tenant: str) -> AsyncIterator[None]:
        lock, users = self._turns.get(tenant, (asyncio.Lock(), 0))
        self._turns[tenant] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns.pop(tenant)
            if users > 1:
                self._turns[tenant] = lock, users - 1


async def _lock(connection: Connection, tenant: str) -> bool:
    """Whether the lock was had within the lock timeout. Raises StoreUnavailable."""
    try:
        with working(connection):
            async with connection.pipeline():
                await make_heads(connection, [tenant])
                for statement in (sql.BEGIN, sql.LIMIT_APPEND):
                    await connection.execute(statement)
                await connection.execute(sql.LOCK_HEAD.encode(), (tenant,))
    except StoreUnavailable as error:
        if not (isinstance(error.__cause__, psycopg.Error) and isinstance(first(error.__cause__), CONTENDED)):
            raise
        await roll_back(connection)
        return False
    return True
