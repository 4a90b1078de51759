"""
The entitlement governor: may this tenant use the product?

    none --request--> requested --grant--> active --suspend--> suspended --resume--> what it was
      \\--grant--> scheduled --its time--> active --cancel--> pending_cancellation --end of term--> cancelled
                                             ^---reinstate---/

    requested, scheduled --reject--> rejected
    active, suspended --its term--> expired
    every state but none and a final one --revoke--> revoked

    deciding     may this be asked now, and what does it mean
    ├── refusals     why not, and what the caller can do
    └── table        from which states each command is allowed
    evolving     what each event leaves
    commands, events, states: the words
"""

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
from tai_autonomics.domain.entitlement.deciding import decide, elapse
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
from tai_autonomics.domain.entitlement.evolving import evolve
from tai_autonomics.domain.entitlement.states import (
    FINAL,
    IN_SERVICE,
    INITIAL_STATE,
    EntitlementState,
    Status,
    TimerKind,
    plan_in_service,
)
from tai_autonomics.domain.entitlement.table import FROM

__all__ = [
    "FINAL",
    "FROM",
    "INITIAL_STATE",
    "IN_SERVICE",
    "Activate",
    "ApplyPlanChange",
    "Cancel",
    "ChangePlan",
    "EndTerm",
    "EntitlementActivated",
    "EntitlementCancellationScheduled",
    "EntitlementCancelled",
    "EntitlementCommand",
    "EntitlementEvent",
    "EntitlementExpired",
    "EntitlementGranted",
    "EntitlementPlanChangeScheduled",
    "EntitlementPlanChanged",
    "EntitlementReinstated",
    "EntitlementRejected",
    "EntitlementRenewed",
    "EntitlementRequested",
    "EntitlementResumed",
    "EntitlementRevoked",
    "EntitlementScheduled",
    "EntitlementState",
    "EntitlementSuspended",
    "EntitlementTimer",
    "EntitlementVerified",
    "Expire",
    "Grant",
    "Reinstate",
    "Reject",
    "Renew",
    "Request",
    "Resume",
    "Revoke",
    "Status",
    "Suspend",
    "TimerKind",
    "Verify",
    "decide",
    "elapse",
    "evolve",
    "plan_in_service",
]
