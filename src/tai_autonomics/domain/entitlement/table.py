"""The table of what is allowed: what is not listed is refused."""

from typing import Final

from msgspec import Struct

from tai_autonomics.domain.entitlement.commands import (
    Activate,
    ApplyPlanChange,
    Cancel,
    ChangePlan,
    EndTerm,
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
from tai_autonomics.domain.entitlement.states import Status

FROM: Final[dict[type[Struct], tuple[Status, ...]]] = {
    Verify: ("active", "pending_cancellation"),
    Request: ("none",),
    Grant: ("none", "requested", "scheduled"),
    Reject: ("requested", "scheduled"),
    ChangePlan: ("active", "pending_cancellation"),
    Suspend: ("active", "pending_cancellation"),
    Resume: ("suspended",),
    Cancel: ("active", "suspended"),
    Reinstate: ("pending_cancellation",),
    Renew: ("active", "pending_cancellation", "suspended"),
    Revoke: ("requested", "scheduled", "active", "pending_cancellation", "suspended"),
}
"""From which states a command is allowed."""

FROM_TIMER: Final[dict[type[Struct], tuple[Status, ...]]] = {
    Activate: ("scheduled",),
    Expire: ("active", "suspended"),  # a pending cancellation ends the term first, at the latest together with it
    EndTerm: ("pending_cancellation", "suspended"),
    ApplyPlanChange: ("active", "pending_cancellation", "suspended"),
}
"""The same for timers."""
