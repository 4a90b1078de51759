"""
A lane: one tenant's commands in order, its state in memory, and what is on its way to the store.

    waiting --decide--> decided --take--> sent --settle--> durable
       ^                    |               |
       +------rewind--------+---------------+     (another writer was first: decide again on what it left)

Status: loading (the ledger is being read), live (commands are decided at once), reconciling (the store must be asked
what it holds before anything is decided).
"""

from asyncio import Future
from itertools import islice
from typing import Final, Literal

from msgspec import Struct

from tai_autonomics.application.codec import events_of
from tai_autonomics.application.sealing import Sealed, Submission
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.tenant import TenantState, evolve
from tai_autonomics.ledger.records import Append, Due, DueKey, Head, Receipt, Snapshot

RECENT_IDS_MAX: Final = 1024
"""Durable command ids that a lane remembers; for older ones the store is asked by the append itself."""


class Answer(Struct, frozen=True, gc=False):
    """The receipt of a command. `replayed` says that an earlier call with the same id was decided, not this one."""

    receipt: Receipt
    replayed: bool


class Pending:
    """A command that someone waits for."""

    __slots__ = ("contended", "deadline", "submission", "unknown", "waiters")

    def __init__(self, submission: Submission, deadline: float) -> None:
        self.submission = submission
        self.deadline = deadline
        """Monotonic seconds after which nobody waits any more."""
        self.waiters: list[Future[Answer]] = []
        self.unknown = False
        """An append with its receipt was sent and has not been answered."""
        self.contended = False
        """Its appends came back, and only as Conflict or Busy."""


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
        "conflicts",
        "decided",
        "durable",
        "failures",
        "ids",
        "opened",
        "queued",
        "readers",
        "ready",
        "recent",
        "sent",
        "status",
        "tail_bytes",
        "tail_receipts",
        "tenant",
        "waiting",
    )

    def __init__(self, tenant: str, opened: "Future[None]") -> None:
        self.tenant = tenant
        self.status: Literal["loading", "live", "reconciling"] = "loading"
        self.opened: Future[None] | None = opened
        """Done when the ledger has been read; None from then on."""
        self.durable: Durable | None = None
        self.waiting: list[Pending] = []
        self.decided: list[Decided] = []
        self.sent: list[Decided] = []
        self.ids: dict[str, Pending] = {}
        """Command ids in flight."""
        self.recent: dict[str, int] = {}
        """Durable claimed command ids, oldest first, with the seq of their receipt."""
        self.tail_receipts = 0
        self.tail_bytes = 0
        self.conflicts = 0
        """Conflicts in a row; while there are any, the lane decides no more than one append ahead."""
        self.failures = 0
        """Appends in a row of which nothing could be said."""
        self.readers = 0
        self.queued = False
        self.ready = False

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting the lane."""
        return not (self.waiting or self.decided or self.sent or self.readers or self.queued) and self.status == "live"

    def tip(self, durable: Durable) -> tuple[TenantState, Head | Receipt]:
        """State and head that will be, once all that is decided is durable."""
        last = self.decided[-1] if self.decided else self.sent[-1] if self.sent else None
        return (durable.state, durable.head) if last is None else (last.sealed.state, last.sealed.receipt)

    def remember(self, receipt: Receipt) -> None:
        """Keep a durable command id for the repeats that may come."""
        if not receipt.claims:
            return
        self.recent[receipt.command_id] = receipt.seq
        if len(self.recent) > RECENT_IDS_MAX:
            del self.recent[next(iter(self.recent))]

    def take(self, *, receipts_max: int, bytes_max: int) -> int:
        """Move what one append may hold from decided to sent, at least one receipt; how many bytes that is."""
        count = size = 0
        for item in islice(self.decided, receipts_max):
            size += len(item.sealed.receipt.body)
            if count and size > bytes_max:
                size -= len(item.sealed.receipt.body)
                break
            count += 1
        self.sent, self.decided = self.decided[:count], self.decided[count:]
        return size

    def settle(self, count: int) -> list[Decided]:
        """The first `count` receipts sent are durable: move the state on, and return them to be answered."""
        settled, self.sent = self.sent[:count], self.sent[count:]
        for item in settled:
            receipt = item.sealed.receipt
            self.remember(receipt)
            self.tail_receipts += 1
            self.tail_bytes += len(receipt.body)
        if settled:
            self.durable = Durable(settled[-1].sealed.state, head_of(settled[-1].sealed.receipt))
        return settled

    def next_waiting(self, count: int) -> list[Pending]:
        """The commands whose turn it is."""
        commands, self.waiting = self.waiting[:count], self.waiting[count:]
        return commands

    def apply(self, receipts: tuple[Receipt, ...], durable: Durable) -> Durable:
        """What is durable after receipts that another writer made, or that were read at the start, in order."""
        state = durable.state
        for receipt in receipts:
            state = fold(evolve, state, events_of(receipt))
            self.remember(receipt)
            self.tail_receipts += 1
            self.tail_bytes += len(receipt.body)
        return Durable(state, head_of(receipts[-1])) if receipts else durable

    def rewind(self) -> list[Pending]:
        """Take back every decision that is not durable; returns the commands that nobody waits for, the rest waits."""
        undone = [item.pending for item in (*self.sent, *self.decided) if item.pending is not None]
        self.sent, self.decided = [], []
        for pending in undone:
            pending.unknown = False
        self.waiting = [pending for pending in undone if pending.waiters] + self.waiting
        return [pending for pending in undone if not pending.waiters]

    def rewind_unsent(self) -> None:
        """Take back the decisions that were not sent."""
        undone = [item.pending for item in self.decided if item.pending is not None]
        self.decided = []
        self.waiting = undone + self.waiting

    def resend(self) -> None:
        """What was sent is to be sent again, the same bytes."""
        self.decided, self.sent = self.sent + self.decided, []


def head_of(receipt: Receipt) -> Head:
    return Head(receipt.ledger, receipt.seq, receipt.hash, receipt.time)


def append_of(lane: Lane, durable: Durable, snapshot: Snapshot | None) -> Append:
    """What the store is asked to add: all that the lane has sent, in one piece."""
    due: dict[tuple[str, str], Due | DueKey] = {}
    for item in lane.sent:
        due.update(item.sealed.due)
    return Append(
        tenant=lane.tenant,
        expected_seq=durable.head.seq,
        expected_hash=durable.head.hash,
        receipts=tuple(item.sealed.receipt for item in lane.sent),
        parts=tuple(part for item in lane.sent for part in item.sealed.parts),
        erasures=tuple(erasure for item in lane.sent for erasure in item.sealed.erasures),
        snapshot=snapshot,
        due=tuple(row for row in due.values() if isinstance(row, Due)),
        settled=tuple(row for row in due.values() if isinstance(row, DueKey)),
    )
