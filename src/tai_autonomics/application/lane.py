"""
A lane: one tenant's commands in order, its state in memory, and what is on its way to the store.

    waiting --decide--> decided --take--> sent --settle--> durable
       ^                    |               |
       +------rewind--------+---------------+     (another writer was first: decide again on what it left)

Status: loading (the ledger is being read), live (commands are decided at once), reconciling (the store must be asked
what it holds before anything is decided), closed (the ledger cannot be used; the next call gets another lane).
"""

from asyncio import Future
from itertools import islice
from math import inf
from typing import Literal

from msgspec import Struct

from tai_autonomics.application.codec import events_of
from tai_autonomics.application.ports import Span
from tai_autonomics.application.sealing import Sealed, Submission
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.tenant import TenantState, evolve
from tai_autonomics.ledger.records import Append, Due, DueKey, Head, Receipt, Snapshot


class Answer(Struct, frozen=True, gc=False):
    """The receipt of a command. `replayed` says that an earlier call with the same id was decided, not this one."""

    receipt: Receipt
    replayed: bool


class Pending:
    """A command in its lane, and the callers who wait for it, each no longer than its own deadline."""

    __slots__ = ("contended", "counted", "deadline", "submission", "waiters")

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.waiters: dict[Future[Answer], float] = {}
        """Each with its deadline, in monotonic seconds."""
        self.deadline = inf
        """The earliest of them."""
        self.contended = False
        """Its appends came back, and only as Conflict or Busy."""
        self.counted: BudgetUse | None = None
        """What was asked before it under the tenant's throttle: it is counted once, however often it is decided."""

    def wait(self, waiter: "Future[Answer]", deadline: float) -> None:
        self.waiters[waiter] = deadline
        self.deadline = min(self.deadline, deadline)

    def expired(self, now: float) -> bool:
        """Whether everyone who waited has waited long enough."""
        return bool(self.waiters) and max(self.waiters.values()) <= now

    def tell(self, error: BaseException, *, late: float = inf) -> None:
        """Those whose deadline has come by `late` hear the error and wait no more."""
        for waiter in [waiter for waiter, deadline in self.waiters.items() if deadline <= late]:
            del self.waiters[waiter]
            if not waiter.done():
                waiter.set_exception(error)
        self.deadline = min(self.waiters.values(), default=inf)


class Decided(Struct, frozen=True, gc=False):
    """A sealed decision and who waits for it: nobody, where a timer caused it."""

    sealed: Sealed
    pending: Pending | None
    command: str


class Durable(Struct, frozen=True, gc=False):
    """What the store is known to hold of a tenant. `head.seq` is 0 for a ledger that does not exist yet."""

    state: TenantState
    head: Head


