"""
The action in flight: approved, attempted, retried, settled.

    awaiting_approval --approve--> ready --begin attempt--> attempting --succeeded, failed for good--> settled
           | deny, cancel, lapse     | cancel, deadline      |    ^
           v                         v                       v    | begin attempt
        settled                   settled                  retrying --cancel, deadline--> settled

An attempt whose lease ends without a result is lost: what is idempotent is tried again, of anything else nobody knows.
"""

from typing import Final

from tai_autonomics.domain.actions import INSIDE, Result, Throttle, is_idempotent, type_of
from tai_autonomics.domain.budgets import BudgetUse, spent
from tai_autonomics.domain.decider import Accepted, Refused
from tai_autonomics.domain.governor import refusals
from tai_autonomics.domain.governor.commands import (
    ActionCommand,
    ActionTimer,
    ApproveAction,
    BeginAttempt,
    CancelAction,
    DenyAction,
    GiveUp,
    LapseApproval,
    LoseAttempt,
    Outcome,
    PassDeadline,
    ReportResult,
)
from tai_autonomics.domain.governor.evaluating import Surroundings, breaker, deadline_of
from tai_autonomics.domain.governor.events import (
    ActionApproved,
    ActionAttempted,
    ActionSettled,
    AttemptEnded,
    GovernorEvent,
    LateResultRecorded,
    RefusalBegun,
    RefusalEnded,
    ThrottleSet,
)
from tai_autonomics.domain.governor.states import GovernorState, InFlight, LostAttempt, stage_of
from tai_autonomics.domain.moments import Moment, plus_seconds

LEASE_MARGIN_SECONDS: Final = 10
"""How long after its time-out an attempt may still be reported, before it is taken for lost."""

Answer = Accepted[GovernorEvent] | Refused


def act_on(command: ActionCommand, state: GovernorState, around: Surroundings, use: BudgetUse | None) -> Answer:
    """The answer to a caller or the executor; `use` is the budget's before it, where there is a budget."""
    action = state.in_flight
    if isinstance(command, ReportResult):
        return _report(command, state, around)
    if action is None or action.id != command.action_id:
        return refusals.not_in_flight(command.action_id)
    match command:
        case ApproveAction():
            return _approve(command, action, around.now, use)
        case DenyAction(by=by):
            if stage_of(action) != "awaiting_approval":
                return refusals.not_now(command, action, "cancel it, while no attempt is under way")
            return Accepted(_settled(action, "cancelled", f"denied by {by}", state, around, by=by))
        case CancelAction(by=by):
            if stage_of(action) == "attempting":
                return refusals.not_now(command, action, "wait for the attempt's result")
            return Accepted(_settled(action, "cancelled", f"cancelled by {by}", state, around, by=by))
        case GiveUp(result=result, detail=detail):
            if stage_of(action) not in ("ready", "retrying"):
                return refusals.not_now(command, action, "report what became of the attempt")
            return Accepted(_settled(action, result, detail, state, around))
        case BeginAttempt():
            return _begin(command, action, around.now)


def elapse(timer: ActionTimer, state: GovernorState, around: Surroundings) -> Answer:
    """The answer to a timer of the action: only when its time has come, and only while it is set for that time."""
    action = state.in_flight
    if action is None or action.id != timer.action_id or timer.due > around.now or timer.due != _set_for(timer, action):
        return refusals.not_due(timer)
    match timer:
        case LapseApproval():
            return Accepted(_settled(action, "lapsed", "nobody decided in time", state, around))
        case PassDeadline():
            return Accepted(_settled(action, "lapsed", "no attempt could begin in time", state, around))
        case LoseAttempt():
            return Accepted(_lost(action, state, around))


def restored(state: GovernorState, around: Surroundings) -> tuple[GovernorEvent, ...]:
    """
    What a restored ledger says of its governor: the outside world may be ahead of it.

    Nobody knows of the action in flight, and no rule acts before a person has looked.
    """
    events: tuple[GovernorEvent, ...] = ()
    action = state.in_flight
    if action is not None:
        if action.leased_until is not None:
            events = (_ended(action, "unknown", "the ledger was restored from a backup", lost=True),)
        detail = "the ledger was restored from a backup"
        events = (*events, *_settled(action, "unknown", detail, state, around))
    if (state.started or around.governance.rules or action) and "pause" not in state.refusing:
        events = (*events, RefusalBegun("pause", around.now))
    return events


def _approve(command: ApproveAction, action: InFlight, now: Moment, use: BudgetUse | None) -> Answer:
    if action.approval is None or action.deadline is not None:
        return refusals.not_now(command, action, "nothing to do: it needs no approval any more")
    if command.by in action.approved_by:
        return refusals.approved_already(command.by)
    approvals, people = len(action.approved_by) + 1, action.approval.people
    if approvals < people:
        return Accepted((ActionApproved(action.id, command.by, approvals, people, now),))
    deadline = deadline_of(now, action.attempts_max, action.timeout_seconds)
    used = None if use is None else spent(use)
    return Accepted((ActionApproved(action.id, command.by, approvals, people, now, deadline, used),))


