"""
Due rows across instances: found by a query, each taken by a write that fails where somebody else was first.

All shards are asked in one query, which costs one read when nothing is due. Where other instances take rows from under
our hands, fewer shards are asked, chosen by chance, until that ends: instances go out of each other's way.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from tai_autonomics.ledger.records import Leased
from tai_autonomics.stores.firestore import documents, queries
from tai_autonomics.stores.firestore.documents import SHARDS, Write
from tai_autonomics.stores.firestore.engine import Engine, Found

LEASE_SECONDS_MAX: Final = 300.0
"""Where the doubling of a row's lease ends."""


class Leasing:
    """`chance` gives unpredictable bytes."""

    def __init__(self, engine: Engine, chance: Callable[[int], bytes]) -> None:
        self._engine = engine
        self._chance = chance
        self._asked = SHARDS

    async def lease(self, limit: int, seconds: float, kinds: Sequence[str] | None) -> tuple[Leased, ...]:
        """By the engine's clock."""
        now = moment_of(await self._engine.now())
        rows = await self._ready(now, kinds, limit)
        if not rows:
            return ()
        leased = [_leased(row, now, seconds) for row in rows]
        # Only if the row is as it was read: not settled, not set anew, not taken.
        taken = await self._engine.write_each(
            [
                Write(
                    row.path, {"ready": mine.until, "attempts": mine.attempts}, update_time=row.update_time, only=True
                )
                for row, mine in zip(rows, leased, strict=True)
            ]
        )
        self._asked = min(self._asked * 2, SHARDS) if all(taken) else max(self._asked // 2, 1)
        return tuple(mine for mine, is_mine in zip(leased, taken, strict=True) if is_mine)

    async def _ready(self, now: str, kinds: Sequence[str] | None, limit: int) -> list[Found]:
        shards = self._shards()
        if kinds is None:
            return await self._engine.query(queries.READY, shards, now, limit=limit)
        found = await asyncio.gather(
            *(self._engine.query(queries.READY_OF, kind, shards, now, limit=limit) for kind in kinds)
        )
        return sorted((row for rows in found for row in rows), key=lambda row: str(row.content["ready"]))[:limit]

    def _shards(self) -> list[int]:
        start = self._chance(1)[0]
        return [(start + number) % SHARDS for number in range(self._asked)]


def _leased(row: Found, now: str, seconds: float) -> Leased:
    """The end of a lease doubles with each one given before, up to LEASE_SECONDS_MAX."""
    attempts = row.content["attempts"]
    length = min(seconds * 2.0 ** min(attempts, 32), max(seconds, LEASE_SECONDS_MAX))
    until = moment_of(datetime.fromisoformat(now) + timedelta(seconds=length))
    return Leased(row.content["tenant"], documents.due_in(row.content), until, attempts + 1)


def moment_of(time: datetime) -> str:
    """The ledger's form of a time in UTC."""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
