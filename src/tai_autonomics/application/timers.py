"""
Wakes tenants whose due rows nobody calls for.

Timers are decided by the lane before any command of their tenant; this loop only finds, in the store, those of tenants
that are idle, also after a restart. The rows vanish with the receipts that settle them.
"""

import asyncio
from typing import Final

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.corridor import Corridor
from tai_autonomics.application.ports import Observer, Store
from tai_autonomics.errors import Overloaded, Unavailable

LEASE_SECONDS: Final = 10.0
"""A row whose tenant could not be decided by then is handed out again."""
LEASED_MAX: Final = 500
AHEAD_MAX: Final = 10_000
"""Rows that wait for this instance's clock; one beyond them waits for the end of its lease."""


class Timers:
    """Polls the store every `poll_seconds`; `run` ends when its task is cancelled."""

    def __init__(
        self, store: Store, corridor: Corridor, *, clock: SealingClock, observer: Observer, poll_seconds: float
    ) -> None:
        self._store, self._corridor, self._clock, self._observer = store, corridor, clock, observer
        self._poll_seconds = poll_seconds
        self._ahead: list[tuple[str, str]] = []
        """When a leased row is due, and its tenant: our clock may be behind the store's, and yet have to come there."""

    async def run(self) -> None:
        while True:
            try:
                more = await self.wake_due() == LEASED_MAX
            except Unavailable as error:
                self._observer.failed("timers", error)
                more = False
            await asyncio.sleep(0 if more else self._poll_seconds)

    async def wake_due(self) -> int:
        """Wake the tenants of the rows that are due, and say how many rows there were."""
        now = self._clock.now()
        # Where instances share a store, its clock says what is due: theirs may differ by seconds.
        rows = await self._store.lease(LEASED_MAX, LEASE_SECONDS, None if self._store.shared else now)
        leased = [*self._ahead, *((row.due.due, row.tenant) for row in rows)]
        self._ahead = [(due, tenant) for due, tenant in leased if due > now][:AHEAD_MAX]
        for tenant in {tenant for due, tenant in leased if due <= now}:
            self._wake(tenant)
        return len(rows)

    def _wake(self, tenant: str) -> None:
        try:
            self._corridor.wake(tenant)
        except Overloaded as error:
            self._observer.failed("timers", error)
