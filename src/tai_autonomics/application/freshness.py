"""
How old a state may be that a check answers from, on a store that other instances write.

    confirmed a moment ago --> as it is
    older --> the store's head, one batched read for everyone who waits --> the same: confirmed
                                                                        --> further: what was missed is applied
          --> no answer in time: as it is, and stale
"""

import asyncio
from asyncio import Future
from collections.abc import Collection
from typing import Final

from msgspec import Struct

from tai_autonomics.application.background import Background
from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.codec import prev_of
from tai_autonomics.application.corridor import Corridor, Durable
from tai_autonomics.application.ports import Observer, Store
from tai_autonomics.errors import Overloaded, StoreUnavailable, Unavailable
from tai_autonomics.ledger.records import GENESIS, Head, Receipt

COMPARE_SECONDS_MAX: Final = 1.0
"""A check waits no longer to learn whether its state is the newest."""
BRING_UP_SECONDS_MAX: Final = 5.0
PAGE_RECEIPTS: Final = 500


class Fresh(Struct, frozen=True, gc=False):
    """A durable state. `stale`: whether another instance has changed it meanwhile cannot be said."""

    durable: Durable
    stale: bool


class Freshness:
    """Answers from memory where it may, and asks the store where it must."""

    def __init__(
        self, store: Store, corridor: Corridor, *, clock: SealingClock, observer: Observer, age_seconds_max: float
    ) -> None:
        self._store, self._corridor, self._clock, self._observer = store, corridor, clock, observer
        self._age_seconds_max = age_seconds_max
        self._heads = _Heads(store, observer)
        self._background = Background(observer)
        self._reading: dict[tuple[str, int], Future[tuple[Receipt, ...]]] = {}

    async def durable(self, tenant: str) -> Fresh:
        """The tenant's state. Raises Unavailable where none is known."""
        durable = await self._corridor.durable(tenant)
        if not self._store.shared:
            return Fresh(durable, False)
        asked = self._clock.monotonic()
        if asked - self._corridor.confirmed_at(tenant) <= self._age_seconds_max:
            return Fresh(durable, False)
        try:
            async with asyncio.timeout(COMPARE_SECONDS_MAX):
                return Fresh(await self._compared(tenant, durable, asked), False)
        except (StoreUnavailable, TimeoutError):
            return Fresh(durable, True)

    async def bring_up(self, tenants: Collection[str]) -> None:
        """
        Let the lanes of these tenants know what other instances wrote, however lately they were asked.

        Where the store does not answer, or a ledger cannot be read, they stay as they are. A tenant without a lane has
        its ledger read when a lane is opened, and nobody waits for that here.
        """
        if self._store.shared:
            await asyncio.gather(*(self._bring_up(tenant) for tenant in tenants if self._corridor.has_lane(tenant)))

    async def _bring_up(self, tenant: str) -> None:
        try:
            async with asyncio.timeout(BRING_UP_SECONDS_MAX):
                durable = await self._corridor.durable(tenant)
                await self._compared(tenant, durable, self._clock.monotonic())
        except Overloaded:
            return  # no lane is free, so none is behind; whoever needs one says so
        except (Unavailable, TimeoutError) as error:
            self._observer.failed("freshness", error)

    async def _compared(self, tenant: str, durable: Durable, asked: float) -> Durable:
        head = await self._heads.of(tenant)
        seq, newest = (0, GENESIS) if head is None else (head.seq, head.hash)
        if durable.head.seq > seq or (durable.head.seq == seq and durable.head.hash != newest):
            raise self._went_back(tenant)
        while durable.head.seq < seq:
            receipts = await self._missed(tenant, durable.head.seq)
            if receipts and receipts[0].seq > durable.head.seq + 1:
                durable = await self._reread(tenant, durable)
                continue
            if not receipts or prev_of(receipts[0]) != durable.head.hash:
                raise self._went_back(tenant)
            durable = self._corridor.adopt(tenant, durable, receipts)
        self._corridor.confirm(tenant, durable, asked)
        return durable

    async def _reread(self, tenant: str, durable: Durable) -> Durable:
        """What was missed rests in an archive: the ledger is read from its snapshot, or from its base."""
        further = await self._corridor.reread(tenant, durable)
        if further.head.seq <= durable.head.seq:
            raise StoreUnavailable("the ledger is at work and was archived meanwhile")
        return further

    async def _missed(self, tenant: str, after: int) -> tuple[Receipt, ...]:
        """One read for everyone who waits; it goes on without them, for one that is cut off costs its connection."""
        waiter = self._reading.get((tenant, after))
        if waiter is None:
            waiter = self._reading[tenant, after] = asyncio.get_running_loop().create_future()
            self._background.spawn(self._read(tenant, after, waiter))
        return await asyncio.shield(waiter)

    async def _read(self, tenant: str, after: int, waiter: "Future[tuple[Receipt, ...]]") -> None:
        try:
            waiter.set_result(await self._store.receipts(tenant, after, PAGE_RECEIPTS))
        except StoreUnavailable as error:
            waiter.set_exception(error)
            waiter.exception()  # perhaps nobody waits any more
        finally:
            del self._reading[tenant, after]

    def _went_back(self, tenant: str) -> StoreUnavailable:
        self._observer.went_back(tenant)
        return StoreUnavailable("the store holds less than it did")

    async def aclose(self) -> None:
        await self._heads.aclose()
        await self._background.close()


class _Heads:
    """One batched read of heads at a time; whoever asks while it runs is in the next one."""

    def __init__(self, store: Store, observer: Observer) -> None:
        self._store = store
        self._observer = observer
        self._background = Background(observer)
        self._waiting: dict[str, Future[Head | None]] = {}
        self._reading = False

    async def of(self, tenant: str) -> Head | None:
        """Raises StoreUnavailable."""
        waiter = self._waiting.get(tenant)
        if waiter is None:
            waiter = self._waiting[tenant] = asyncio.get_running_loop().create_future()
        if not self._reading:
            self._reading = True
            self._background.spawn(self._read_all())
        return await asyncio.shield(waiter)

    async def _read_all(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                await self._read(asked)
        finally:
            self._reading = False

    async def _read(self, asked: "dict[str, Future[Head | None]]") -> None:
        try:
            heads = await self._store.heads(tuple(asked))
        except StoreUnavailable as error:
            self._observer.store_failed("heads")
            for waiter in asked.values():
                waiter.set_exception(error)
                waiter.exception()  # perhaps nobody waits any more
        else:
            for tenant, waiter in asked.items():
                waiter.set_result(heads.get(tenant))

    async def aclose(self) -> None:
        await self._background.close()
