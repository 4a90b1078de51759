"""
What a lane does when it does not know what its ledger holds: it asks the store, and decides again on what is there.

    cold                   --> load: snapshot and tail --> live
    another was first      --> apply what it wrote, after what is our own --> pause --> live
    ids that are held      --> answer them --> live
    nothing can be said    --> pause --> read back --> ours: settled; another's: as above; nothing: send the same again

Reading proves presence, never absence. What was perhaps stored is sent again, the same bytes, until it is stored,
another receipt holds the place, or nobody waits for it any more.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from tai_autonomics.application.background import Background
from tai_autonomics.application.callers import Callers
from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.codec import prev_of, state_at, state_of
from tai_autonomics.application.lane import Durable, Lane
from tai_autonomics.application.ports import Entropy, Observer, Store
from tai_autonomics.application.recent import RecentIds
from tai_autonomics.application.sealing import new_ledger
from tai_autonomics.domain.tenant import INITIAL_STATE
from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Head, Ledger, Receipt

PAGE_RECEIPTS: Final = 500
"""Receipts read at once when a lane catches up with its ledger."""
BACKOFF_SECONDS: Final = 0.005
BACKOFF_SECONDS_MAX: Final = 1.0
LOADS_AT_ONCE_MAX: Final = 64
CONFLICTS_BEFORE_HOLD: Final = 3
"""Conflicts in a row, after which the head is held while the lane decides: for fairness alone."""
HELD_SECONDS_MAX: Final = 2.0
"""No head is held longer, whatever becomes of the append."""


class Reconciling:
    """`go_on` is told when a lane may decide again, `gone` when its ledger cannot be used and the lane is closed."""

    def __init__(
        self,
        store: Store,
        *,
        clock: SealingClock,
        entropy: Entropy,
        observer: Observer,
        callers: Callers,
        recent: RecentIds,
        background: Background,
        go_on: Callable[[Lane], None],
        gone: Callable[[Lane], None],
    ) -> None:
        self._store, self._clock, self._entropy, self._observer = store, clock, entropy, observer
        self._callers, self._recent, self._background = callers, recent, background
        self._go_on, self._gone = go_on, gone
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE_MAX)

    # ---- cold

    def load(self, lane: Lane) -> None:
        """Read the ledger; commands wait meanwhile, each no longer than its deadline."""
        self._work_on(lane, self._load(lane))

    def _reload(self, lane: Lane) -> None:
        """Forget what is known and read the ledger anew; the commands wait."""
        self._callers.rewind(lane)
        self._recent.forget(lane.tenant)
        lane.durable, lane.status = None, "loading"
        lane.opened = asyncio.get_running_loop().create_future()
        self.load(lane)

    async def _load(self, lane: Lane) -> None:
        tries = 0
        while True:
            try:
                async with self._loads:
                    started = self._clock.monotonic()
                    lane.durable = await self._rebuild(lane, await self._store.read(lane.tenant))
                    lane.confirmed_at = started
                break
            except StoreUnavailable:
                self._observer.store_failed("read")
                if not (lane.waiting or lane.readers):
                    raise
                tries += 1
                await self._pause(tries)
        self._observer.loaded(lane.tail_receipts, self._clock.monotonic() - started)
        lane.failures = 0
        if lane.opened is not None:
            lane.opened.set_result(None)
            lane.opened = None
        self._go_on(lane)

    async def _rebuild(self, lane: Lane, ledger: Ledger | None) -> Durable:
        """Snapshot and tail to state; without a usable snapshot, every receipt from the first or from the base."""
        lane.tail_receipts = lane.tail_bytes = 0
        durable = Durable(INITIAL_STATE, new_ledger(self._entropy))
        if ledger is None:
            return durable
        if (snapshot := ledger.snapshot) is None:
            return self._apply(lane, ledger.receipts, durable)
        if (state := state_of(snapshot)) is not None:
            head = Head(snapshot.ledger, snapshot.seq, snapshot.hash, snapshot.time)
            return self._apply(lane, ledger.receipts, Durable(state, head))
        if (base := (await self._store.bases((lane.tenant,))).get(lane.tenant)) is not None:
            durable = Durable(state_at(base), base.head)
        while receipts := await self._store.receipts(lane.tenant, durable.head.seq, PAGE_RECEIPTS):
            durable = self._apply(lane, receipts, durable)
        return durable

    def _apply(self, lane: Lane, receipts: tuple[Receipt, ...], durable: Durable) -> Durable:
        durable = lane.apply(receipts, durable)
        for receipt in receipts:
            self._recent.add(receipt)
        return durable

    # ---- another was first

    def conflict(self, lane: Lane, missed: tuple[Receipt, ...]) -> None:
        """The lane's place is taken by `missed`."""
        self._observer.conflicted()
        self._catch_up_with(lane, missed, contended=True)

    def busy(self, lane: Lane) -> None:
        """Nothing was stored, and nothing is wrong: the same again after a pause."""
        _contend(lane)
        lane.resend()
        lane.status = "reconciling"
        self._work_on(lane, self._go_on_later(lane))

    def duplicates(self, lane: Lane, first: dict[str, Receipt], head: Head) -> None:
        """The ledger holds ids of the append, and nothing of it was stored. That is no conflict."""
        self._observer.duplicated(len(first))
        if lane.durable is not None and head.seq > lane.durable.head.seq:
            # Perhaps by ourselves, in an append of which nothing could be said: then its receipts answer.
            lane.status = "reconciling"
            self._work_on(lane, self._read_on(lane, first))
            return
        self._callers.rewind(lane)
        self._callers.replay_first(lane, first)
        self._go_on(lane)

    async def _read_on(self, lane: Lane, first: dict[str, Receipt]) -> None:
        try:
            stored = await self._read_after(lane)
        except StoreUnavailable:
            stored = ()
        if stored:
            self._catch_up_with(lane, stored, first=first)
        else:
            self.ask(lane)

    def _catch_up_with(
        self,
        lane: Lane,
        missed: tuple[Receipt, ...],
        *,
        first: dict[str, Receipt] | None = None,
        contended: bool = False,
    ) -> None:
        """Receipts that the store holds after what the lane knew: its own first, then those of others."""
        own = 0
        for item, receipt in zip([*lane.sent, *lane.decided], missed, strict=False):
            if item.sealed.receipt.hash != receipt.hash:
                break
            own += 1
        self._callers.settle(lane, own)
        others = missed[own:]
        if others and _follows(others[0], lane.durable):
            if contended:
                _contend(lane)
            self._callers.rewind(lane)
            self._callers.replay_first(lane, first or {})
            lane.status = "reconciling"
            self._work_on(lane, self._catch_up(lane, others))
        elif others or not missed:
            if not _were_dropped(lane.durable, others):
                self._observer.went_back(lane.tenant)
            self._reload(lane)
        else:
            lane.resend()
            self._go_on(lane)

    async def _catch_up(self, lane: Lane, receipts: tuple[Receipt, ...]) -> None:
        """Apply what others wrote, page by page, then decide again after a pause."""
        full = True
        while receipts and full:
            assert lane.durable is not None
            lane.durable = self._apply(lane, receipts, lane.durable)
            full = len(receipts) == PAGE_RECEIPTS
            if full:
                try:
                    receipts = await self._read_after(lane)
                except StoreUnavailable:
                    self._reload(lane)
                    return
        await self._go_on_later(lane)

    async def _go_on_later(self, lane: Lane) -> None:
        if lane.conflicts:
            await self._pause(lane.conflicts)
        if lane.conflicts >= CONFLICTS_BEFORE_HOLD:
            await self._go_on_held(lane)
        else:
            self._go_on(lane)

    async def _go_on_held(self, lane: Lane) -> None:
        """Read, decide and append once while nobody else can append."""
        went_on = False
        try:
            async with self._store.held(lane.tenant):
                await self._read_missed(lane)
                outcome = lane.outcome = asyncio.get_running_loop().create_future()
                went_on = True
                self._go_on(lane)
                await asyncio.wait({outcome}, timeout=HELD_SECONDS_MAX)
        except StoreUnavailable:
            self._observer.store_failed("held")
        if not went_on:
            self._go_on(lane)

    async def _read_missed(self, lane: Lane) -> None:
        """Take up what others wrote before the head was held; what may be the lane's own is left to the append."""
        if lane.doubted:
            return
        while (missed := await self._read_after(lane)) and _follows(missed[0], lane.durable):
            assert lane.durable is not None
            self._callers.rewind(lane)
            lane.durable = self._apply(lane, missed, lane.durable)

    # ---- nothing can be said

    def ask(self, lane: Lane) -> None:
        """Nothing was said of what the lane sent: the store is asked what it holds."""
        lane.tell_outcome()
        lane.status = "reconciling"
        lane.doubted = max(lane.doubted, len(lane.sent))
        lane.failures += 1
        self._work_on(lane, self._read_back(lane))

    async def _read_back(self, lane: Lane) -> None:
        while True:
            await self._pause(lane.failures)
            if not any(item.pending is not None and item.pending.waiters for item in lane.doubtful):
                # A timer's receipt comes again by itself.
                self._reload(lane)
                return
            try:
                stored = await self._read_after(lane)
            except StoreUnavailable:
                lane.failures += 1
                continue
            if stored:
                self._catch_up_with(lane, stored)
            else:
                lane.resend()
                self._go_on(lane)
            return

    async def _read_after(self, lane: Lane) -> tuple[Receipt, ...]:
        """What the ledger holds after what the lane knows, at most a page."""
        assert lane.durable is not None
        try:
            return await self._store.receipts(lane.tenant, lane.durable.head.seq, PAGE_RECEIPTS)
        except StoreUnavailable:
            self._observer.store_failed("receipts")
            raise

    async def _pause(self, tries: int) -> None:
        """Doubling with full jitter."""
        ceiling = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2.0 ** min(tries, 16))
        await asyncio.sleep(ceiling * int.from_bytes(self._entropy.bytes(4), "big") / 2.0**32)

    # ---- work on one lane

    def _work_on(self, lane: Lane, work: Coroutine[Any, Any, None]) -> None:
        """Whatever breaks it, nobody may wait for this lane for ever."""
        self._background.spawn(work, broken=partial(self._close, lane))

    def _close(self, lane: Lane, error: BaseException) -> None:
        """The ledger cannot be used: everyone who waits is told, and the next call tries anew."""
        self._observer.failed("load", error)
        self._callers.fail_all(lane, error)
        lane.status, lane.woken = "closed", False
        lane.give_up(error)
        self._gone(lane)


def _contend(lane: Lane) -> None:
    """Another writer was first."""
    lane.conflicts += 1
    for item in lane.sent:
        if item.pending is not None:
            item.pending.contended = True


def _were_dropped(durable: Durable | None, receipts: tuple[Receipt, ...]) -> bool:
    """Whether those between what the lane knows and these rest in an archive: it was idle for so long."""
    return durable is not None and bool(receipts) and receipts[0].seq > durable.head.seq + 1


def _follows(receipt: Receipt, durable: Durable | None) -> bool:
    """Whether it continues what the lane knows; not so in a store that was put back to an earlier state."""
    return durable is not None and prev_of(receipt) == durable.head.hash
