"""
Who waits for which command, and what each is told.

A caller waits no longer than its own deadline. What it hears then depends on what is known of the command: withdrawn,
so that it is never stored, or perhaps stored already. An id stays in its lane until the command's fate is known.
"""

from asyncio import Future
from math import inf
from typing import Final

import orjson

from tai_autonomics.application.lane import Answer, Lane, Pending
from tai_autonomics.application.ports import Observer, Store
from tai_autonomics.application.recent import RecentIds
from tai_autonomics.application.sealing import EXECUTOR, Submission
from tai_autonomics.domain.tenant import name_of
from tai_autonomics.errors import (
    ConcurrentWrite,
    IdempotencyKeyReused,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
    Unavailable,
)
from tai_autonomics.ledger.records import Receipt

RESERVED_SHARE: Final = 10
"""One in so many, on top of each bound."""


class Callers:
    """Everyone who waits, in all lanes."""

    def __init__(
        self, store: Store, observer: Observer, recent: RecentIds, *, lane_waiting_max: int, waiting_max: int
    ) -> None:
        self._store, self._observer, self._recent = store, observer, recent
        self._lane_waiting_max, self._waiting_max = lane_waiting_max, waiting_max
        self.waiting = 0
        """Commands that are not durable yet."""

    def find_room(self, submission: Submission) -> None:
        """Raises Overloaded when the instance takes no further command."""
        if self.waiting >= self._waiting_max + _reserved(submission, self._waiting_max):
            raise Overloaded("overloaded", "too many commands are waiting")

    def enter(self, lane: Lane, submission: Submission) -> Pending:
        """The submission's place in its lane: a new one, or that of the same command in flight."""
        pending = lane.ids.get(submission.command_id)
        if pending is not None:
            if pending.submission.request != submission.request:
                raise IdempotencyKeyReused("this key is in flight with other content")
            return pending
        if len(lane.ids) >= self._lane_waiting_max + _reserved(submission, self._lane_waiting_max):
            raise Overloaded("rate_limited", "too many commands of this tenant are waiting")
        self.find_room(submission)
        pending = lane.ids[submission.command_id] = Pending(submission)
        lane.waiting.append(pending)
        self.waiting += 1
        return pending

    def leave(self, lane: Lane, pending: Pending, waiter: "Future[Answer]") -> None:
        """A caller is gone; the last one takes its command along, unless it is decided."""
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # told too late, and heard by nobody
        pending.waiters.pop(waiter, None)
        if not pending.waiters and pending in lane.waiting:
            lane.waiting.remove(pending)
            self.forget(lane, pending)

    def forget(self, lane: Lane, pending: Pending) -> None:
        del lane.ids[pending.submission.command_id]
        self.waiting -= 1

    # ---- answers

    def settle(self, lane: Lane, count: int) -> None:
        """The first `count` receipts sent are durable: answer those who wait for them."""
        settled = lane.settle(count)
        for item in settled:
            self._recent.add(item.sealed.receipt)
            if item.pending is not None:
                self._answer(lane, item.pending, Answer(item.sealed.receipt, replayed=False))
        for item in settled:
            type = item.sealed.receipt.type  # noqa: A001
            self._observer.sealed(type)
            self._observer.decided(item.command, type, item.sealed.reason)
            for reason, count in item.sealed.signals_refused.items():
                self._observer.signals_refused(reason, count)
            if item.sealed.settled is not None:
                self._observer.settled(*item.sealed.settled, item.sealed.receipt)

    def replay(self, lane: Lane, pending: Pending, receipt: Receipt) -> None:
        """Answer with a receipt that the ledger holds, if it is of the same request."""
        if request_of(receipt) != pending.submission.request:
            self.fail(lane, pending, IdempotencyKeyReused("this key belongs to a command with other content"))
            return
        self._observer.decided(name_of(pending.submission.command), "replayed", "")
        self._answer(lane, pending, Answer(receipt, replayed=True))

    async def replay_stored(self, lane: Lane, pending: Pending, seq: int) -> None:
        """The same, with the receipt at `seq`."""
        try:
            receipt = await self._store.receipt(lane.tenant, seq)
        except StoreUnavailable:
            self._observer.store_failed("receipt")
            receipt = None
        except Exception as error:  # noqa: BLE001  # whatever it is, the id is free again and its caller hears
            self._observer.failed("replay", error)
            receipt = None
        if receipt is None or receipt.command_id != pending.submission.command_id:
            # Where it is another command's, the store went back since; where there is none, it may be archived.
            self._recent.forget(lane.tenant)
            self.fail(lane, pending, OutcomeUnknown("its receipt cannot be read now: repeat with the same key"))
        else:
            self.replay(lane, pending, receipt)

    def replay_first(self, lane: Lane, first: dict[str, Receipt]) -> None:
        """Answer the commands that wait and whose ids the ledger holds."""
        repeats = [pending for pending in lane.waiting if pending.submission.command_id in first]
        lane.waiting = [pending for pending in lane.waiting if pending.submission.command_id not in first]
        for pending in repeats:
            self.replay(lane, pending, first[pending.submission.command_id])
        for receipt in first.values():
            self._recent.add(receipt)

    def _answer(self, lane: Lane, pending: Pending, answer: Answer) -> None:
        self.forget(lane, pending)
        for waiter in pending.waiters:
            if not waiter.done():
                waiter.set_result(answer)

    # ---- errors

    def fail(self, lane: Lane, pending: Pending, error: BaseException) -> None:
        """The command, which is in no line any more, ends with the error."""
        self.forget(lane, pending)
        pending.tell(error)

    def fail_waiting(self, lane: Lane, error: BaseException) -> None:
        """The commands that are not decided end with the error."""
        waiting, lane.waiting = lane.waiting, []
        for pending in waiting:
            self.fail(lane, pending, error)

    def fail_all(self, lane: Lane, error: BaseException) -> None:
        """The lane ends with the error; of what may be stored, its callers hear that."""
        for item in lane.doubtful:
            if item.pending is not None:
                item.pending.tell(_unknown())
        self.rewind(lane)
        self.fail_waiting(lane, error)

    def rewind(self, lane: Lane) -> None:
        """Nothing that was decided is durable: the commands that someone waits for are decided again."""
        for pending in lane.rewind():
            self.forget(lane, pending)

    def expire(self, lane: Lane, now: float = inf) -> None:
        """Those whose deadline has come hear what is known; a command that nobody sent and nobody waits for leaves."""
        if any(item.pending is not None and item.pending.expired(now) for item in lane.unsent):
            lane.rewind_unsent()
        withdrawn = [pending for pending in lane.waiting if pending.expired(now)]
        lane.waiting = [pending for pending in lane.waiting if not pending.expired(now)]
        for pending in withdrawn:
            self.fail(lane, pending, _withdrawn(pending))
        for pending in lane.ids.values():
            if pending.deadline <= now:
                pending.tell(_unknown(), late=now)


def _reserved(submission: Submission, bound: int) -> int:
    """What the executor has of a bound for itself: an action that was done must be said, whatever callers send."""
    return max(bound // RESERVED_SHARE, 1) if submission.source == EXECUTOR else 0


def request_of(receipt: Receipt) -> str | None:
    """The digest of the request that the receipt answered."""
    request = orjson.loads(receipt.body)["cause"].get("request")
    return request if isinstance(request, str) else None


def _unknown() -> Unavailable:
    return OutcomeUnknown("the command may be stored: repeat with the same key")


def _withdrawn(pending: Pending) -> Unavailable:
    if pending.contended:
        return ConcurrentWrite("other writers were first until the deadline passed")
    return StoreUnavailable("the store did not take the command in time")
