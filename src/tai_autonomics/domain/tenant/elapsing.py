"""What the passing of time asks of a tenant: which timer is next, and what is so once all that are due are decided."""

from msgspec.structs import replace

from tai_autonomics.domain.compliance import ExpireHold, LapseAttestation
from tai_autonomics.domain.decider import Accepted, fold
from tai_autonomics.domain.entitlement import (
    FINAL,
    Activate,
    ApplyPlanChange,
    EndTerm,
    EntitlementTimer,
    Expire,
    elapse,
)
from tai_autonomics.domain.entitlement import evolve as evolve_entitlement
from tai_autonomics.domain.governor import EndBudget, EndThrottle, LapseApproval, LoseAttempt, PassDeadline, stage_of
from tai_autonomics.domain.identifiers import ActionId, ControlName, EntitlementId, HoldId
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.tenant.commands import TimerCommand
from tai_autonomics.domain.tenant.state import TenantState, recounted
from tai_autonomics.domain.tenant.timers import (
    ENTITLEMENT_TIMERS,
    FIRST_LEASE_SECONDS,
    TIMER_KINDS,
    SetEffect,
    SetTimer,
    Timer,
    earliest,
    subject_of_action,
)


def next_timer(state: TenantState, by: Moment) -> TimerCommand | None:
    """The timer to decide first among those due by then: the earliest; at equal times by kind, then by subject."""
    if state.due is None or state.due > by:
        return None
    return _command_of(min(state.timers.values(), key=_order))


def after_timers(state: TenantState, now: Moment) -> TenantState:
    """
    The state once every entitlement's timer due by then is decided, but for `plan`, which says what was last recorded.

    What is due of the governor waits for its decision: rules may have something to say to it. What is due of holds and
    attestations waits too: the gate that asks about them is told the moment.
    In one pass: folding them one by one copies the whole tenant for each, and a thousand may be due at one midnight.
    """
    if state.due is None or state.due > now:
        return state
    entitlements = dict(state.entitlements)
    in_service = state.in_service
    due = (timer for timer in state.timers.values() if timer.due <= now and timer.kind in ENTITLEMENT_TIMERS)
    for timer in sorted(due, key=_order):
        command = _entitlement_timer(timer)
        before = entitlements[command.entitlement_id]
        outcome = elapse(command, before, now=now)
        if isinstance(outcome, Accepted):  # an entitlement that ended has settled its other timers
            after = fold(evolve_entitlement, before, outcome.events)
            entitlements[command.entitlement_id] = after
            in_service = recounted(in_service, before=before, after=after)
    timers = {
        key: timer
        for key, timer in state.timers.items()
        if timer.kind not in ENTITLEMENT_TIMERS
        or (timer.due > now and entitlements[_entitlement_id_of(timer)].status not in FINAL)
    }
    return replace(state, entitlements=entitlements, in_service=in_service, timers=timers, due=earliest(timers))


def standing(state: TenantState) -> tuple[SetTimer | SetEffect, ...]:
    """Every timer and effect that is set in this state, for a store that did not see the events that set them."""
    timers = tuple(SetTimer(timer.subject, timer.kind, timer.due) for timer in state.timers.values())
    action = state.governor.in_flight
    if action is None or stage_of(action) not in ("ready", "retrying"):
        return timers
    due = action.retry_at or plus_seconds(action.requested_at, FIRST_LEASE_SECONDS)
    return (*timers, SetEffect(subject_of_action(action.id), "attempt", due))


def _order(timer: Timer) -> tuple[Moment, int, str]:
    return timer.due, TIMER_KINDS.index(timer.kind), timer.subject


def _entitlement_id_of(timer: Timer) -> EntitlementId:
    return EntitlementId(timer.subject.removeprefix("entitlement/"))


def _command_of(timer: Timer) -> TimerCommand:
    action_id = ActionId(timer.subject.removeprefix("action/"))
    match timer.kind:
        case "attempt_lease":
            return LoseAttempt(action_id, timer.due)
        case "approval_lapse":
            return LapseApproval(action_id, timer.due)
        case "deadline":
            return PassDeadline(action_id, timer.due)
        case "budget_end":
            return EndBudget(timer.due)
        case "throttle_end":
            return EndThrottle(timer.due)
        case "hold_expiry":
            return ExpireHold(HoldId(timer.subject.removeprefix("hold/")), timer.due)
        case "attestation_lapse":
            return LapseAttestation(ControlName(timer.subject.removeprefix("control/")), timer.due)
        case _:
            return _entitlement_timer(timer)


def _entitlement_timer(timer: Timer) -> EntitlementTimer:
    entitlement_id = _entitlement_id_of(timer)
    match timer.kind:
        case "end_of_term":
            return EndTerm(entitlement_id, timer.due)
        case "expire":
            return Expire(entitlement_id, timer.due)
        case "activate":
            return Activate(entitlement_id, timer.due)
        case _:
            return ApplyPlanChange(entitlement_id, timer.due)
