"""
What a command must pass, in order: each gate answers Passed or Failed, with the evidence of what it looked at.

    1 compliance_permits   2 entitlement_is_in_service   3 plan_includes_feature   4 quota_is_available
    rate_is_within_throttle, after 2 and only while an action throttles the tenant
    5 governor_is_not_refusing   6 action_is_within_budget
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal, ParamSpec, Protocol, TypeAlias

from msgspec import Struct

from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.compliance import ComplianceState, Concern, holds_on, wanting
from tai_autonomics.domain.decider import Reason
from tai_autonomics.domain.entitlement import IN_SERVICE, EntitlementState
from tai_autonomics.domain.governor import ENDED_BY_RESUME, GovernorState, Throttled, refusing_until, status_of
from tai_autonomics.domain.identifiers import EntitlementId, FeatureName, PlanName, QuotaName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plan, Plans, Quota, offered, shown
from tai_autonomics.domain.quota import QuotaUse, is_available

JSON: TypeAlias = "str | int | bool | list[JSON] | dict[str, JSON]"
Gate = Literal[
    "compliance_permits",
    "entitlement_is_in_service",
    "rate_is_within_throttle",
    "plan_includes_feature",
    "quota_is_available",
    "governor_is_not_refusing",
    "action_is_within_budget",
]
CheckReason = Reason | Literal["feature_not_in_plan"]
"""A check can also fail for a feature, which no command asks for."""


class Passed(Struct, frozen=True):
    gate: Gate
    evidence: dict[str, JSON]


class Failed(Struct, frozen=True):
    """`next_step` is what the caller can do."""

    gate: Gate
    evidence: dict[str, JSON]
    reason: CheckReason
    detail: str
    next_step: str


P = ParamSpec("P")


class Ask(Protocol):
    """Asks a gate, and hands on its answer: for whoever wants to know how long gates take, which is not said here."""

    def __call__(self, gate: Callable[P, Passed | Failed], /, *args: P.args, **kwargs: P.kwargs) -> Passed | Failed: ...


def plainly(gate: Callable[P, Passed | Failed], /, *args: P.args, **kwargs: P.kwargs) -> Passed | Failed:
    """Asks, and does nothing else."""
    return gate(*args, **kwargs)


HOLDS_SHOWN_MAX: Final = 4
"""So many of the holds that close it are named in a receipt."""
_OPEN: Final = {
    concern: Passed("compliance_permits", {"concern": concern, "holds": []})
    for concern in ("service", "actions", "erasure")
}


def compliance_permits(
    concern: Concern, state: ComplianceState, plan: Plan | None, now: Moment, kept_until: Moment | None = None
) -> Passed | Failed:
    """
    No hold closes it at `now`, and what the effective plan requires is attested (which erasing does not need).

    `kept_until`: when the retention of what is to be erased or archived ends, where there is one.
    """
    requires = () if plan is None else plan.requires
    if not state.holds and not requires and kept_until is None:
        return _OPEN[concern]
    holds, wanted = holds_on(concern, state, now), wanting(requires, concern, state, now)
    named = list(holds)[:HOLDS_SHOWN_MAX]
    evidence: dict[str, JSON] = {"concern": concern, "holds": [*named]}
    if requires and concern != "erasure":
        evidence["controls"] = {control: wanted.get(control, "compliant") for control in requires}
    if kept_until is not None:
        evidence["kept_until"] = kept_until
    is_kept = kept_until is not None and now < kept_until
    if not holds and not wanted and not is_kept:
        return Passed("compliance_permits", evidence)
    why, ways = [], []
    if holds:
        evidence["holds_in_all"] = len(holds)
        evidence["evidence"] = [holds[hold_id].evidence for hold_id in named]
        why.append(f"holds are on: {shown(holds)}")
        ends = [hold.expires_at for hold in holds.values()]
        until = None if None in ends else max(end for end in ends if end is not None)
        ways.append("release what holds it" if until is None else f"release what holds it, or wait until {until}")
        if until is not None:
            evidence["until"] = until
    if wanted:
        why.append(f"required and not attested: {shown(f'{control} ({how})' for control, how in wanted.items())}")
        ways.append("have an auditor attest the required controls")
    if is_kept:
        why.append(f"retention keeps it until {kept_until}")
        ways.append(f"wait until {kept_until}")
    detail = f"compliance is closed for {concern}: {'; '.join(why)}"
    return Failed("compliance_permits", evidence, "compliance_closed", detail, " and ".join(ways))


def entitlement_is_in_service(entitlement_id: EntitlementId, state: EntitlementState) -> Passed | Failed:
    """The one that was named."""
    evidence: dict[str, JSON] = {"entitlement_id": entitlement_id, "state": state.status}
    if state.plan is not None:
        evidence["plan"] = state.plan
    if state.status in IN_SERVICE:
        return Passed("entitlement_is_in_service", evidence)
    detail = (
        f"the entitlement {entitlement_id} is {state.status}"
        if state.status != "none"
        else f"there is no entitlement {entitlement_id}"
    )
    return Failed("entitlement_is_in_service", evidence, "entitlement_inactive", detail, _next_step(state))


def some_entitlement_is_in_service(in_service: Mapping[PlanName, int], plan: Plan | None) -> Passed | Failed:
    """Any of the tenant's. `plan` is the effective one."""
    evidence: dict[str, JSON] = {"entitlements_in_service": sum(in_service.values())}
    if plan is not None:
        evidence["plan"] = plan.name
    if in_service:
        return Passed("entitlement_is_in_service", evidence)
    detail = "the tenant has no entitlement in service"
    return Failed(
        "entitlement_is_in_service", evidence, "entitlement_inactive", detail, "grant the tenant an entitlement"
    )


