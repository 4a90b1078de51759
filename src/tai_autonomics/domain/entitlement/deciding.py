"""
The answer to a command or a timer: first whether it may be asked now, then what it means.

    observed in order --> listed in the table --> events, or why not
"""

from typing import Literal

from tai_autonomics.domain.decider import Accepted, Refused
from tai_autonomics.domain.entitlement import refusals
from tai_autonomics.domain.entitlement.commands import (
    Activate,
    ApplyPlanChange,
    Cancel,
    ChangePlan,
    EndTerm,
    EntitlementCommand,
    EntitlementTimer,
    Expire,
    Grant,
    Reinstate,
    Reject,
    Renew,
    Request,
    Resume,
    Revoke,
    Suspend,
    Verify,
)
from tai_autonomics.domain.entitlement.events import (
    EntitlementActivated,
    EntitlementCancellationScheduled,
    EntitlementCancelled,
    EntitlementEvent,
    EntitlementExpired,
    EntitlementGranted,
    EntitlementPlanChanged,
    EntitlementPlanChangeScheduled,
    EntitlementReinstated,
    EntitlementRejected,
    EntitlementRenewed,
    EntitlementRequested,
    EntitlementResumed,
    EntitlementRevoked,
    EntitlementScheduled,
    EntitlementSuspended,
    EntitlementVerified,
)
from tai_autonomics.domain.entitlement.states import EntitlementState, InService, Status, time_of
from tai_autonomics.domain.entitlement.table import FROM, FROM_TIMER
from tai_autonomics.domain.identifiers import PlanName
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.plans import Plans, is_offered


def decide(
    command: EntitlementCommand,
    state: EntitlementState,
    *,
    now: Moment,
    plans: Plans,
    observed_ahead_seconds_max: int,
) -> Accepted[EntitlementEvent] | Refused:
    """
    The answer to a caller's command at `now`, the present time.

    A source's own time may be at most `observed_ahead_seconds_max` ahead of it.
    """
    if refused := _out_of_order(command.observed_at, state, now, observed_ahead_seconds_max):
        return refused
    if state.status not in FROM[type(command)]:
        return refusals.not_allowed(command, state)
    match command:
        case Verify(entitlement_id):
            return Accepted((EntitlementVerified(entitlement_id, _plan_of(state)),))
        case Request():
            return _request(command, plans)
        case Grant():
            return _grant(command, state, now, plans)
        case Reject(entitlement_id):
            return Accepted((EntitlementRejected(entitlement_id, at=now),))
        case ChangePlan():
            return _change_plan(command, state, now, plans)
        case Suspend(entitlement_id, observed_at):
            was = _in_service(state.status)
            return Accepted((EntitlementSuspended(entitlement_id, was=was, observed_at=observed_at),))
        case Resume(entitlement_id, observed_at):
            to = _in_service(state.was)
            return Accepted((EntitlementResumed(entitlement_id, to=to, observed_at=observed_at),))
        case Cancel():
            return _cancel(command, state, now)
        case Reinstate(entitlement_id, observed_at):
            return Accepted((EntitlementReinstated(entitlement_id, observed_at=observed_at),))
        case Renew():
            return _renew(command, state, now)
        case Revoke(entitlement_id):
            return Accepted((EntitlementRevoked(entitlement_id, at=now),))


def elapse(timer: EntitlementTimer, state: EntitlementState, *, now: Moment) -> Accepted[EntitlementEvent] | Refused:
    """The answer to a timer: only when its time has come, and only while it is still set for that time."""
    if state.status not in FROM_TIMER[type(timer)] or time_of(timer.kind, state) != timer.due or timer.due > now:
        return refusals.not_due(timer, state)
    match timer:
        case Activate(entitlement_id):
            return Accepted((EntitlementActivated(entitlement_id),))
        case Expire(entitlement_id, due):
            return Accepted((EntitlementExpired(entitlement_id, at=due),))
        case EndTerm(entitlement_id, due):
            return Accepted((EntitlementCancelled(entitlement_id, at=due),))
        case ApplyPlanChange(entitlement_id):
            assert state.next_plan is not None
            return Accepted((EntitlementPlanChanged(entitlement_id, was=_plan_of(state), plan=state.next_plan),))


