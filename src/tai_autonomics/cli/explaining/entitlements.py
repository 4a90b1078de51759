"""What happened to an entitlement, a sentence an event."""

from tai_autonomics.domain.entitlement import (
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
from tai_autonomics.domain.moments import Moment


def sentence_of(event: EntitlementEvent) -> str:
    """What the event says, all of it."""
    id_ = event.entitlement_id
    match event:
        case EntitlementVerified(plan=plan):
            return f"The entitlement {id_} is in service, with the plan {plan}: the tenant may use the product."
        case EntitlementRequested(plan=plan):
            said = f"The entitlement {id_} was requested with the plan {plan}, and waits for a grant"
        case EntitlementGranted(plan=plan, expires_at=expires_at):
            said = f"The entitlement {id_} is in service from now on, with the plan {plan}, {_term(expires_at)}"
        case EntitlementScheduled(plan=plan, effective_at=effective_at, expires_at=expires_at):
            said = (
                f"The entitlement {id_} was granted with the plan {plan}; it is in service from {effective_at} on,"
                f" {_term(expires_at)}"
            )
        case EntitlementActivated():
            return f"The time of the entitlement {id_} had come: it is in service from now on."
        case EntitlementRejected(at=at):
            return f"The entitlement {id_} was rejected at {at}, for good: it was never in service."
        case EntitlementPlanChangeScheduled(plan=plan, effective_at=effective_at):
            said = f"The entitlement {id_} changes to the plan {plan} at {effective_at}; until then its limits stay"
        case EntitlementPlanChanged(was=was, plan=plan):
            said = f"The entitlement {id_} changed from the plan {was} to the plan {plan}, with its limits, at once"
        case EntitlementSuspended(was=was):
            said = f"The entitlement {id_} is out of service until it is resumed; a resume makes it {was} again"
        case EntitlementResumed(to=to):
            said = f"The entitlement {id_} is in service again: {to}"
        case EntitlementCancellationScheduled(to=to, at=at, effective_at=effective_at):
            said = f"The entitlement {id_} ends at {at}, for good; until then it is {to}{_dated(effective_at)}"
        case EntitlementCancelled(at=at):
            return f"The entitlement {id_} was cancelled at {at}, for good."
        case EntitlementReinstated():
            said = f"The entitlement {id_} does not end with its cancellation any more"
        case EntitlementRenewed(expires_at=expires_at, ends_at=ends_at):
            said = f"The entitlement {id_} was renewed: its term ends at {expires_at}{_ending(ends_at)}"
        case EntitlementRevoked(at=at):
            return f"The entitlement {id_} was revoked at {at}, at once and for good."
        case EntitlementExpired(at=at):
            return f"The term of the entitlement {id_} ended at {at}: it expired, for good."
    return f"{said}{_observed(event.observed_at)}."


def _term(expires_at: Moment | None) -> str:
    return "without an end" if expires_at is None else f"until its term ends at {expires_at}"


def _dated(effective_at: Moment | None) -> str:
    return "" if effective_at is None else f"; the caller named the date {effective_at}, which no renewal moves"


def _ending(ends_at: Moment | None) -> str:
    return "" if ends_at is None else f"; its cancellation ends it at {ends_at} all the same"


def _observed(observed_at: Moment | None) -> str:
    return "" if observed_at is None else f" (by its source's own clock that was at {observed_at})"
