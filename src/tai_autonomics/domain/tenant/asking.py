"""The gates, asked about one tenant under the plans in force."""

from tai_autonomics.domain.gates import Failed, Passed, entitlement_is_in_service, some_entitlement_is_in_service
from tai_autonomics.domain.identifiers import EntitlementId
from tai_autonomics.domain.plans import Plan, Plans, highest
from tai_autonomics.domain.tenant.state import TenantState, entitlement_of


def effective_plan(state: TenantState, plans: Plans) -> Plan | None:
    """The highest-ranked plan among the entitlements in service, as the plans in force have it."""
    return highest(state.in_service, plans)


def tenant_is_entitled(entitlement_id: EntitlementId | None, state: TenantState, plan: Plan | None) -> Passed | Failed:
    """The named entitlement is in service, or any of the tenant's when none is named. `plan` is the effective one."""
    if entitlement_id is None:
        return some_entitlement_is_in_service(state.in_service, plan)
    return entitlement_is_in_service(entitlement_id, entitlement_of(state, entitlement_id))
