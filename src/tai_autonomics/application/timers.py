r"""
Wakes tenants whose due rows nobody calls for, and hands actions that are due to the executor.

    due row --lease--> a timer: its tenant's lane is woken
                   \-> an attempt: the executor takes it; what it has no room for is left to other instances

Timers are decided by the lane before any command of their tenant; this loop only finds, in the store, those of tenants
that are idle, also after a restart. The rows vanish with the receipts that settle them.
"""

import asyncio
from functools import partial
from typing import Final

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.corridor import Corridor
from tai_autonomics.application.executor import ATTEMPT, Executor
from tai_autonomics.application.freshness import Freshness
from tai_autonomics.application.ports import Observer, Store
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.tenant import TIMER_KINDS
from tai_autonomics.errors import Overloaded, StoreUnavailable
from tai_autonomics.ledger.records import Leased

LEASE_SECONDS: Final = 10.0
"""A row whose tenant could not be decided by then is handed out again."""
LEASED_MAX: Final = 500
AHEAD_MAX: Final = 10_000
"""Rows that wait for this instance's clock; one beyond them waits for the end of its lease."""


class Timers:
    """Polls the store every `poll_seconds`; `run` ends when its task is cancelled."""

    def __init__(
        self,
        store: Store,
        corridor: Corridor,
        executor: Executor,
        freshness: Freshness,
        *,
        clock: SealingClock,
        observer: Observer,
        poll_seconds: float,
    ) -> None:
        self._store, self._corridor, self._executor, self._freshness = store, corridor, executor, freshness
        self._clock, self._observer = clock, observer
        self._poll_seconds = poll_seconds
        self._ahead: list[tuple[str, str]] = []
        """When a leased row is due, and its tenant: our clock may be behind the store's, and yet have to come there."""

    async def run(self) -> None:
        while True:
            try:
                more = await self.wake_due() >= LEASED_MAX
            except Exception as error:  # noqa: BLE001  # whatever it is, the next poll may find it mended
                self._observer.failed("timers", error)
                more = False
            await asyncio.sleep(0 if more else self._poll_seconds)

    async def wake_due(self) -> int:
        """
        Wake the tenants of the rows that are due, and say how many rows there were.

        None on an instance that is stopping: a row that it leased would be kept from those that go on.
        """
        if self._executor.stopping:
            return 0
        now = self._clock.now()
        rows = await self._lease(now)
        # The row may be another instance's, of what the lane here has not heard of.
        await self._freshness.bring_up({row.tenant for row in rows})
        for row in rows:
            if row.due.kind == ATTEMPT:
                self._executor.take(row.tenant, row.due)
        leased = [*self._ahead, *((row.due.due, row.tenant) for row in rows if row.due.kind != ATTEMPT)]
        self._ahead = [(due, tenant) for due, tenant in leased if due > now][:AHEAD_MAX]
        for tenant in {tenant for due, tenant in leased if due <= now}:
            self._wake(tenant)
        return len(rows)

    async def _lease(self, now: Moment) -> tuple[Leased, ...]:
        # Where instances share a store, its clock says what is due: theirs may differ by seconds.
        lease = partial(self._store.lease, seconds=LEASE_SECONDS, now=None if self._store.shared else now)
        room = self._executor.room
        if room >= LEASED_MAX:
            return await lease(LEASED_MAX)
        timers = await lease(LEASED_MAX, kinds=TIMER_KINDS)
        try:
            return timers if room == 0 else (*timers, *await lease(room, kinds=(ATTEMPT,)))
        except StoreUnavailable:
            # The timers are leased: whoever they belong to is not to wait for the end of that.
            self._observer.store_failed("lease")
            return timers

    def _wake(self, tenant: str) -> None:
        try:
            self._corridor.wake(tenant)
        except Overloaded as error:
            self._observer.failed("timers", error)
