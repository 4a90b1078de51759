"""
The write path: decide, seal, append, answer.

    submit --> lane --> decide --> seal --> append --> answer
                ^ commands wait     |         | group commit: while one append is under way, the lanes fill the next
                +---- conflict, duplicate, or nothing can be said: the lane asks the store and decides again

Nobody is answered before the receipt is durable. Correctness rests on the compare-and-swap of `append` alone, never on
a lease, a lock or on being the only instance.
"""

import asyncio
from asyncio import Future
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson
from msgspec import Struct

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.codec import STATE_VERSION, state_of, state_to_bytes
from tai_autonomics.application.lane import Answer, Decided, Durable, Lane, Pending, append_of
from tai_autonomics.application.ports import Entropy, Observer, Store
from tai_autonomics.application.sealing import Sealed, Submission, new_ledger, seal_decision
from tai_autonomics.domain.entitlement import EntitlementTimer
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.tenant import INITIAL_STATE, Bounds, decide, name_of, next_timer
from tai_autonomics.errors import (
    ClockUntrusted,
    ConcurrentWrite,
    Draining,
    IdempotencyKeyReused,
    LedgerNewerThanCode,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
    TaiError,
    Unavailable,
)
from tai_autonomics.ledger.records import (
    Append,
    Appended,
    Busy,
    Conflict,
    Duplicates,
    Head,
    Ledger,
    Outcome,
    Receipt,
    Snapshot,
)

__all__ = ["Answer", "Corridor", "CorridorBounds", "Durable", "Submission"]

PAGE_RECEIPTS: Final = 500
"""Receipts read at once when a lane catches up with its ledger."""
SLICE_SECONDS: Final = 0.002
"""Deciding yields the event loop after this long."""
SWEEP_SECONDS: Final = 0.1
"""How often deadlines are looked at."""
BACKOFF_SECONDS: Final = 0.005
BACKOFF_SECONDS_MAX: Final = 1.0
LOADS_AT_ONCE_MAX: Final = 64
TIMER_RUN_MAX: Final = 10_000
"""Timers of one tenant decided in one go; more would mean that a timer sets itself."""
TIMER: Final = "timer"
"""cause.kind and cause.by of a receipt that nobody asked for but time."""


class CorridorBounds(Struct, frozen=True):
    """Each is a setting of the same name (TAI_…)."""

    lanes_max: int = 100_000
    lane_waiting_max: int = 1_000
    waiting_max: int = 10_000
    append_receipts_max: int = 1_000
    append_bytes_max: int = 4 * 1024 * 1024
    snapshot_receipts: int = 200
    snapshot_bytes: int = 256_000
    new_ledgers_per_minute_max: int = 6_000


