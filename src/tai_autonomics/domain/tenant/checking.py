"""May the tenant do this? What would be decided, without deciding it."""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.domain.gates import (
    CheckReason,
    Failed,
    Passed,
    plan_includes_feature,
    quota_is_available,
    quota_is_in_plan,
)
from tai_autonomics.domain.governor import Throttled
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
    throttle: Throttled | None = None
    """What an action set for the tenant as a whole, for whoever answers to count by."""


def check(checks: tuple[Check, ...], state: TenantState, *, now: Moment, plans: Plans) -> tuple[CheckResult, ...]:
    """What would be decided at `now`, after the timers due by then. Writes nothing."""
    current = after_timers(state, now)
    plan = effective_plan(current, plans)
    throttle = throttle_in_force(current, now)
    return tuple(_checked(each, current, plan, now, plans, throttle) for each in checks)


def when_stale(
    results: tuple[CheckResult, ...], state: TenantState, *, now: Moment, plans: Plans
) -> tuple[CheckResult, ...]:
    """What holds where a newer state may exist: the plan's `on_stale`. Denying keeps the gates as they stood."""
    plan = effective_plan(after_timers(state, now), plans)
    if plan is None or plan.on_stale == "allow":
        return results
    return tuple(replace(each, allowed=False, reason=each.reason or "state_is_stale") for each in results)


def _checked(
    asked: Check, state: TenantState, plan: Plan | None, now: Moment, plans: Plans, throttle: Throttled | None
) -> CheckResult:
    gates = [tenant_is_entitled(asked.entitlement_id, state, plan)]
    limits: dict[QuotaName, Limit] = {}
    # Without anything in service there is no plan that could be asked.
    if plan is not None or isinstance(gates[0], Passed):
        if asked.feature is not None:
            gates.append(plan_includes_feature(asked.feature, plan, plans))
        if asked.quota is not None:
            available, limit = _quota_checked(asked.quota, asked.amount, state, plan, now)
            gates.append(available)
            limits = {} if limit is None else {asked.quota: limit}
    reason = next((gate.reason for gate in gates if isinstance(gate, Failed)), None)
    return CheckResult(reason is None, reason, limits, tuple(gates), throttle)


def _quota_checked(
    name: QuotaName, amount: int, state: TenantState, plan: Plan | None, now: Moment
) -> tuple[Passed | Failed, Limit | None]:
    quota = None if plan is None else plan.quotas.get(name)
    if quota is None:
        return quota_is_in_plan(name, plan), None
    use = use_at(now, quota.per, state.quotas.get(name))
    remaining = None if quota.limit is None else max(quota.limit - use.used, 0)
    return quota_is_available(quota, use, amount), Limit(quota.limit, use.used, remaining, use.window_end)
