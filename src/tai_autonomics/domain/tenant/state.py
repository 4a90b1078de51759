"""What is known of a tenant between two decisions."""

from typing import Final

from msgspec import Struct

from tai_autonomics.domain.actions import ActionType
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.compliance import INITIAL_STATE as NO_COMPLIANCE
from tai_autonomics.domain.compliance import ComplianceState
from tai_autonomics.domain.entitlement import INITIAL_STATE as NO_ENTITLEMENT
from tai_autonomics.domain.entitlement import EntitlementState, plan_in_service
from tai_autonomics.domain.governor import INITIAL_STATE as NO_GOVERNOR
from tai_autonomics.domain.governor import GovernorState, Throttled
from tai_autonomics.domain.identifiers import EntitlementId, PlanName, QuotaName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import QuotaUse
from tai_autonomics.domain.tenant.timers import Timer


class TenantState(Struct, frozen=True):
    """Everything that is known of a tenant: a fold of its events, and nothing else."""

    plan: PlanName | None = None
    """The effective plan as of the last event that changed it."""
    entitlements: dict[EntitlementId, EntitlementState] = {}
    in_service: dict[PlanName, int] = {}
    """How many entitlements in service hold each plan: kept, so that no decision walks over all entitlements."""
    quotas: dict[QuotaName, QuotaUse] = {}
    timers: dict[str, Timer] = {}
    due: Moment | None = None
    """When the earliest timer is due."""
    governor: GovernorState = NO_GOVERNOR
    fleet: dict[ActionType, BudgetUse] = {}
    """Used in the fleet's ledger alone."""
    compliance: ComplianceState = NO_COMPLIANCE


INITIAL_STATE: Final = TenantState()


def entitlement_of(state: TenantState, entitlement_id: EntitlementId) -> EntitlementState:
    """One that nobody knows is in the state that all begin in."""
    return state.entitlements.get(entitlement_id, NO_ENTITLEMENT)


def throttle_in_force(state: TenantState, now: Moment) -> Throttled | None:
    """What an action set for the tenant's checks and consumes, if that is not over at `now`."""
    throttle = state.governor.throttle
    return throttle if throttle is not None and now < throttle.until else None


def recounted(
    in_service: dict[PlanName, int], *, before: EntitlementState, after: EntitlementState
) -> dict[PlanName, int]:
    """The entitlements in service by plan, once one of them went from `before` to `after`."""
    was, plan = plan_in_service(before), plan_in_service(after)
    if was == plan:
        return in_service
    counts = dict(in_service)
    if plan is not None:
        counts[plan] = counts.get(plan, 0) + 1
    if was is not None:
        counts[was] -= 1
    return {name: count for name, count in counts.items() if count}
