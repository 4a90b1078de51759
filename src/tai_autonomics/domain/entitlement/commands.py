"""
What a caller can ask of an entitlement, and what its timers ask when their time has come.

`observed_at` is when the source says that it happened: an older one than was applied already is refused as stale.
"""

from typing import ClassVar

from msgspec import Struct

from tai_autonomics.domain.entitlement.states import TimerKind
from tai_autonomics.domain.identifiers import EntitlementId, PlanName
from tai_autonomics.domain.moments import Moment


class Verify(Struct, frozen=True, gc=False):
    """Asks, for the record, whether the entitlement is in service."""

    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class Request(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    plan: PlanName
    observed_at: Moment | None = None


class Grant(Struct, frozen=True, gc=False):
    """`plan` and `expires_at` None are what was requested or scheduled; `effective_at` None or past is now."""

    entitlement_id: EntitlementId
    plan: PlanName | None = None
    effective_at: Moment | None = None
    expires_at: Moment | None = None
    observed_at: Moment | None = None


class Reject(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class ChangePlan(Struct, frozen=True, gc=False):
    """`effective_at` None or past is now; a later change takes the place of one that waits."""

    entitlement_id: EntitlementId
    plan: PlanName
    effective_at: Moment | None = None
    observed_at: Moment | None = None


class Suspend(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class Resume(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class Cancel(Struct, frozen=True, gc=False):
    """Ends at `effective_at` or at the end of the term, whichever comes first; past or neither is now."""

    entitlement_id: EntitlementId
    effective_at: Moment | None = None
    observed_at: Moment | None = None


class Reinstate(Struct, frozen=True, gc=False):
    """Takes back a cancellation that waits."""

    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class Renew(Struct, frozen=True, gc=False):
    """`expires_at` is after the present term's end; without a term, after now."""

    entitlement_id: EntitlementId
    expires_at: Moment
    observed_at: Moment | None = None


class Revoke(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class Activate(Struct, frozen=True, gc=False):
    """The timer of a scheduled entitlement."""

    kind: ClassVar[TimerKind] = "activate"
    entitlement_id: EntitlementId
    due: Moment


class Expire(Struct, frozen=True, gc=False):
    """The timer of `expires_at`."""

    kind: ClassVar[TimerKind] = "expire"
    entitlement_id: EntitlementId
    due: Moment


class EndTerm(Struct, frozen=True, gc=False):
    """The timer of a cancellation that waits."""

    kind: ClassVar[TimerKind] = "end_of_term"
    entitlement_id: EntitlementId
    due: Moment


class ApplyPlanChange(Struct, frozen=True, gc=False):
    """The timer of a plan change that waits."""

    kind: ClassVar[TimerKind] = "plan_change"
    entitlement_id: EntitlementId
    due: Moment


EntitlementCommand = (
    Verify | Request | Grant | Reject | ChangePlan | Suspend | Resume | Cancel | Reinstate | Renew | Revoke
)
EntitlementTimer = Activate | Expire | EndTerm | ApplyPlanChange
