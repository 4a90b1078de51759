"""
Carries out actions: one attempt after the other, each said in the ledger before it reaches out.

    an append of ours asks for it  --+
    a due row, leased from the store +--> in hand --> reserved in the fleet's ledger --> target --> attempt receipt
                                                                                                       |
                             result receipt, retried until it is stored <-- outcome <-- reach out <----+ if it is ours

Only the instance whose own attempt came back appended reaches out. Whatever ends here without a result is found by the
timers: an attempt's lease, an action's deadline. So nothing rests on this process living on.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Final, Literal

from msgspec import Struct

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.corridor import Answer, Corridor
from tai_autonomics.application.ports import Actuator, Done, Entropy, NotDone, Observer, Target, Uncertain
from tai_autonomics.application.queue import Queue
from tai_autonomics.application.sealing import EXECUTOR, Submission
from tai_autonomics.application.trails import NO_TRAIL, Trail, Trails
from tai_autonomics.domain.actions import Action, ActionType, type_of
from tai_autonomics.domain.fleet import Reserve
from tai_autonomics.domain.governor import (
    LEASE_MARGIN_SECONDS,
    BeginAttempt,
    GiveUp,
    InFlight,
    ReportResult,
    action_of,
    stage_of,
)
from tai_autonomics.domain.identifiers import FLEET, ActionId
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.tenant import Command
from tai_autonomics.errors import InvalidSetting, Overloaded, Unavailable
from tai_autonomics.ledger.receipt import read
from tai_autonomics.ledger.records import Due

ATTEMPT: Final = "attempt"
"""The kind of a due row that asks for an attempt."""
SUBMIT_SECONDS: Final = 5.0
"""How long one word of ours may wait for its receipt."""
REACH_OUT_WITHIN_SECONDS: Final = LEASE_MARGIN_SECONDS / 2
"""From the moment an attempt was submitted: later than this nobody reaches out, as too little of its lease is left."""
OWN_VERDICT_SECONDS: Final = 0.5
BACKOFF_SECONDS: Final = 1.0
BACKOFF_SECONDS_MAX: Final = 60.0
REPORT_PAUSE_SECONDS: Final = 0.1
REPORT_PAUSE_SECONDS_MAX: Final = 2.0
LAST_WORD_SECONDS: Final = 1.0
"""At the end, for the reports of what was cut."""


class TimedOut(Struct, frozen=True):
    """No answer came in time."""


Outcome = Done | NotDone | Uncertain | TimedOut


class ExecutorBounds(Struct, frozen=True):
    """Each is a setting of the same name (TAI_…). What is over them stays due in the store."""

    actions_in_hand_max: int = 1_000
    actions_at_once_max: int = 32
    actions_of_type_at_once_max: int = 16


class Executor:
    """Close it with `close`. Everything runs on one event loop."""

    def __init__(
        self,
        corridor: Corridor,
        actuators: Mapping[ActionType, Actuator],
        *,
        clock: SealingClock,
        plans: Callable[[], Plans],
        observer: Observer,
        entropy: Entropy,
        bounds: ExecutorBounds,
        trails: Trails | None = None,
    ) -> None:
        self._corridor, self._actuators = corridor, actuators
        self._clock, self._plans, self._observer, self._entropy = clock, plans, observer, entropy
        self._bounds, self._trails = bounds, trails
        # Two instances whose clocks both lie behind the ledger's newest receipt would seal the same bytes for the same
        # attempt, and each would take the stored receipt for its own. So it says which of them speaks.
        self._by = f"{EXECUTOR}:{entropy.ulid()}"
        self._in_hand: dict[ActionId, asyncio.Task[None]] = {}
        self._at_once = asyncio.Semaphore(bounds.actions_at_once_max)
        self._of_type: dict[ActionType, asyncio.Semaphore] = {}
        self.queue = Queue()
        self._calls: set[asyncio.Task[Done | NotDone | Uncertain]] = set()
        self._closing = self._cut = False
        corridor.on_due(self.take_all)

    # ---- the ways in

    def take_all(self, tenant: str, rows: tuple[Due, ...]) -> None:
        """What an append of ours made due: this instance attempts it at once."""
        for row in rows:
            if row.kind == ATTEMPT:
                self.take(tenant, row)

    def take(self, tenant: str, row: Due) -> bool:
        """Work on a row that asks for an attempt; whether there was room. If not, it is due again later."""
        action_id = ActionId(row.subject.removeprefix("action/"))
        if not self.room:
            if action_id not in self._in_hand:
                self.queue.leave(action_id, Moment(row.due), self._clock.monotonic())
            return False
        if action_id not in self._in_hand:
            self.queue.take(action_id, Moment(row.due), self._clock.monotonic())
            task = asyncio.get_running_loop().create_task(self._work(tenant, action_id))
            self._in_hand[action_id] = task
            task.add_done_callback(lambda done: self._ended(action_id, done))
        return True

    @property
    def room(self) -> int:
        """How many more actions it would take; 0 once it is stopping."""
        return 0 if self._closing else max(self._bounds.actions_in_hand_max - len(self._in_hand), 0)

    @property
    def stopping(self) -> bool:
        return self._closing

    @property
    def in_hand(self) -> int:
        """Actions that are being worked on or wait for a place."""
        return len(self._in_hand)

    @property
    def attempting(self) -> int:
        """Attempts that are reaching out now."""
        return len(self._calls)

    def stop_taking(self) -> None:
        """From now on no attempt begins: what is due, and what is in hand and not begun, is another instance's."""
        self._closing = True

    async def close(self, *, timeout_seconds: float) -> None:
        """Let what is under way end, and then cut it: of an attempt that is cut, nobody knows how it ended."""
        self.stop_taking()
        await self._wait(timeout_seconds)
        self._cut = True
        for call in self._calls:
            call.cancel()
        await self._wait(LAST_WORD_SECONDS)
        for task in self._in_hand.values():
            task.cancel()
        await asyncio.gather(*self._in_hand.values(), return_exceptions=True)

    def _is_cut(self) -> bool:
        return self._cut

    async def _wait(self, seconds: float) -> None:
        if self._in_hand:
            await asyncio.wait(self._in_hand.values(), timeout=seconds)

    def _ended(self, action_id: ActionId, task: "asyncio.Task[None]") -> None:
        del self._in_hand[action_id]
        self.queue.end(action_id)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._observer.failed("executor", error)

    # ---- one action

    async def _work(self, tenant: str, action_id: ActionId) -> None:
        found = await self._ready(tenant, action_id)
        if found is None:
            return
        of_type = self._of_type.setdefault(
            type_of(found.order), asyncio.Semaphore(self._bounds.actions_of_type_at_once_max)
        )
        async with of_type, self._at_once:
            self.queue.end(action_id)
            if self._closing:
                return
            # It may have been cancelled, or attempted elsewhere, while it waited for its place.
            in_flight = await self._ready(tenant, action_id)
            if in_flight is not None:
                action = action_of(in_flight, tenant)
                trail = NO_TRAIL if self._trails is None else await self._trails.of(action, in_flight.attempts + 1)
                try:
                    await self._carry_out(action, in_flight, trail)
                finally:
                    trail.end()

    async def _ready(self, tenant: str, action_id: ActionId) -> InFlight | None:
        """The action, if it is to be attempted now."""
        state = (await self._corridor.durable(tenant)).state
        action = state.governor.in_flight
        if action is None or action.id != action_id or stage_of(action) not in ("ready", "retrying"):
            return None
        return action if action.retry_at is None or action.retry_at <= self._clock.now() else None

    async def _carry_out(self, action: Action, in_flight: InFlight, trail: Trail) -> None:
        attempt, target = in_flight.attempts + 1, in_flight.target
        actuator = self._actuators.get(type_of(action.order))
        if actuator is None:
            # Another instance may have one, as in a rollout: the row is due again, and the deadline ends the wait.
            missing = InvalidSetting(f"an action waits: no {type_of(action.order)} is set up here")
            self._observer.failed("executor", missing)
            return
        if target is None:
            if not await self._reserve(action, trail):
                return
            resolved = await self._resolve(actuator, action, trail)
            if resolved is None:
                return
            target = resolved
        started = self._clock.monotonic()
        # A stopping instance would cut what it begins: the row is due again, for another one.
        if self._closing or not await self._begin(action, trail, attempt, target):
            return
        began = self._clock.monotonic()
        if self._is_cut():
            outcome: Outcome = NotDone("the instance stopped before it was attempted", temporary=True)
        elif began > started + REACH_OUT_WITHIN_SECONDS:
            outcome = NotDone("it took too long to say that it is attempted", temporary=True)
        else:
            outcome = await self._reach_out(actuator, action, trail, target)
        await self._report(action, trail, attempt, outcome, self._clock.monotonic() - began)

    async def _reserve(self, action: Action, trail: Trail) -> bool:
        """A share of the fleet's budget for the type, where it has one; raises Unavailable: then nothing is done."""
        action_type = type_of(action.order)
        if action_type not in self._plans().fleet:
            return True
        answer = await self._submit(FLEET, trail, Reserve(action.id, action_type), f"action:{action.id}:reserve")
        if answer.receipt.type != "refusal":
            return True
        refused = read(answer.receipt.body)["refusal"]
        await self._give_up(action, trail, "cancelled", f"{refused['reason']}: {refused['detail']}")
        return False

    async def _resolve(self, actuator: Actuator, action: Action, trail: Trail) -> Target | None:
        try:
            async with asyncio.timeout(action.timeout_seconds):
                resolved = await actuator.resolve(action)
        except TimeoutError:
            resolved = NotDone("its target was not found in time", temporary=True)
        if not isinstance(resolved, NotDone):
            return resolved
        self._observer.attempted(type_of(action.order), "unresolved", 0.0)
        if not resolved.temporary:
            await self._give_up(action, trail, "failed", resolved.detail)
        # Otherwise its row is due again, until its deadline passes.
        return None

    async def _begin(self, action: Action, trail: Trail, attempt: int, target: Target) -> bool:
        """Say that it is attempted; whether that word is ours."""
        command = BeginAttempt(action.id, attempt, target)
        answer = await self._submit(action.tenant, trail, command, f"action:{action.id}:{attempt}:attempt")
        return answer.receipt.type == "action_attempt" and not answer.replayed

    async def _reach_out(self, actuator: Actuator, action: Action, trail: Trail, target: Target) -> Outcome:
        calling = trail.call(type_of(action.order))
        outcome = await self._call(actuator, action, target, calling.headers())
        problem = outcome.detail if isinstance(outcome, NotDone | Uncertain) else ""
        calling.end("no answer in time" if isinstance(outcome, TimedOut) else problem, outcome=_outcome_of(outcome))
        return outcome

    async def _call(self, actuator: Actuator, action: Action, target: Target, trace: Mapping[str, str]) -> Outcome:
        call = asyncio.get_running_loop().create_task(actuator.attempt(action, target, action.timeout_seconds, trace))
        self._calls.add(call)
        try:
            # A little longer, because the actuator knows best what its own time-out means.
            await asyncio.wait({call}, timeout=action.timeout_seconds + OWN_VERDICT_SECONDS)
            in_time = call.done()
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            self._calls.discard(call)
        if call.cancelled():
            return Uncertain("the instance stopped while it was attempted") if in_time else TimedOut()
        if (error := call.exception()) is not None:
            self._observer.failed("executor", error)
            return Uncertain("an error of ours while it was attempted")
        return call.result()

    async def _report(self, action: Action, trail: Trail, attempt: int, outcome: Outcome, seconds: float) -> None:
        """Say how it ended, until that is stored; past its bound, the lease's timer says that nobody knows."""
        self._observer.attempted(type_of(action.order), _outcome_of(outcome), seconds)
        until = self._clock.monotonic() + action.timeout_seconds + LEASE_MARGIN_SECONDS
        for tries in count():
            try:
                command = self._result_of(action, attempt, outcome, seconds)
                await self._submit(action.tenant, trail, command, f"action:{action.id}:{attempt}:result")
            except (Unavailable, Overloaded) as error:
                pause = self._chance() * min(REPORT_PAUSE_SECONDS * 2**tries, REPORT_PAUSE_SECONDS_MAX)
                if self._clock.monotonic() + pause > until:
                    self._observer.failed("executor", error)
                    return
                await asyncio.sleep(pause)
            else:
                return

    def _result_of(self, action: Action, attempt: int, outcome: Outcome, seconds: float) -> ReportResult:
        """Raises ClockUntrusted."""
        milliseconds = round(seconds * 1_000)
        match outcome:
            case Done(detail):
                return ReportResult(action.id, attempt, "succeeded", detail, milliseconds)
            case NotDone(detail, temporary, wait):
                retry_at = self._retry_at(attempt, wait or 0.0) if temporary else None
                return ReportResult(action.id, attempt, "failed", detail, milliseconds, temporary, retry_at)
            case Uncertain(detail):
                return ReportResult(
                    action.id, attempt, "unknown", detail, milliseconds, retry_at=self._retry_at(attempt, 0.0)
                )
            case TimedOut():
                detail = f"no answer within {action.timeout_seconds} s"
                return ReportResult(
                    action.id, attempt, "timed_out", detail, milliseconds, retry_at=self._retry_at(attempt, 0.0)
                )

    def _retry_at(self, attempt: int, wait_seconds: float) -> Moment:
        """Exponential backoff with full jitter, and not before the other side is ready."""
        backoff = self._chance() * min(BACKOFF_SECONDS * 2 ** (attempt - 1), BACKOFF_SECONDS_MAX)
        return plus_seconds(self._clock.now(), max(backoff, wait_seconds))

    def _chance(self) -> float:
        """From 0 to 1."""
        return self._entropy.bytes(1)[0] / 255

    async def _give_up(self, action: Action, trail: Trail, result: Literal["failed", "cancelled"], detail: str) -> None:
        self._observer.attempted(type_of(action.order), "given_up", 0.0)
        await self._submit(action.tenant, trail, GiveUp(action.id, result, detail), f"action:{action.id}:given_up")

    async def _submit(self, tenant: str, trail: Trail, command: Command, command_id: str) -> Answer:
        submission = Submission(tenant, command, command_id, EXECUTOR, self._by, trace=trail.trace, span=trail.span)
        return await self._corridor.submit(submission, timeout_seconds=SUBMIT_SECONDS)


def _outcome_of(outcome: Outcome) -> str:
    """As metrics name it."""
    match outcome:
        case Done():
            return "succeeded"
        case NotDone(temporary=temporary):
            return "failed_temporarily" if temporary else "failed"
        case Uncertain():
            return "unknown"
        case TimedOut():
            return "timed_out"