def _request(command: Request, plans: Plans) -> Accepted[EntitlementEvent] | Refused:
    if not is_offered(plans, command.plan):
        return refusals.unknown_plan(command.plan, plans)
    return Accepted((EntitlementRequested(command.entitlement_id, command.plan, command.observed_at),))


def _grant(command: Grant, state: EntitlementState, now: Moment, plans: Plans) -> Accepted[EntitlementEvent] | Refused:
    plan = command.plan or state.plan
    if plan is None:
        return refusals.no_plan(plans)
    if not is_offered(plans, plan):
        return refusals.unknown_plan(plan, plans)
    effective_at = _ahead(command.effective_at, now=now)
    expires_at = command.expires_at or state.expires_at
    if expires_at is not None and expires_at <= (effective_at or now):
        return refusals.too_early(expires_at, floor=effective_at or now)
    if effective_at is None:
        return Accepted((EntitlementGranted(command.entitlement_id, plan, expires_at, command.observed_at),))
    scheduled = EntitlementScheduled(command.entitlement_id, plan, effective_at, expires_at, command.observed_at)
    return Accepted((scheduled,))


def _change_plan(
    command: ChangePlan, state: EntitlementState, now: Moment, plans: Plans
) -> Accepted[EntitlementEvent] | Refused:
    if not is_offered(plans, command.plan):
        return refusals.unknown_plan(command.plan, plans)
    effective_at = _ahead(command.effective_at, now=now)
    if effective_at is None:
        changed = EntitlementPlanChanged(command.entitlement_id, _plan_of(state), command.plan, command.observed_at)
        return Accepted((changed,))
    scheduled = EntitlementPlanChangeScheduled(command.entitlement_id, command.plan, effective_at, command.observed_at)
    return Accepted((scheduled,))


def _cancel(command: Cancel, state: EntitlementState, now: Moment) -> Accepted[EntitlementEvent]:
    at = _earlier(command.effective_at, state.expires_at)
    if at is None or at <= now:
        return Accepted((EntitlementCancelled(command.entitlement_id, at=now),))
    to: Literal["pending_cancellation", "suspended"] = (
        "suspended" if state.status == "suspended" else "pending_cancellation"
    )
    scheduled = EntitlementCancellationScheduled(
        command.entitlement_id, to, at=at, effective_at=command.effective_at, observed_at=command.observed_at
    )
    return Accepted((scheduled,))


def _renew(command: Renew, state: EntitlementState, now: Moment) -> Accepted[EntitlementEvent] | Refused:
    floor = state.expires_at or now  # a term that is over has expired before anything else was decided
    if command.expires_at <= floor:
        return refusals.too_early(command.expires_at, floor=floor)
    ends_at = None if state.ends_at is None else _earlier(state.cancellation_date, command.expires_at)
    return Accepted((EntitlementRenewed(command.entitlement_id, command.expires_at, ends_at, command.observed_at),))


def _out_of_order(
    observed_at: Moment | None, state: EntitlementState, now: Moment, ahead_seconds_max: int
) -> Refused | None:
    if observed_at is None:
        return None
    if observed_at > plus_seconds(now, ahead_seconds_max):
        return refusals.too_far_ahead(observed_at, now=now, ahead_seconds_max=ahead_seconds_max)
    if state.observed_at is not None and observed_at < state.observed_at:
        return refusals.stale(observed_at, applied=state.observed_at)
    return None


def _ahead(moment: Moment | None, *, now: Moment) -> Moment | None:
    """The moment if it is still to come; None means now."""
    return moment if moment is not None and moment > now else None


def _earlier(one: Moment | None, other: Moment | None) -> Moment | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def _plan_of(state: EntitlementState) -> PlanName:
    assert state.plan is not None
    return state.plan


def _in_service(status: Status | None) -> InService:
    assert status == "active" or status == "pending_cancellation"
    return status
