"""What is known of one entitlement, and what its statuses mean."""

from typing import Final, Literal, get_args

from msgspec import Struct

from tai_autonomics.domain.identifiers import PlanName
from tai_autonomics.domain.moments import Moment

Status = Literal[
    "none",
    "requested",
    "scheduled",
    "active",
    "pending_cancellation",
    "suspended",
    "rejected",
    "cancelled",
    "expired",
    "revoked",
]
InService = Literal["active", "pending_cancellation"]
TimerKind = Literal["end_of_term", "expire", "activate", "plan_change"]
"""In the order in which they are decided when they are due at the same time."""

IN_SERVICE: Final = frozenset(get_args(InService))
FINAL: Final[frozenset[Status]] = frozenset({"rejected", "cancelled", "expired", "revoked"})


class EntitlementState(Struct, frozen=True, gc=False, omit_defaults=True):
    """One entitlement. A final one keeps only its status and when it ended."""

    status: Status = "none"
    plan: PlanName | None = None
    effective_at: Moment | None = None
    """When a scheduled one becomes active."""
    expires_at: Moment | None = None
    ends_at: Moment | None = None
    """When a cancellation that waits ends it: never later than `expires_at`."""
    cancellation_date: Moment | None = None
    """The date that the cancellation named, if it named one; `ends_at` is this or an earlier `expires_at`."""
    next_plan: PlanName | None = None
    next_plan_at: Moment | None = None
    was: InService | None = None
    """What a resume restores."""
    observed_at: Moment | None = None
    """The newest of the source's own times that was applied."""
    ended_at: Moment | None = None


INITIAL_STATE: Final = EntitlementState()


def plan_in_service(state: EntitlementState) -> PlanName | None:
    """The plan that the entitlement gives its tenant now."""
    return state.plan if state.status in IN_SERVICE else None


def time_of(kind: TimerKind, state: EntitlementState) -> Moment | None:
    """What the entitlement's timer of that kind is set for."""
    match kind:
        case "activate":
            return state.effective_at
        case "expire":
            return state.expires_at
        case "end_of_term":
            return state.ends_at
        case "plan_change":
            return state.next_plan_at
