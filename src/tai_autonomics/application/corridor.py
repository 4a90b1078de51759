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
from collections.abc import Callable
from math import inf
from typing import Final

from msgspec import Struct

from tai_autonomics.application.asking import Asking
from tai_autonomics.application.background import Background
from tai_autonomics.application.callers import Callers
from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.codec import STATE_VERSION, state_to_bytes
from tai_autonomics.application.lane import Answer, Decided, Durable, Lane, Pending, after, append_of
from tai_autonomics.application.newcomers import Newcomers
from tai_autonomics.application.ports import Entropy, Observer, Span, Store, Tracer
from tai_autonomics.application.recent import RecentIds
from tai_autonomics.application.reconciling import Reconciling
from tai_autonomics.application.sealing import Submission, action_id_after, seal_decision
from tai_autonomics.application.throttling import Throttles
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.quota import Consume
from tai_autonomics.domain.tenant import (
    Bounds,
    Restore,
    TenantState,
    TimerCommand,
    decide,
    name_of,
    next_timer,
    subject_of,
    throttle_in_force,
)
from tai_autonomics.errors import ClockUntrusted, Draining, Overloaded, StoreUnavailable
from tai_autonomics.ledger.records import Append, Appended, Busy, Conflict, Due, Duplicates, Outcome, Receipt, Snapshot

__all__ = ["Answer", "Corridor", "CorridorBounds", "Durable", "Entered", "Submission"]

SLICE_SECONDS: Final = 0.002
"""Deciding yields the event loop after this long."""
SWEEP_SECONDS: Final = 0.1
"""How often deadlines are looked at."""
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
    recent_ids_max: int = 200_000
    """No setting: about 200 bytes each, over all tenants."""


class Entered:
    """A command in its lane, and one caller who waits for it."""

    __slots__ = ("_gone", "_lane", "_pending", "_submission", "_waiter")

    def __init__(
        self,
        lane: Lane,
        pending: Pending,
        submission: Submission,
        deadline: float,
        gone: "Callable[[Lane, Pending, Future[Answer]], None]",
    ) -> None:
        self._lane, self._pending, self._submission, self._gone = lane, pending, submission, gone
        self._waiter: Future[Answer] = asyncio.get_running_loop().create_future()
        pending.wait(self._waiter, deadline)

    async def answer(self) -> Answer:
        """Its receipt, durable. Raises what `Corridor.submit` raises."""
        answer = await self._waiter
        return answer if self._pending.submission is self._submission else Answer(answer.receipt, replayed=True)

    def leave(self) -> None:
        """The caller waits no more: a command that is not yet decided, and that nobody waits for, is withdrawn."""
        self._gone(self._lane, self._pending, self._waiter)


