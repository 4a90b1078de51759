"""May the tenant do this? What would be decided, without deciding it."""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.gates import (
    CheckReason,
    Failed,
    Passed,
    compliance_permits,
    plan_includes_feature,
    quota_is_available,
    quota_is_in_plan,
    rate_is_within_throttle,
)
from tai_autonomics.domain.governor import asked_more, throttle_use
from tai_autonomics.domain.identifiers import EntitlementId, FeatureName, QuotaName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plan, Plans
from tai_autonomics.domain.quota import use_at
from tai_autonomics.domain.tenant.asking import effective_plan, tenant_is_entitled
from tai_autonomics.domain.tenant.elapsing import after_timers
from tai_autonomics.domain.tenant.state import TenantState, throttle_in_force


class Check(Struct, frozen=True, gc=False):
    """May the tenant do this? `amount` is what it would consume of the quota."""

    entitlement_id: EntitlementId | None = None
    feature: FeatureName | None = None
    quota: QuotaName | None = None
    amount: int = 1


class Limit(Struct, frozen=True, gc=False):
    """How a quota stands. `limit` and `remaining` None is unlimited; `resets_at` None is never."""

    limit: int | None
    used: int
    remaining: int | None
    resets_at: Moment | None = None


class CheckResult(Struct, frozen=True):
    """
    `reason` is the first failed gate's, or that the state may be an older one.

    `gates` are all that could be asked, also after a failure.
    """

    allowed: bool
    reason: CheckReason | Literal["state_is_stale"] | None
    limits: dict[QuotaName, Limit]
    gates: tuple[Passed | Failed, ...]


def check(
    checks: tuple[Check, ...], state: TenantState, *, now: Moment, plans: Plans, counted: BudgetUse | None = None
) -> tuple[CheckResult, ...]:
    """
    What would be decided at `now`, after the timers due by then. Writes nothing.

    `counted` is what was asked before under the tenant's throttle, while one is in force; each check is one more.
    """
    current = after_timers(state, now)
    plan = effective_plan(current, plans)
    throttle = throttle_in_force(current, now)
    if throttle is None:
        return tuple(_checked(each, current, plan, now, plans, ()) for each in checks)
    use = throttle_use(now, throttle, counted)
    return tuple(
        _checked(each, current, plan, now, plans, (rate_is_within_throttle(throttle, asked_more(use, before)),))
        for before, each in enumerate(checks)
    )


def when_stale(
    results: tuple[CheckResult, ...], state: TenantState, *, now: Moment, plans: Plans
) -> tuple[CheckResult, ...]:
    """What holds where a newer state may exist: the plan's `on_stale`. Denying keeps the gates as they stood."""
    plan = effective_plan(after_timers(state, now), plans)
    if plan is None or plan.on_stale == "allow":
        return results
    return tuple(replace(each, allowed=False, reason=each.reason or "state_is_stale") for each in results)


def _checked(
    asked: Check,
    state: TenantState,
    plan: Plan | None,
    now: Moment,
    plans: Plans,
    within: tuple[Passed | Failed, ...],
) -> CheckResult:
    permitted = compliance_permits("service", state.compliance, plan, now)
    entitled = tenant_is_entitled(asked.entitlement_id, state, plan)
    gates = [permitted, entitled, *within]
    limits: dict[QuotaName, Limit] = {}
    # Without anything in service there is no plan that could be check.
    if plan is not None or isinstance(entitled, Passed):
        if asked.feature is not None:
            gates.append(plan_includes_feature(asked.feature, plan, plans))
        if asked.quota is not None:
            available, limit = _quota_checked(asked.quota, asked.amount, state, plan, now)
            gates.append(available)
            limits = {} if limit is None else {asked.quota: limit}
    reason = next((gate.reason for gate in gates if isinstance(gate, Failed)), None)
    return CheckResult(reason is None, reason, limits, tuple(gates))


def _quota_checked(
    name: QuotaName, amount: int, state: TenantState, plan: Plan | None, now: Moment
) -> tuple[Passed | Failed, Limit | None]:
    quota = None if plan is None else plan.quotas.get(name)
    if quota is None:
        return quota_is_in_plan(name, plan), None
    use = use_at(now, quota.per, state.quotas.get(name))
    remaining = None if quota.limit is None else max(quota.limit - use.used, 0)
    return quota_is_available(quota, use, amount), Limit(quota.limit, use.used, remaining, use.window_end)