class Corridor:
    """Open it with `start`, close it with `close`. Everything runs on one event loop."""

    def __init__(
        self,
        store: Store,
        *,
        clock: SealingClock,
        entropy: Entropy,
        observer: Observer,
        plans: Callable[[], Plans],
        domain_bounds: Bounds,
        bounds: CorridorBounds,
    ) -> None:
        self._store, self._clock, self._entropy, self._observer = store, clock, entropy, observer
        self._plans, self._domain_bounds, self._bounds = plans, domain_bounds, bounds
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self._working: dict[str, Lane] = {}
        self._undecided: deque[Lane] = deque()
        self._ready: deque[Lane] = deque()
        self._waiting = 0
        self._appends = 0
        self._pumping = self._draining = False
        self._idle: Future[None] | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE_MAX)
        self._newcomers = _Newcomers(bounds.new_ledgers_per_minute_max)

    # ---- the ways in

    async def submit(self, submission: Submission, *, timeout_seconds: float) -> Answer:
        """
        Decide a command and return its receipt, durable.

        A repeat of a claimed command id gets the first receipt. Raises IdempotencyKeyReused for a repeat with other
        content, Overloaded when a bound is met, and Unavailable: ConcurrentWrite and StoreUnavailable when the command
        was withdrawn undecided, OutcomeUnknown when its receipt may be stored. Cancelling the call withdraws a command
        that is not yet decided and changes nothing for one that is.
        """
        if self._draining:
            raise Draining("the service is stopping")
        lane = self._lane_of(submission.tenant)
        if lane.status == "live" and (seq := lane.recent.get(submission.command_id)):
            return await self._replay(submission, await self._stored(submission.tenant, seq))
        pending = self._enter(lane, submission, self._clock.monotonic() + timeout_seconds)
        waiter: Future[Answer] = asyncio.get_running_loop().create_future()
        first = not pending.waiters
        pending.waiters.append(waiter)
        try:
            answer = await waiter
        except asyncio.CancelledError:
            self._leave(lane, pending, waiter)
            raise
        return answer if first else Answer(answer.receipt, replayed=True)

    async def durable(self, tenant: str, *, timeout_seconds: float = 10.0) -> Durable:
        """The tenant's durable state; reads the ledger when its lane is cold. Raises Unavailable."""
        lane = self._lane_of(tenant)
        if lane.opened is not None:
            lane.readers += 1
            try:
                await asyncio.wait_for(asyncio.shield(lane.opened), timeout_seconds)
            except TimeoutError as error:
                raise StoreUnavailable("the ledger could not be read in time") from error
            finally:
                lane.readers -= 1
        assert lane.durable is not None
        return lane.durable

    def wake(self, tenant: str) -> None:
        """Let the tenant's due timers be decided, though nobody calls."""
        if not self._draining:
            self._queue(self._lane_of(tenant))

    async def close(self, *, timeout_seconds: float) -> bool:
        """Take no new command, finish those in flight; whether all of them ended in time."""
        self._draining = True
        finished = True
        if self._working:
            self._idle = asyncio.get_running_loop().create_future()
            finished = bool((await asyncio.wait({self._idle}, timeout=timeout_seconds))[0])
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return finished

    @property
    def lanes(self) -> int:
        return len(self._lanes)

    @property
    def waiting(self) -> int:
        """Commands that are not durable yet."""
        return self._waiting

    # ---- waiting

    def _lane_of(self, tenant: str) -> Lane:
        lane = self._lanes.get(tenant)
        if lane is not None:
            self._lanes.move_to_end(tenant)
            return lane
        if len(self._lanes) >= self._bounds.lanes_max:
            self._forget_one()
        lane = self._lanes[tenant] = Lane(tenant, asyncio.get_running_loop().create_future())
        self._spawn(self._load(lane))
        return lane

    def _forget_one(self) -> None:
        for tenant, lane in self._lanes.items():
            if lane.idle:
                del self._lanes[tenant]
                return
        raise Overloaded("overloaded", "every lane has work")

    def _enter(self, lane: Lane, submission: Submission, deadline: float) -> Pending:
        pending = lane.ids.get(submission.command_id)
        if pending is not None:
            if pending.submission.request != submission.request:
                raise IdempotencyKeyReused("this key is in flight with other content")
            pending.deadline = max(pending.deadline, deadline)
            return pending
        if len(lane.ids) >= self._bounds.lane_waiting_max:
            raise Overloaded("rate_limited", "too many commands of this tenant are waiting")
        if self._waiting >= self._bounds.waiting_max:
            raise Overloaded("overloaded", "too many commands are waiting")
        pending = lane.ids[submission.command_id] = Pending(submission, deadline)
        lane.waiting.append(pending)
        self._waiting += 1
        self._queue(lane)
        return pending

    def _leave(self, lane: Lane, pending: Pending, waiter: "Future[Answer]") -> None:
        """A waiter is gone; the last one takes its command along, unless it is decided."""
        if waiter in pending.waiters:
            pending.waiters.remove(waiter)
        if not pending.waiters and pending in lane.waiting:
            lane.waiting.remove(pending)
            self._forget(lane, pending)
            self._rest(lane)

    def _forget(self, lane: Lane, pending: Pending) -> None:
        if lane.ids.pop(pending.submission.command_id, None) is not None:
            self._waiting -= 1

    def _queue(self, lane: Lane) -> None:
        """There is something to decide."""
        self._working[lane.tenant] = lane
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)
        if not lane.queued:
            lane.queued = True
            self._undecided.append(lane)
        self._pump_soon()

    def _rest(self, lane: Lane) -> None:
        """Take note that a lane may have no more work."""
        if lane.idle:
            self._working.pop(lane.tenant, None)
            if not self._working and self._idle is not None and not self._idle.done():
                self._idle.set_result(None)

    # ---- deciding

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Decide for a slice of time, hand what is decided to the store, and come back if something is left."""
        self._pumping = False
        until = self._clock.monotonic() + SLICE_SECONDS
        try:
            now = self._clock.now()
        except ClockUntrusted as error:
            self._refuse_undecided(error)
            return
        while self._undecided:
            lane = self._undecided.popleft()
            lane.queued = False
            self._decide_some(lane, now)
            if self._clock.monotonic() >= until:
                break
        self._send()
        if self._undecided:
            self._pump_soon()

    def _refuse_undecided(self, error: ClockUntrusted) -> None:
        self._observer.failed("clock", error)
        while self._undecided:
            lane = self._undecided.popleft()
            lane.queued = False
            self._fail_waiting(lane, error)
            self._rest(lane)

    def _decide_some(self, lane: Lane, now: Moment) -> None:
        """One turn of a lane: its due timers, then as many commands as one append holds."""
        durable = lane.durable
        if lane.status != "live" or durable is None or (lane.conflicts and (lane.sent or lane.decided)):
            return
        try:
            now = self._clock.next_time(now, lane.tip(durable)[1].time)
            self._decide_timers(lane, durable, now)
            for pending in lane.next_waiting(self._store.bounds.receipts_per_tenant_max):
                self._decide_command(lane, durable, pending, now)
        except Exception as error:  # noqa: BLE001  # one tenant's fault must not stop the others
            self._observer.failed("decide", error)
            self._fail_waiting(lane, error)
        if lane.waiting and not (lane.conflicts and lane.decided):
            self._queue(lane)
        if lane.decided:
            self._make_ready(lane)
        self._rest(lane)

    def _decide_timers(self, lane: Lane, durable: Durable, now: Moment) -> None:
        """Time first: every timer due by now, in due order, each with its own receipt."""
        for _ in range(TIMER_RUN_MAX):
            state = lane.tip(durable)[0]
            if state.due is None or state.due > now:
                return
            due = next_timer(state, now)
            assert due is not None, "a due time without a timer"
            submission = Submission(lane.tenant, due, timer_id(due), TIMER, TIMER)
            sealed = self._seal(lane, durable, submission, now, None)
            assert sealed.receipt.type == "transition", f"a due timer was refused: {sealed.receipt.body!r}"
        raise AssertionError(f"the timers of {lane.tenant} never end")

    def _decide_command(self, lane: Lane, durable: Durable, pending: Pending, now: Moment) -> None:
        submission = pending.submission
        if seq := lane.recent.get(submission.command_id):
            self._spawn(self._answer_stored(lane, pending, seq))
            return
        try:
            if lane.tip(durable)[1].seq == 0:
                self._newcomers.admit(submission.by, self._clock.monotonic())
            self._seal(lane, durable, submission, now, pending)
        except Overloaded as error:
            self._fail(lane, pending, error)
        except Exception as error:  # noqa: BLE001  # one command's fault must not stop the lane
            self._observer.failed("decide", error)
            self._fail(lane, pending, error)

    def _seal(
        self, lane: Lane, durable: Durable, submission: Submission, now: Moment, pending: Pending | None
    ) -> Sealed:
        state, head = lane.tip(durable)
        plans = self._plans()
        decision = decide(submission.command, state, now=now, plans=plans, bounds=self._domain_bounds)
        done = seal_decision(
            submission, decision, state=state, head=head, now=now, policy=plans.digest, entropy=self._entropy
        )
        lane.decided.append(Decided(done, pending, name_of(submission.command)))
        return done

    # ---- appending

    def _make_ready(self, lane: Lane) -> None:
        if not lane.ready and not lane.sent:
            lane.ready = True
            self._ready.append(lane)

    def _send(self) -> None:
        """Give the store the next append, as soon as it takes one."""
        while self._ready and self._appends < self._store.bounds.appends_at_once_max:
            batch = self._next_batch()
            if batch:
                self._appends += 1
                self._spawn(self._append(batch))

    def _next_batch(self) -> list[Append]:
        """What the ready lanes have decided, in turns, within the bounds of one append."""
        bounds, per_tenant = self._bounds, self._store.bounds
        batch: list[Append] = []
        receipts = size = 0
        while self._ready and receipts < bounds.append_receipts_max and size < bounds.append_bytes_max:
            lane = self._ready.popleft()
            lane.ready = False
            if not lane.decided or lane.sent or lane.durable is None:
                continue
            taken = min(per_tenant.receipts_per_tenant_max, bounds.append_receipts_max - receipts)
            size += lane.take(receipts_max=taken, bytes_max=per_tenant.bytes_per_tenant_max)
            receipts += len(lane.sent)
            for item in lane.sent:
                if item.pending is not None:
                    item.pending.unknown = True
            batch.append(append_of(lane, lane.durable, self._snapshot_of(lane)))
        return batch

    def _snapshot_of(self, lane: Lane) -> Snapshot | None:
        receipts = lane.tail_receipts + len(lane.sent)
        size = lane.tail_bytes + sum(len(item.sealed.receipt.body) for item in lane.sent)
        if receipts < self._bounds.snapshot_receipts and size < self._bounds.snapshot_bytes:
            return None
        last = lane.sent[-1].sealed
        receipt = last.receipt
        state = state_to_bytes(last.state)
        return Snapshot(receipt.seq, receipt.ledger, receipt.hash, receipt.time, STATE_VERSION, state)

    async def _append(self, batch: list[Append]) -> None:
        started = self._clock.monotonic()
        untold = {append.tenant for append in batch}

        def tell(append: Append, outcome: Outcome) -> None:
            untold.discard(append.tenant)
            self._told(self._lanes[append.tenant], append, outcome)

        try:
            await self._store.append(batch, tell)
        except StoreUnavailable:
            self._observer.store_failed("append")
        finally:
            self._appends -= 1
            for tenant in untold:
                self._ask(self._lanes[tenant])
            self._observer.appended(
                sum(len(append.receipts) for append in batch), len(batch), self._clock.monotonic() - started
            )
            self._pump_soon()

    def _told(self, lane: Lane, append: Append, outcome: Outcome) -> None:
        match outcome:
            case Appended():
                self._settle(lane, len(lane.sent))
                if append.snapshot is not None:
                    lane.tail_receipts = lane.tail_bytes = 0
                self._go_on(lane)
            case Conflict(missed=missed):
                self._observer.conflicted()
                self._catch_up_with(lane, missed, contended=True)
            case Duplicates(first=first, head=head):
                self._observer.duplicated(len(first))
                self._answer_duplicates(lane, first, head.seq)
            case Busy():
                self._mark_contended(lane)
                lane.resend()
                lane.conflicts += 1
                lane.status = "reconciling"
                self._spawn(self._go_on_later(lane))

    def _settle(self, lane: Lane, count: int) -> None:
        """The first receipts sent are durable: answer those who wait for them."""
        for item in lane.settle(count):
            receipt, pending = item.sealed.receipt, item.pending
            self._observer.sealed(receipt.type)
            self._observer.decided(item.command, receipt.type, item.sealed.reason)
            if pending is not None:
                self._answer(lane, pending, Answer(receipt, replayed=False))
        lane.conflicts = lane.failures = 0

    def _go_on(self, lane: Lane) -> None:
        lane.status = "live"
        if lane.decided:
            self._make_ready(lane)
        if lane.waiting:
            self._queue(lane)
        self._pump_soon()
        self._rest(lane)

    # ---- when another was first, or nothing can be said

    def _catch_up_with(self, lane: Lane, missed: tuple[Receipt, ...], *, contended: bool) -> None:
        """Receipts that the store holds after what the lane knew: its own first, then those of others."""
        assert lane.durable is not None
        own = 0
        while own < min(len(lane.sent), len(missed)) and lane.sent[own].sealed.receipt.hash == missed[own].hash:
            own += 1
        self._settle(lane, own)
        others = missed[own:]
        if not missed:
            self._observer.went_back(lane.tenant)
            self._reload(lane)
        elif not others:
            lane.resend()
            self._go_on(lane)
        else:
            if contended:
                self._mark_contended(lane)
                lane.conflicts += 1
            self._rewind(lane)
            lane.status = "reconciling"
            self._spawn(self._catch_up(lane, others))

    async def _catch_up(self, lane: Lane, receipts: tuple[Receipt, ...]) -> None:
        """Apply what others wrote, page by page, then decide again after a pause."""
        try:
            while receipts:
                assert lane.durable is not None
                lane.durable = lane.apply(receipts, lane.durable)
                if len(receipts) < PAGE_RECEIPTS:
                    break
                receipts = await self._store.receipts(lane.tenant, lane.durable.head.seq, PAGE_RECEIPTS)
        except StoreUnavailable:
            self._observer.store_failed("receipts")
            self._reload(lane)
            return
        except LedgerNewerThanCode as error:
            self._close_lane(lane, error)
            return
        if lane.conflicts:
            await asyncio.sleep(self._pause(lane.conflicts))
        self._go_on(lane)

    def _answer_duplicates(self, lane: Lane, first: dict[str, Receipt], head_seq: int) -> None:
        """The ledger holds some of these ids: answer them; everything else sent or decided is decided again."""
        assert lane.durable is not None
        own = {item.sealed.receipt.hash for item in lane.sent}
        behind = head_seq > lane.durable.head.seq
        self._rewind(lane)
        for pending in [each for each in lane.waiting if each.submission.command_id in first]:
            receipt = first[pending.submission.command_id]
            lane.waiting.remove(pending)
            self._answer_with(lane, pending, receipt, replayed=receipt.hash not in own)
        for receipt in first.values():
            lane.remember(receipt)
        if behind:
            lane.status = "reconciling"
            self._spawn(self._read_on(lane))
        else:
            self._go_on(lane)

    async def _read_on(self, lane: Lane) -> None:
        """Read and apply what the ledger holds after what the lane knows."""
        assert lane.durable is not None
        try:
            receipts = await self._store.receipts(lane.tenant, lane.durable.head.seq, PAGE_RECEIPTS)
        except StoreUnavailable:
            self._observer.store_failed("receipts")
            self._reload(lane)
            return
        await self._catch_up(lane, receipts)

    def _ask(self, lane: Lane) -> None:
        """Nothing was said of what the lane sent: the store is asked what it holds."""
        lane.status = "reconciling"
        lane.failures += 1
        self._spawn(self._read_back(lane))

    async def _read_back(self, lane: Lane) -> None:
        """
        A stored receipt with our hash is ours. Absence proves nothing: the same bytes are sent again, until they are
        stored, another receipt holds the place, or nobody waits any more.
        """
        assert lane.durable is not None
        while True:
            await asyncio.sleep(self._pause(lane.failures))
            if not self._wanted(lane):
                self._reload(lane)
                return
            try:
                stored = await self._store.receipts(lane.tenant, lane.durable.head.seq, PAGE_RECEIPTS)
            except StoreUnavailable:
                self._observer.store_failed("receipts")
                lane.failures += 1
                continue
            if stored:
                self._catch_up_with(lane, stored, contended=False)
            else:
                lane.resend()
                self._go_on(lane)
            return

    def _wanted(self, lane: Lane) -> bool:
        """Whether somebody waits for what was sent and may be lost; a timer's receipt comes again by itself."""
        return any(item.pending is not None and item.pending.waiters for item in lane.sent)

    def _rewind(self, lane: Lane) -> None:
        """Nothing that was decided is durable: the commands that someone waits for are decided again."""
        for pending in lane.rewind():
            self._forget(lane, pending)

    async def _go_on_later(self, lane: Lane) -> None:
        await asyncio.sleep(self._pause(lane.conflicts))
        self._go_on(lane)

    def _pause(self, tries: int) -> float:
        """Seconds: doubling with full jitter."""
        ceiling = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2.0 ** min(tries, 16))
        return ceiling * int.from_bytes(self._entropy.bytes(4), "big") / 2.0**32

    def _mark_contended(self, lane: Lane) -> None:
        for item in lane.sent:
            if item.pending is not None:
                item.pending.unknown = False
                item.pending.contended = True

    # ---- loading

    async def _load(self, lane: Lane) -> None:
        """Read the ledger; commands wait meanwhile, each no longer than its deadline."""
        tries = 0
        while True:
            try:
                async with self._loads:
                    started = self._clock.monotonic()
                    ledger = await self._store.read(lane.tenant)
                durable = await self._rebuild(lane, ledger)
                break
            except StoreUnavailable as error:
                self._observer.store_failed("read")
                if not (lane.waiting or lane.readers):
                    self._close_lane(lane, error)
                    return
                tries += 1
                await asyncio.sleep(self._pause(tries))
            except TaiError as error:
                self._close_lane(lane, error)
                return
        self._observer.loaded(lane.tail_receipts, self._clock.monotonic() - started)
        lane.durable = durable
        if lane.opened is not None:
            lane.opened.set_result(None)
            lane.opened = None
        self._go_on(lane)

    async def _rebuild(self, lane: Lane, ledger: Ledger | None) -> Durable:
        """Snapshot and tail to state; without a usable snapshot, every receipt from the first."""
        lane.tail_receipts = lane.tail_bytes = 0
        durable = Durable(INITIAL_STATE, new_ledger(self._entropy))
        if ledger is None:
            return durable
        if (snapshot := ledger.snapshot) is None:
            return lane.apply(ledger.receipts, durable)
        if (state := state_of(snapshot)) is not None:
            head = Head(snapshot.ledger, snapshot.seq, snapshot.hash, snapshot.time)
            return lane.apply(ledger.receipts, Durable(state, head))
        while receipts := await self._store.receipts(lane.tenant, durable.head.seq, PAGE_RECEIPTS):
            durable = lane.apply(receipts, durable)
        return durable

    def _reload(self, lane: Lane) -> None:
        """Forget what is not durable in memory and read the ledger anew; the commands wait."""
        self._rewind(lane)
        lane.durable, lane.status = None, "loading"
        lane.opened = asyncio.get_running_loop().create_future()
        lane.recent.clear()
        self._spawn(self._load(lane))

    def _close_lane(self, lane: Lane, error: TaiError) -> None:
        """The ledger cannot be used: everyone who waits is told, and the next call tries anew."""
        self._observer.failed("load", error)
        self._rewind(lane)
        self._fail_waiting(lane, error)
        if lane.opened is not None:
            lane.opened.set_exception(error)
            lane.opened.exception()
        self._lanes.pop(lane.tenant, None)
        lane.status = "live"
        self._rest(lane)

    # ---- answering

    def _answer(self, lane: Lane, pending: Pending, answer: Answer) -> None:
        self._forget(lane, pending)
        for waiter in pending.waiters:
            if not waiter.done():
                waiter.set_result(answer)

    def _fail(self, lane: Lane, pending: Pending, error: Exception) -> None:
        self._forget(lane, pending)
        _tell(pending, error)

    def _fail_waiting(self, lane: Lane, error: Exception) -> None:
        waiting, lane.waiting = lane.waiting, []
        for pending in waiting:
            self._fail(lane, pending, error)

    def _answer_with(self, lane: Lane, pending: Pending, receipt: Receipt, *, replayed: bool) -> None:
        """Answer with a receipt that the ledger holds, if it is of the same request."""
        if request_of(receipt) != pending.submission.request:
            self._fail(lane, pending, IdempotencyKeyReused("this key belongs to a command with other content"))
            return
        self._observer.decided(name_of(pending.submission.command), "replayed", "")
        self._answer(lane, pending, Answer(receipt, replayed))

    async def _answer_stored(self, lane: Lane, pending: Pending, seq: int) -> None:
        try:
            receipt = await self._stored(lane.tenant, seq)
        except Unavailable as error:
            self._fail(lane, pending, error)
        else:
            self._answer_with(lane, pending, receipt, replayed=True)
        self._rest(lane)

    async def _stored(self, tenant: str, seq: int) -> Receipt:
        receipt = await self._store.receipt(tenant, seq)
        if receipt is None:
            raise StoreUnavailable(f"receipt {seq} of {tenant} cannot be read back")
        return receipt

    async def _replay(self, submission: Submission, receipt: Receipt) -> Answer:
        if request_of(receipt) != submission.request:
            raise IdempotencyKeyReused("this key belongs to a command with other content")
        self._observer.decided(name_of(submission.command), "replayed", "")
        return Answer(receipt, replayed=True)

    # ---- deadlines and background work

    def _sweep(self) -> None:
        """Nobody waits longer than the deadline; what each is told depends on what is known of the command."""
        self._sweeping = None
        now = self._clock.monotonic()
        for lane in tuple(self._working.values()):
            if any(pending.deadline <= now for pending in lane.ids.values()):
                self._expire(lane, now)
        if self._working:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def _expire(self, lane: Lane, now: float) -> None:
        for item in lane.sent:
            if item.pending is not None and item.pending.deadline <= now:
                _tell(item.pending, late(item.pending))
        if any(item.pending is not None and item.pending.deadline <= now for item in lane.decided):
            lane.rewind_unsent()
            self._queue(lane)
        for pending in [each for each in lane.waiting if each.deadline <= now]:
            lane.waiting.remove(pending)
            self._fail(lane, pending, late(pending))
        self._rest(lane)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observer.failed("corridor", error)


