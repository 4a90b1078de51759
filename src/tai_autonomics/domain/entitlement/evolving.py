"""The entitlement after an event: knows no plans and no clock, so that replay needs nothing but events."""

from msgspec.structs import replace

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
from tai_autonomics.domain.entitlement.states import EntitlementState


def evolve(state: EntitlementState, event: EntitlementEvent) -> EntitlementState:
    """The entitlement after the event."""
    match event:
        case EntitlementVerified():
            return state
        case EntitlementRequested(_, plan, observed_at):
            return EntitlementState("requested", plan, observed_at=observed_at)
        case EntitlementGranted(_, plan, expires_at, observed_at):
            return EntitlementState("active", plan, expires_at=expires_at, observed_at=observed_at or state.observed_at)
        case EntitlementScheduled(_, plan, effective_at, expires_at, observed_at):
            newest = observed_at or state.observed_at
            return EntitlementState("scheduled", plan, effective_at, expires_at, observed_at=newest)
        case EntitlementActivated():
            return replace(state, status="active", effective_at=None)
        case EntitlementPlanChangeScheduled(_, plan, effective_at, observed_at):
            newest = observed_at or state.observed_at
            return replace(state, next_plan=plan, next_plan_at=effective_at, observed_at=newest)
        case EntitlementPlanChanged(_, _, plan, observed_at):
            newest = observed_at or state.observed_at
            return replace(state, plan=plan, next_plan=None, next_plan_at=None, observed_at=newest)
        case EntitlementSuspended(_, was, observed_at):
            return replace(state, status="suspended", was=was, observed_at=observed_at or state.observed_at)
        case EntitlementResumed(_, to, observed_at):
            return replace(state, status=to, was=None, observed_at=observed_at or state.observed_at)
        case EntitlementCancellationScheduled():
            return _cancelling(state, event)
        case EntitlementReinstated(_, observed_at):
            newest = observed_at or state.observed_at
            return replace(state, status="active", ends_at=None, cancellation_date=None, observed_at=newest)
        case EntitlementRenewed(_, expires_at, ends_at, observed_at):
            newest = observed_at or state.observed_at
            return replace(state, expires_at=expires_at, ends_at=ends_at, observed_at=newest)
        case EntitlementRejected(_, at):
            return EntitlementState("rejected", ended_at=at)
        case EntitlementCancelled(_, at):
            return EntitlementState("cancelled", ended_at=at)
        case EntitlementRevoked(_, at):
            return EntitlementState("revoked", ended_at=at)
        case EntitlementExpired(_, at):
            return EntitlementState("expired", ended_at=at)


def _cancelling(state: EntitlementState, event: EntitlementCancellationScheduled) -> EntitlementState:
    return replace(
        state,
        status=event.to,
        was="pending_cancellation" if event.to == "suspended" else None,
        ends_at=event.at,
        cancellation_date=event.effective_at,
        observed_at=event.observed_at or state.observed_at,
    )