def _begin(command: BeginAttempt, action: InFlight, now: Moment) -> Answer:
    if stage_of(action) not in ("ready", "retrying") or command.attempt != action.attempts + 1:
        return refusals.not_now(command, action, "see its attempts: another one may be under way")
    if action.retry_at is not None and now < action.retry_at:
        return refusals.not_yet(command, action.retry_at)
    if not _fits(now, action):
        return refusals.not_now(command, action, "nothing to do: too little time is left before its deadline")
    if action.target is not None and command.target != action.target:
        return refusals.another_target(action)
    if isinstance(action.order, Throttle) and not isinstance(command.target.get("until"), str):
        return refusals.not_now(command, action, "name in its target until when it throttles")
    leased_until = plus_seconds(now, action.timeout_seconds + LEASE_MARGIN_SECONDS)
    return Accepted((ActionAttempted(action.id, command.attempt, command.target, now, leased_until),))


def _report(command: ReportResult, state: GovernorState, around: Surroundings) -> Answer:
    action = state.in_flight
    under_way = action is not None and action.id == command.action_id and action.leased_until is not None
    if action is not None and under_way and action.attempts == command.attempt:
        return Accepted(_reported(command, action, state, around))
    if LostAttempt(command.action_id, command.attempt) in state.lost:
        return Accepted(_late(command, state, around))
    return refusals.not_in_flight(command.action_id)


def _reported(
    command: ReportResult, action: InFlight, state: GovernorState, around: Surroundings
) -> tuple[GovernorEvent, ...]:
    uncertain = command.outcome == "timed_out" or command.outcome == "unknown"
    again = command.temporary if command.outcome == "failed" else uncertain and is_idempotent(action.order)
    retry_at = None if command.retry_at is None else max(command.retry_at, around.now)
    if again and retry_at is not None and action.attempts < action.attempts_max and _fits(retry_at, action):
        return (_ended(action, command.outcome, command.detail, command.duration_ms, retry_at=retry_at),)
    ended = _ended(action, command.outcome, command.detail, command.duration_ms)
    result: Result = "unknown" if uncertain and not is_idempotent(action.order) else command.outcome
    return (ended, *_settled(action, result, command.detail, state, around))


def _lost(action: InFlight, state: GovernorState, around: Surroundings) -> tuple[GovernorEvent, ...]:
    detail = "nobody said how it ended before its lease was over"
    if is_idempotent(action.order) and action.attempts < action.attempts_max and _fits(around.now, action):
        return (_ended(action, "unknown", detail, lost=True, retry_at=around.now),)
    # What is inside the ledger is done by its result alone.
    result: Result = "failed" if type_of(action.order) in INSIDE else "unknown"
    return (_ended(action, "unknown", detail, lost=True), *_settled(action, result, detail, state, around))


def _late(command: ReportResult, state: GovernorState, around: Surroundings) -> tuple[GovernorEvent, ...]:
    """A result that nobody expects any more is recorded; where somebody waits for it, the wait ends."""
    recorded = LateResultRecorded(
        command.action_id, command.attempt, command.outcome, command.detail, command.duration_ms
    )
    action, unknown = state.in_flight, state.refusing.get("unknown")
    if action is not None and action.id == command.action_id:
        if command.outcome == "succeeded" and action.leased_until is None:
            return (recorded, *_settled(action, "succeeded", command.detail, state, around))
    elif unknown is not None and unknown.action_id == command.action_id:
        if command.outcome == "succeeded":
            return (recorded, RefusalEnded(("unknown",), around.now, failures=0))
        if command.outcome == "failed":
            failures = state.failures + 1
            ended = RefusalEnded(("unknown",), around.now, failures)
            return (recorded, ended, *_opened(failures, state, around))
    return (recorded,)


def _settled(
    action: InFlight, result: Result, detail: str, state: GovernorState, around: Surroundings, by: str | None = None
) -> tuple[GovernorEvent, ...]:
    failed = result == "failed" or result == "timed_out"
    failures = 0 if result == "succeeded" else state.failures + failed
    settled = ActionSettled(action.id, action.rule, result, detail, around.now, action.attempts, failures, by)
    if result == "unknown":
        return (settled, RefusalBegun("unknown", around.now, action_id=action.id))
    if failed:
        return (settled, *_opened(failures, state, around))
    if result == "succeeded" and isinstance(action.order, Throttle):
        return (settled, _throttled(action, action.order))
    return (settled,)


def _opened(failures: int, state: GovernorState, around: Surroundings) -> tuple[GovernorEvent, ...]:
    opened = breaker(failures, state, around)
    return () if opened is None else (opened,)


def _throttled(action: InFlight, order: Throttle) -> ThrottleSet:
    assert action.target is not None
    until = action.target["until"]
    assert isinstance(until, str)
    return ThrottleSet(action.id, order.requests, order.per_seconds, Moment(until))


def _ended(
    action: InFlight,
    outcome: Outcome,
    detail: str,
    duration_ms: int | None = None,
    *,
    lost: bool = False,
    retry_at: Moment | None = None,
) -> AttemptEnded:
    deadline = None if retry_at is None else action.deadline
    return AttemptEnded(action.id, action.attempts, outcome, detail, duration_ms, lost, retry_at, deadline)


def _fits(start: Moment, action: InFlight) -> bool:
    """Whether an attempt that begins then ends before the deadline."""
    assert action.deadline is not None
    return plus_seconds(start, action.timeout_seconds) <= action.deadline


def _set_for(timer: ActionTimer, action: InFlight) -> Moment | None:
    """What the action's timer of that kind is set for."""
    match timer:
        case LapseApproval():
            return None if action.approval is None or action.deadline is not None else action.approval.until
        case PassDeadline():
            return action.deadline if action.leased_until is None else None
        case LoseAttempt():
            return action.leased_until