class Lane:
    """One tenant's place in the corridor. Only the corridor touches it, on the event loop."""

    __slots__ = (
        "confirmed_at",
        "conflicts",
        "decided",
        "doubted",
        "durable",
        "failures",
        "ids",
        "opened",
        "outcome",
        "queued",
        "readers",
        "ready",
        "sent",
        "status",
        "tail_bytes",
        "tail_receipts",
        "tenant",
        "waiting",
        "woken",
    )

    def __init__(self, tenant: str, opened: "Future[None]") -> None:
        self.tenant = tenant
        self.status: Literal["loading", "live", "reconciling", "closed"] = "loading"
        self.opened: Future[None] | None = opened
        """Done when the ledger has been read; None from then on."""
        self.durable: Durable | None = None
        self.confirmed_at = -inf
        """When, in monotonic seconds, the durable state was last known to be all that the store holds."""
        self.ids: dict[str, Pending] = {}
        """Every command of the lane by its id: waiting, decided, sent, or being answered from the store."""
        self.waiting: list[Pending] = []
        self.decided: list[Decided] = []
        self.sent: list[Decided] = []
        self.doubted = 0
        """How many of those sent and decided, from the first, were in an append of which nothing could be said."""
        self.tail_receipts = 0
        self.tail_bytes = 0
        self.conflicts = 0
        """Conflicts in a row; while there are any, the lane decides no more than one append ahead."""
        self.failures = 0
        """Appends in a row of which nothing could be said."""
        self.outcome: Future[None] | None = None
        """While the head is held: done when the append under way has its outcome, or there is nothing to append."""
        self.readers = 0
        self.woken = False
        """Whether its due timers are to be decided though no command waits."""
        self.queued = False
        self.ready = False

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting the lane."""
        busy = self.ids or self.decided or self.sent or self.readers or self.woken or self.queued
        return not busy and self.status in ("live", "closed")

    @property
    def held_back(self) -> bool:
        """Whether it must not decide ahead of what it has under way."""
        return bool(self.conflicts and (self.sent or self.decided))

    @property
    def unsent(self) -> list[Decided]:
        """The decisions that no append carried, unless it is known to have stored nothing."""
        return self.decided[max(self.doubted - len(self.sent), 0) :]

    @property
    def doubtful(self) -> list[Decided]:
        """The decisions that may be stored."""
        return [*self.sent, *self.decided[: max(self.doubted - len(self.sent), 0)]]

    @property
    def spans_sent(self) -> list[Span]:
        """Of those who asked for what is sent, as far as they are recorded."""
        asked = [item.pending.submission for item in self.sent if item.pending is not None]
        return [submission.span for submission in asked if submission.span is not None]

    def tell_outcome(self) -> None:
        """The append under way has its outcome, or there is none."""
        if self.outcome is not None:
            self.outcome.set_result(None)
            self.outcome = None

    def give_up(self, error: BaseException) -> None:
        """Its ledger is not read any more: those who wait for that hear the error."""
        if self.opened is not None and not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()  # perhaps nobody waits

    def tip(self, durable: Durable) -> tuple[TenantState, Head | Receipt]:
        """State and head that will be, once all that is decided is durable."""
        last = self.decided[-1] if self.decided else self.sent[-1] if self.sent else None
        return (durable.state, durable.head) if last is None else (last.sealed.state, last.sealed.receipt)

    def take(self, *, receipts_max: int, bytes_max: int) -> int:
        """Move what one append may hold from decided to sent, at least one receipt; how many bytes that is."""
        count = size = 0
        for item in islice(self.decided, receipts_max):
            item_size = size_of(item.sealed)
            if count and size + item_size > bytes_max:
                break
            size += item_size
            count += 1
        self.sent, self.decided = self.decided[:count], self.decided[count:]
        return size

    def settle(self, count: int) -> list[Decided]:
        """The first `count` of those sent and decided are durable: move the state on, and return them."""
        if (more := count - len(self.sent)) > 0:
            self.sent, self.decided = self.sent + self.decided[:more], self.decided[more:]
        settled, self.sent = self.sent[:count], self.sent[count:]
        if settled:
            self.doubted = max(self.doubted - count, 0)
            self.tail_receipts += count
            self.tail_bytes += sum([len(item.sealed.receipt.body) for item in settled])
            self.durable = Durable(settled[-1].sealed.state, head_of(settled[-1].sealed.receipt))
            self.conflicts = self.failures = 0
        return settled

    def next_waiting(self, count: int) -> list[Pending]:
        """The commands whose turn it is."""
        commands, self.waiting = self.waiting[:count], self.waiting[count:]
        return commands

    def apply(self, receipts: tuple[Receipt, ...], durable: Durable) -> Durable:
        """What is durable after receipts that another writer made, or that were read at the start, in order."""
        self.tail_receipts += len(receipts)
        self.tail_bytes += sum([len(receipt.body) for receipt in receipts])
        return after(receipts, durable)

    def rewind(self) -> list[Pending]:
        """Take back every decision that is not durable; returns the commands that nobody waits for, the rest waits."""
        undone = self._take_back([*self.sent, *self.decided])
        self.sent, self.decided, self.doubted = [], [], 0
        self.waiting = [pending for pending in undone if pending.waiters] + self.waiting
        return [pending for pending in undone if not pending.waiters]

    def rewind_unsent(self) -> None:
        """Take back the decisions that no append carried; their commands wait."""
        unsent = self.unsent
        del self.decided[len(self.decided) - len(unsent) :]
        self.waiting = self._take_back(unsent) + self.waiting

    def _take_back(self, undone: list[Decided]) -> list[Pending]:
        commands = [item.pending for item in undone if item.pending is not None]
        # A timer that was decided is due again.
        self.woken = self.woken or len(commands) < len(undone)
        return commands

    def resend(self) -> None:
        """What was sent is to be sent again, the same bytes."""
        self.decided, self.sent = self.sent + self.decided, []


def after(receipts: tuple[Receipt, ...], durable: Durable) -> Durable:
    """Raises LedgerNewerThanCode."""
    state = durable.state
    for receipt in receipts:
        state = fold(evolve, state, events_of(receipt))
    return Durable(state, head_of(receipts[-1])) if receipts else durable


def size_of(sealed: Sealed) -> int:
    """What an append carries of it: the receipt's bytes and its parts'."""
    size = len(sealed.receipt.body)
    return size + sum([len(part.text) for part in sealed.parts]) if sealed.parts else size


def head_of(receipt: Receipt) -> Head:
    return Head(receipt.ledger, receipt.seq, receipt.hash, receipt.time)


def append_of(lane: Lane, durable: Durable, snapshot: Snapshot | None) -> Append:
    """What the store is asked to add: all that the lane has sent, in one piece."""
    sealed = [item.sealed for item in lane.sent]
    due: dict[tuple[str, str], Due | DueKey] = {}
    for each in sealed:
        due.update(each.due)
    return Append(
        tenant=lane.tenant,
        expected_seq=durable.head.seq,
        expected_hash=durable.head.hash,
        receipts=tuple([each.receipt for each in sealed]),
        parts=tuple([part for each in sealed for part in each.parts]),
        erasures=tuple([erasure for each in sealed for erasure in each.erasures]),
        snapshot=snapshot,
        due=tuple([row for row in due.values() if isinstance(row, Due)]) if due else (),
        settled=tuple([row for row in due.values() if isinstance(row, DueKey)]) if due else (),
    )
