"""What can have happened to an entitlement: each event carries every value that it changes."""

from typing import Literal

from tai_autonomics.domain.decider import Recorded
from tai_autonomics.domain.entitlement.states import InService
from tai_autonomics.domain.identifiers import EntitlementId, PlanName
from tai_autonomics.domain.moments import Moment


class EntitlementRequested(Recorded, frozen=True):
    entitlement_id: EntitlementId
    plan: PlanName
    observed_at: Moment | None = None


class EntitlementGranted(Recorded, frozen=True):
    """In service from now on."""

    entitlement_id: EntitlementId
    plan: PlanName
    expires_at: Moment | None = None
    observed_at: Moment | None = None


class EntitlementScheduled(Recorded, frozen=True):
    """Granted, in service from `effective_at` on."""

    entitlement_id: EntitlementId
    plan: PlanName
    effective_at: Moment
    expires_at: Moment | None = None
    observed_at: Moment | None = None


class EntitlementActivated(Recorded, frozen=True):
    entitlement_id: EntitlementId


class EntitlementRejected(Recorded, frozen=True):
    entitlement_id: EntitlementId
    at: Moment


class EntitlementPlanChangeScheduled(Recorded, frozen=True):
    entitlement_id: EntitlementId
    plan: PlanName
    effective_at: Moment
    observed_at: Moment | None = None


class EntitlementPlanChanged(Recorded, frozen=True):
    entitlement_id: EntitlementId
    was: PlanName
    plan: PlanName
    observed_at: Moment | None = None


class EntitlementSuspended(Recorded, frozen=True):
    """`was` is what a resume restores."""

    entitlement_id: EntitlementId
    was: InService
    observed_at: Moment | None = None


class EntitlementResumed(Recorded, frozen=True):
    entitlement_id: EntitlementId
    to: InService
    observed_at: Moment | None = None


class EntitlementCancellationScheduled(Recorded, frozen=True):
    """It ends `at`; `effective_at` is the date that the caller gave, if any, which no renewal moves."""

    entitlement_id: EntitlementId
    to: Literal["pending_cancellation", "suspended"]
    at: Moment
    effective_at: Moment | None = None
    observed_at: Moment | None = None


class EntitlementCancelled(Recorded, frozen=True):
    entitlement_id: EntitlementId
    at: Moment


class EntitlementReinstated(Recorded, frozen=True):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class EntitlementRenewed(Recorded, frozen=True):
    """`ends_at` is when a cancellation that waits ends it now."""

    entitlement_id: EntitlementId
    expires_at: Moment
    ends_at: Moment | None = None
    observed_at: Moment | None = None


class EntitlementRevoked(Recorded, frozen=True):
    entitlement_id: EntitlementId
    at: Moment


class EntitlementExpired(Recorded, frozen=True):
    entitlement_id: EntitlementId
    at: Moment


class EntitlementVerified(Recorded, frozen=True):
    entitlement_id: EntitlementId
    plan: PlanName


EntitlementEvent = (
    EntitlementVerified
    | EntitlementRequested
    | EntitlementGranted
    | EntitlementScheduled
    | EntitlementActivated
    | EntitlementRejected
    | EntitlementPlanChangeScheduled
    | EntitlementPlanChanged
    | EntitlementSuspended
    | EntitlementResumed
    | EntitlementCancellationScheduled
    | EntitlementCancelled
    | EntitlementReinstated
    | EntitlementRenewed
    | EntitlementRevoked
    | EntitlementExpired
)