def rate_is_within_throttle(throttle: Throttled, use: BudgetUse) -> Passed | Failed:
    """`use` is the present window's, before what is asked, as the instance that answers has counted it."""
    evidence: dict[str, JSON] = {
        "action_id": throttle.action_id,
        "counted_by": "instance",
        "used": use.used,
        "max": throttle.requests,
        "per_seconds": throttle.per_seconds,
        "window_start": use.window_start,
        "resets_at": min(use.window_end, throttle.until),
        "until": throttle.until,
    }
    if use.used < throttle.requests:
        return Passed("rate_is_within_throttle", evidence)
    detail = (
        f"the action {throttle.action_id} holds the tenant to {throttle.requests} checks and consumes in"
        f" {throttle.per_seconds} s until {throttle.until}"
    )
    next_step = f"wait until {evidence['resets_at']}, then send it again with the same key"
    return Failed("rate_is_within_throttle", evidence, "rate_limited", detail, next_step)


def plan_includes_feature(feature: FeatureName, plan: Plan | None, plans: Plans) -> Passed | Failed:
    """`plan` is the effective one; None when the plans file knows none of the plans that are held."""
    evidence: dict[str, JSON] = {"feature": feature}
    if plan is not None:
        evidence["plan"] = plan.name
        if feature in plan.features:
            return Passed("plan_includes_feature", evidence)
    including = [other.name for other in offered(plans) if feature in other.features]
    next_step = f"change to a plan that includes it: {shown(including)}" if including else "no plan includes it"
    detail = f"the tenant's plan does not include the feature {feature}"
    return Failed("plan_includes_feature", evidence, "feature_not_in_plan", detail, next_step)


def quota_is_in_plan(name: QuotaName, plan: Plan | None) -> Failed:
    """The answer of quota_is_available when the effective plan has no such quota."""
    evidence: dict[str, JSON] = {"quota": name}
    if plan is None:
        detail, next_step = "no plan of the tenant's is in the plans file", "change to a plan that is offered"
    else:
        evidence["plan"] = plan.name
        detail = f"the plan {plan.name} has no quota {name}"
        next_step = f"name one of its quotas: {shown(sorted(plan.quotas))}" if plan.quotas else "the plan has no quotas"
    return Failed("quota_is_available", evidence, "unknown_quota", detail, next_step)


def quota_is_available(quota: Quota, use: QuotaUse, amount: int) -> Passed | Failed:
    """`use` is the current window's. Without a limit, neither it nor what remains of it is in the evidence."""
    evidence: dict[str, JSON] = {
        "quota": quota.name,
        "used": use.used,
        "amount": amount,
        "per": quota.per,
        "kind": quota.kind,
    }
    if quota.limit is not None:
        evidence["limit"] = quota.limit
        evidence["remaining"] = max(quota.limit - use.used, 0)
    if use.window_start is not None and use.window_end is not None:
        evidence["window_start"] = use.window_start
        evidence["resets_at"] = use.window_end
    if is_available(quota, use, amount):
        return Passed("quota_is_available", evidence)
    return Failed("quota_is_available", evidence, "quota_exceeded", _excess(quota, use, amount), _way_out(quota, use))


def governor_is_not_refusing(state: GovernorState) -> Passed | Failed:
    """Nothing holds the governor's rules back."""
    causes = sorted(state.refusing)
    evidence: dict[str, JSON] = {"state": status_of(state), "causes": [*causes]}
    if not causes:
        return Passed("governor_is_not_refusing", evidence)
    until = refusing_until(state)
    if until is not None:
        evidence["until"] = until
    detail = f"the governor is refusing: {', '.join(causes)}"
    return Failed("governor_is_not_refusing", evidence, "governor_refusing", detail, _way_on(state, until))


def action_is_within_budget(use: BudgetUse | None, *, of: Literal["tenant", "fleet"] = "tenant") -> Passed | Failed:
    """`use` is the present window's, before the action; None where there is no budget. `of` says whose budget it is."""
    if use is None:
        return Passed("action_is_within_budget", {"bounded": False})
    evidence: dict[str, JSON] = {
        "budget_of": of,
        "used": use.used,
        "max": use.max,
        "per_seconds": use.per_seconds,
        "window_start": use.window_start,
        "resets_at": use.window_end,
    }
    if use.used < use.max:
        return Passed("action_is_within_budget", evidence)
    detail = f"the {of}'s budget is used up: {use.used} of {use.max} actions in {use.per_seconds} s"
    next_step = f"wait until {use.window_end}, when it begins anew, or raise the budget in the plans file"
    return Failed("action_is_within_budget", evidence, "action_budget_exhausted", detail, next_step)


def _way_on(state: GovernorState, until: Moment | None) -> str:
    if until is not None:
        return f"wait until {until}"
    if state.refusing.keys() & ENDED_BY_RESUME:
        return "resume the governor"
    return "release the hold, or have the required controls attested"


def _excess(quota: Quota, use: QuotaUse, amount: int) -> str:
    allowed = "can be counted" if quota.limit is None or quota.kind == "soft" else f"the {quota.limit} allowed"
    return f"{amount} of {quota.name} on top of {use.used} is more than {allowed} per {quota.per}"


def _way_out(quota: Quota, use: QuotaUse) -> str:
    if use.window_end is None:
        return "release what is no longer used, or change to a plan with a higher limit"
    return f"wait until {use.window_end}, when it resets, or change to a plan with a higher limit"


def _next_step(state: EntitlementState) -> str:
    match state.status:
        case "none":
            return "request or grant it"
        case "requested":
            return "grant it"
        case "scheduled":
            return f"wait until {state.effective_at}, or grant it without effective_at"
        case "suspended":
            return "resume it"
        case _:
            return "request a new entitlement id: this one is final"