class _Newcomers:
    """How many ledgers each caller began in the current minute; bounds what one caller can make grow."""

    def __init__(self, per_minute_max: int) -> None:
        self._per_minute_max = per_minute_max
        self._minute = 0
        self._begun: dict[str, int] = {}

    def admit(self, caller: str, monotonic_seconds: float) -> None:
        """Raises Overloaded."""
        minute = int(monotonic_seconds // 60)
        if minute != self._minute:
            self._minute, self._begun = minute, {}
        begun = self._begun.get(caller, 0)
        if begun >= self._per_minute_max:
            wait = 60 - int(monotonic_seconds % 60)
            raise Overloaded("rate_limited", "too many new tenants in this minute", retry_after_seconds=wait)
        self._begun[caller] = begun + 1


def timer_id(timer: EntitlementTimer) -> str:
    """The same wherever the timer is decided, so that a second instance's word on it is a duplicate."""
    return f"timer:entitlement/{timer.entitlement_id}:{timer.kind}:{timer.due}"


def late(pending: Pending) -> Unavailable:
    """What a caller is told whose deadline passed before its command was sent, or after it was withdrawn."""
    if pending.unknown:
        return OutcomeUnknown("the store has not answered: repeat with the same key")
    if pending.contended:
        return ConcurrentWrite("other writers were first until the deadline passed")
    return StoreUnavailable("the store did not take the command in time")


def request_of(receipt: Receipt) -> str | None:
    """The digest of the request that the receipt answered."""
    request = orjson.loads(receipt.body)["cause"].get("request")
    return request if isinstance(request, str) else None


def _tell(pending: Pending, error: Exception) -> None:
    """Nobody waits any more; the id stays in flight until its fate is known."""
    for waiter in pending.waiters:
        if not waiter.done():
            waiter.set_exception(error)
    pending.waiters.clear()