class Corridor:
    """Close it with `close`. Everything runs on one event loop."""

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
        throttles: Throttles,
        tracer: Tracer | None = None,
    ) -> None:
        self._store, self._clock, self._entropy, self._observer = store, clock, entropy, observer
        self._tracer = tracer
        self._plans, self._domain_bounds, self._bounds = plans, domain_bounds, bounds
        self._throttles = throttles
        self._lanes: OrderedDict[str, Lane] = OrderedDict()
        self._working: dict[str, Lane] = {}
        self._undecided: deque[Lane] = deque()
        self._ready: deque[Lane] = deque()
        self._appends = 0
        self._pumping = self._draining = self._closed = False
        self._idle: Future[None] | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._on_due: Callable[[str, tuple[Due, ...]], None] = _leave
        self._asking = Asking(clock, observer)
        self._newcomers = Newcomers(bounds.new_ledgers_per_minute_max)
        self._background = Background(observer)
        self._recent = RecentIds(ids_max=bounds.recent_ids_max)
        self._callers = Callers(
            store,
            observer,
            self._recent,
            lane_waiting_max=bounds.lane_waiting_max,
            waiting_max=bounds.waiting_max,
        )
        self._reconciling = Reconciling(
            store,
            clock=clock,
            entropy=entropy,
            observer=observer,
            callers=self._callers,
            recent=self._recent,
            background=self._background,
            go_on=self._go_on,
            gone=self._gone,
        )

    # ---- the ways in

    async def submit(self, submission: Submission, *, timeout_seconds: float) -> Answer:
        """
        Decide a command and return its receipt, durable.

        A repeat of a claimed command id gets the first receipt. Raises IdempotencyKeyReused for a repeat with other
        content, Overloaded when a bound is met, and Unavailable: ConcurrentWrite and StoreUnavailable when the command
        was withdrawn undecided, OutcomeUnknown when its receipt may be stored. Cancelling the call withdraws a command
        that is not yet decided and changes nothing for one that is.
        """
        entered = self.enter(submission, timeout_seconds=timeout_seconds)
        try:
            return await entered.answer()
        except asyncio.CancelledError:
            entered.leave()
            raise

    def enter(self, submission: Submission, *, timeout_seconds: float) -> Entered:
        """
        The first half of `submit`, for whoever has several commands: they share few appends, and need no task each.

        Raises IdempotencyKeyReused and Overloaded.
        """
        if self._draining:
            raise Draining("the service is stopping")
        if submission.tenant not in self._lanes:
            self._callers.find_room(submission)
        lane = self._lane_of(submission.tenant)
        pending = self._callers.enter(lane, submission)
        entered = Entered(lane, pending, submission, self._clock.monotonic() + timeout_seconds, self._left)
        self._queue(lane)
        return entered

    def _left(self, lane: Lane, pending: Pending, waiter: "Future[Answer]") -> None:
        self._callers.leave(lane, pending, waiter)
        self._rest(lane)

    async def durable(self, tenant: str, *, timeout_seconds: float = 10.0) -> Durable:
        """The tenant's durable state; reads the ledger when its lane is cold. Raises Unavailable."""
        if self._closed:
            raise Draining("the service has stopped")
        lane = self._lane_of(tenant)
        return lane.durable or await self._opened(lane, timeout_seconds)

    async def _opened(self, lane: Lane, timeout_seconds: float) -> Durable:
        lane.readers += 1
        try:
            async with asyncio.timeout(timeout_seconds):
                while (durable := lane.durable) is None:
                    assert lane.opened is not None, "a lane without a state is being read"
                    await asyncio.shield(lane.opened)
        except TimeoutError as error:
            raise StoreUnavailable("the ledger could not be read in time") from error
        finally:
            lane.readers -= 1
            self._rest(lane)
        return durable

    def has_lane(self, tenant: str) -> bool:
        """Whether its ledger was read, or is being read."""
        return tenant in self._lanes

    def tenants(self) -> tuple[str, ...]:
        """Those that have a lane."""
        return tuple(self._lanes)

    def known(self, tenant: str) -> Durable | None:
        """Its durable state, where that is in memory; its lane grows no younger by it."""
        lane = self._lanes.get(tenant)
        return None if lane is None else lane.durable

    def confirmed_at(self, tenant: str) -> float:
        """When, in monotonic seconds, its durable state was last known to be all that the store holds."""
        lane = self._lanes.get(tenant)
        return -inf if lane is None else lane.confirmed_at

    def confirm(self, tenant: str, durable: Durable, asked: float) -> None:
        """The store, asked then, held nothing after it."""
        lane = self._lanes.get(tenant)
        if lane is not None and lane.durable is durable:
            lane.confirmed_at = max(lane.confirmed_at, asked)

    def adopt(self, tenant: str, durable: Durable, receipts: tuple[Receipt, ...]) -> Durable:
        """What is durable after receipts of another writer; its lane goes on from there, unless it is at work."""
        lane = self._lanes.get(tenant)
        if lane is None or lane.durable is not durable or lane.status != "live" or lane.sent or lane.decided:
            return after(receipts, durable)
        lane.durable = lane.apply(receipts, durable)
        for receipt in receipts:
            self._recent.add(receipt)
        return lane.durable

    async def reread(self, tenant: str, durable: Durable) -> Durable:
        """What is durable by the store's own word; a lane at work, or one that is further, stays as it is."""
        lane = self._lanes.get(tenant)
        if lane is not None and lane.durable is durable and lane.idle:
            self._recent.forget(tenant)
            del self._lanes[tenant]
        return await self.durable(tenant)

    def on_due(self, told: Callable[[str, tuple[Due, ...]], None]) -> None:
        """`told` hears, in the moment they are durable, of the rows that an append of this instance sets."""
        self._on_due = told

    def wake(self, tenant: str) -> None:
        """Let the tenant's due timers be decided, though nobody calls. Raises Overloaded."""
        if not self._draining:
            lane = self._lane_of(tenant)
            lane.woken = True
            self._queue(lane)

    async def close(self, *, timeout_seconds: float) -> bool:
        """Take no new command, finish those in flight, and tell who still waits; whether all of them ended in time."""
        self._draining = True
        finished = True
        if self._working and not self._closed:
            self._idle = asyncio.get_running_loop().create_future()
            finished = bool((await asyncio.wait({self._idle}, timeout=timeout_seconds))[0])
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._background.close()
        for lane in self._working.values():
            self._callers.expire(lane)
        for lane in self._lanes.values():
            lane.give_up(Draining("the service is stopping"))
        return finished

    @property
    def lanes(self) -> int:
        return len(self._lanes)

    @property
    def waiting(self) -> int:
        """Commands that are not durable yet."""
        return self._callers.waiting

    # ---- lanes

    def _lane_of(self, tenant: str) -> Lane:
        lane = self._lanes.get(tenant)
        if lane is not None:
            self._lanes.move_to_end(tenant)
            return lane
        if len(self._lanes) >= self._bounds.lanes_max:
            self._forget_one()
        lane = self._lanes[tenant] = Lane(tenant, asyncio.get_running_loop().create_future())
        self._reconciling.load(lane)
        return lane

    def _forget_one(self) -> None:
        for tenant, lane in self._lanes.items():
            if lane.idle:
                del self._lanes[tenant]
                return
        raise Overloaded("overloaded", "every lane has work")

    def _gone(self, lane: Lane) -> None:
        """Its ledger cannot be used: the next call opens another lane."""
        if self._lanes.get(lane.tenant) is lane:
            del self._lanes[lane.tenant]
        self._rest(lane)

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
        if not (lane.sent or lane.decided or lane.waiting):
            lane.tell_outcome()
        if lane.idle and self._working.get(lane.tenant) is lane:
            del self._working[lane.tenant]
            if not self._working and self._idle is not None and not self._idle.done():
                self._idle.set_result(None)

    def _go_on(self, lane: Lane) -> None:
        lane.status = "live"
        if lane.decided:
            self._make_ready(lane)
        if lane.waiting or lane.woken:
            self._queue(lane)
        self._pump_soon()
        self._rest(lane)

    def _sweep(self) -> None:
        """Nobody waits longer than the deadline."""
        self._sweeping = None
        now = self._clock.monotonic()
        for lane in tuple(self._working.values()):
            if any(pending.deadline <= now for pending in lane.ids.values()):
                self._callers.expire(lane, now)
                self._queue(lane)
        if self._working and self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    # ---- deciding

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Decide for a slice of time, hand what is decided to the store, and come back if something is left."""
        self._pumping = False
        if self._closed:
            return
        until = self._clock.monotonic() + SLICE_SECONDS
        try:
            now = self._clock.now()
        except ClockUntrusted as error:
            self._refuse_undecided(error)
        else:
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
            lane.queued = lane.woken = False
            self._callers.fail_waiting(lane, error)
            self._rest(lane)

    def _decide_some(self, lane: Lane, now: Moment) -> None:
        """One turn of a lane, as much as one append holds: its due timers, and then its commands."""
        durable = lane.durable
        if lane.status == "live" and durable is not None and not lane.held_back:
            try:
                now = self._clock.next_time(now, lane.tip(durable)[1].time)
                self._decide_restore(lane, durable, now)
                if self._decide_timers(lane, durable, now):
                    for pending in lane.next_waiting(self._store.bounds.receipts_per_tenant_max):
                        self._decide_command(lane, durable, pending, now)
            except Exception as error:  # noqa: BLE001  # one tenant's fault must not stop the others
                self._observer.failed("decide", error)
                lane.woken = False
                self._callers.fail_waiting(lane, error)
            if lane.decided:
                self._make_ready(lane)
            if (lane.waiting or lane.woken) and not lane.held_back:
                self._queue(lane)
        self._rest(lane)

    def _decide_restore(self, lane: Lane, durable: Durable, now: Moment) -> None:
        """That a ledger was restored is said before time passes on in it."""
        if lane.waiting and isinstance(lane.waiting[0].submission.command, Restore):
            (pending,) = lane.next_waiting(1)
            self._decide_command(lane, durable, pending, now)

    def _decide_timers(self, lane: Lane, durable: Durable, now: Moment) -> bool:
        """Time first: the timers due by now, in due order, each with its own receipt; whether that was all of them."""
        for _ in range(self._store.bounds.receipts_per_tenant_max):
            due = next_timer(lane.tip(durable)[0], now)
            if due is None:
                lane.woken = False
                return True
            submission = Submission(lane.tenant, due, timer_id(due), TIMER, TIMER)
            self._decide(lane, durable, submission, now, None)
        return False

    def _decide_command(self, lane: Lane, durable: Durable, pending: Pending, now: Moment) -> None:
        submission = pending.submission
        if seq := self._recent.seq_of(lane.tenant, submission.command_id):
            self._background.spawn(self._replay(lane, pending, seq))
            return
        try:
            if lane.tip(durable)[1].seq == 0:
                self._newcomers.admit(submission.by, self._clock.monotonic())
            self._decide(lane, durable, submission, now, pending)
        except Overloaded as error:
            self._callers.fail(lane, pending, error)
        except Exception as error:  # noqa: BLE001  # one command's fault must not stop the lane
            self._observer.failed("decide", error)
            self._callers.fail(lane, pending, error)

    def _decide(
        self, lane: Lane, durable: Durable, submission: Submission, now: Moment, pending: Pending | None
    ) -> None:
        state, head = lane.tip(durable)
        plans = self._plans()
        started = 0.0 if submission.span is None else self._clock.monotonic()
        decision = decide(
            submission.command,
            state,
            now=now,
            plans=plans,
            bounds=self._domain_bounds,
            action_id=action_id_after(head),
            counted=None if pending is None else self._counted(pending, state, now),
            ask=self._asking.next(),
        )
        sealed = seal_decision(
            submission, decision, state=state, head=head, now=now, policy=plans.digest, entropy=self._entropy
        )
        # Before it is decided, so that a fault of ours is not written down.
        assert pending is not None or sealed.receipt.type != "refusal", f"a due timer was refused: {sealed.receipt!r}"
        name = name_of(submission.command)
        lane.decided.append(Decided(sealed, pending, name))
        if submission.span is not None:
            seconds = self._clock.monotonic() - started
            submission.span.decided(name, sealed.receipt, seconds, leads_on=bool(sealed.due))

    def _counted(self, pending: Pending, state: TenantState, now: Moment) -> BudgetUse | None:
        """What was asked of this instance before a consume, while its tenant is throttled."""
        submission = pending.submission
        if pending.counted is None and isinstance(submission.command, Consume):
            throttle = throttle_in_force(state, now)
            if throttle is not None:
                pending.counted = self._throttles.ask(submission.tenant, throttle, now)
        return pending.counted

    async def _replay(self, lane: Lane, pending: Pending, seq: int) -> None:
        await self._callers.replay_stored(lane, pending, seq)
        self._rest(lane)

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
                self._background.spawn(self._append(batch))

    def _next_batch(self) -> list[tuple[Lane, Append]]:
        """What the ready lanes have decided, in turns, within the bounds of one append."""
        bounds, per_tenant = self._bounds, self._store.bounds
        batch: list[tuple[Lane, Append]] = []
        receipts = size = 0
        while self._ready and receipts < bounds.append_receipts_max and size < bounds.append_bytes_max:
            lane = self._ready.popleft()
            lane.ready = False
            if not lane.decided or lane.sent or lane.durable is None:
                continue
            taken = min(per_tenant.receipts_per_tenant_max, bounds.append_receipts_max - receipts)
            lane_size = lane.take(receipts_max=taken, bytes_max=per_tenant.bytes_per_tenant_max)
            size += lane_size
            receipts += len(lane.sent)
            batch.append((lane, append_of(lane, lane.durable, self._snapshot_of(lane, lane_size))))
        return batch

    def _snapshot_of(self, lane: Lane, sent_bytes: int) -> Snapshot | None:
        receipts, size = lane.tail_receipts + len(lane.sent), lane.tail_bytes + sent_bytes
        if receipts < self._bounds.snapshot_receipts and size < self._bounds.snapshot_bytes:
            return None
        last = lane.sent[-1].sealed
        receipt = last.receipt
        state = state_to_bytes(last.state)
        return Snapshot(receipt.seq, receipt.ledger, receipt.hash, receipt.time, STATE_VERSION, state)

    async def _append(self, batch: list[tuple[Lane, Append]]) -> None:
        started = self._clock.monotonic()
        span = None if self._tracer is None else _carrying(self._tracer, batch)
        untold = {append.tenant: lane for lane, append in batch}

        def tell(append: Append, outcome: Outcome) -> None:
            lane = untold[append.tenant]
            self._told(lane, append, outcome)
            del untold[append.tenant]
            if isinstance(outcome, Appended):
                lane.confirmed_at = max(lane.confirmed_at, started)

        try:
            await self._store.append([append for _, append in batch], tell)
        except StoreUnavailable:
            self._observer.store_failed("append")
        finally:
            self._appends -= 1
            if span is not None:
                span.end("nothing can be said of some" if untold else "")
            for lane in untold.values():
                self._reconciling.ask(lane)
            self._observer.appended(
                sum(len(append.receipts) for _, append in batch), len(batch), self._clock.monotonic() - started
            )
            self._pump_soon()

    def _told(self, lane: Lane, append: Append, outcome: Outcome) -> None:
        lane.tell_outcome()
        match outcome:
            case Appended():
                self._callers.settle(lane, len(lane.sent))
                if append.snapshot is not None:
                    lane.tail_receipts = lane.tail_bytes = 0
                self._go_on(lane)
                if append.due:
                    self._on_due(lane.tenant, append.due)
            case Conflict(missed=missed):
                self._reconciling.conflict(lane, missed)
            case Duplicates(first=first, head=head):
                self._reconciling.duplicates(lane, first, head)
            case Busy():
                self._reconciling.busy(lane)


def _carrying(tracer: Tracer, batch: list[tuple[Lane, Append]]) -> Span | None:
    """The span of an append, where somebody's is recorded that it carries."""
    carried = [span for lane, _ in batch for span in lane.spans_sent]
    return tracer.append(carried, sum(len(append.receipts) for _, append in batch)) if carried else None


def _leave(tenant: str, rows: tuple[Due, ...]) -> None:
    """The store hands them out when they are due."""


def timer_id(timer: TimerCommand) -> str:
    """The same wherever the timer is decided, so that a second instance's word on it is a duplicate."""
    return f"timer:{subject_of(timer)}:{timer.kind}:{timer.due}"
