"""What each gate looked at, a sentence a gate; the evidence is the receipt's own."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from tai_autonomics.cli.explaining.words import json_text


def sentence_of(gate: str, evidence: dict[str, Any], *, passed: bool) -> str:
    """Whether it was passed, and what it looked at: evidence that has no words here is told as it stands."""
    seen = _Seen(evidence)
    said = SAID[gate](seen, passed) if gate in SAID else ""
    verdict = "passed" if passed else "failed"
    rest = f" Further evidence: {json_text(seen.untold)}." if seen.untold else ""
    return f"{verdict}: {said}{rest}" if said else f"{verdict}.{rest}"


class _Seen:
    """The evidence, and what of it nobody told yet."""

    def __init__(self, evidence: dict[str, Any]) -> None:
        self.untold = dict(evidence)

    def take(self, name: str) -> Any:
        return self.untold.pop(name, None)

    def told(self, before: str, name: str, after: str = "") -> str:
        """The member between these words; nothing where it is not there."""
        value = self.take(name)
        return "" if value is None else f"{before}{value}{after}"


def _compliance(seen: _Seen, passed: bool) -> str:
    concern, holds, controls = seen.take("concern"), seen.take("holds") or [], seen.take("controls") or {}
    in_all, evidence = seen.take("holds_in_all"), seen.take("evidence") or []
    words = CONCERNS.get(concern, concern)
    on = f"no hold is on that closes {words}"
    if holds:
        on = f"of the holds that close {words}, {in_all} are on: {', '.join(holds)} (by {', '.join(evidence)})"
    required = ", ".join(f"{control} is {standing}" for control, standing in controls.items())
    until, kept = seen.told(", at the latest until ", "until"), seen.told("; retention keeps it until ", "kept_until")
    return f"{on}{until}{f'; required is that {required}' if required else ''}{kept}."


CONCERNS: Final[Mapping[str, str]] = MappingProxyType(
    {"service": "service", "actions": "actions of rules", "erasure": "erasure"}
)
"""What compliance is asked about."""


def _entitlement(seen: _Seen, passed: bool) -> str:
    named, state, some = seen.take("entitlement_id"), seen.take("state"), seen.take("entitlements_in_service")
    plan = seen.told(", with the plan ", "plan")
    if named is not None:
        return f"the entitlement {named} is {state or 'in no known state'}{plan}."
    effective = plan.replace(", with", "; the effective one is", 1)
    return f"of the tenant's entitlements, {0 if some is None else some} are in service{effective}."


def _feature(seen: _Seen, passed: bool) -> str:
    feature, plan = seen.take("feature"), seen.take("plan")
    has = "includes" if passed else "does not include"
    return f"{'no plan of the file' if plan is None else f'the plan {plan}'} {has} the feature {feature}."


def _quota(seen: _Seen, passed: bool) -> str:
    quota, plan, used = seen.take("quota"), seen.take("plan"), seen.take("used")
    if used is None:
        return f"{'no plan of the file' if plan is None else f'the plan {plan}'} has no quota {quota}."
    limit, kind = seen.take("limit"), seen.told("", "kind", " ")
    bound = f"without a {kind}limit" if limit is None else f"of the {kind}limit {limit}"
    said = f"{used} of {quota} were used {bound}{seen.told(' per ', 'per')}"
    wanted = seen.told(", ", "remaining", " remained") + seen.told(", and ", "amount", " were asked for")
    window = seen.told("; the window began at ", "window_start") + seen.told(" and resets at ", "resets_at")
    return f"{said}{wanted}{window}."


def _governor(seen: _Seen, passed: bool) -> str:
    state, causes = seen.take("state"), seen.take("causes")
    why = f"refusing because of {', '.join(map(str, causes))}" if causes else "nothing holds its rules back"
    return f"the governor was {state}: {why}{seen.told(', until ', 'until')}."


def _budget(seen: _Seen, passed: bool) -> str:
    used = seen.take("used")
    if used is None:
        seen.take("bounded")
        return "the actions have no budget."
    return (
        f"{used} of {seen.take('max')} actions per {seen.take('per_seconds')} s were used"
        f"{seen.told(' of the budget of the ', 'budget_of')}, in the window that began at"
        f" {seen.take('window_start')} and resets at {seen.take('resets_at')}."
    )


def _throttle(seen: _Seen, passed: bool) -> str:
    return (
        f"the action {seen.take('action_id')} holds the tenant to {seen.take('max')} checks and consumes per"
        f" {seen.take('per_seconds')} s until {seen.take('until')}; {seen.take('used')} were counted by this"
        f" {seen.take('counted_by')}, in the window that began at {seen.take('window_start')} and resets at"
        f" {seen.take('resets_at')}."
    )


SAID: Final[Mapping[str, Callable[[_Seen, bool], str]]] = MappingProxyType(
    {
        "compliance_permits": _compliance,
        "entitlement_is_in_service": _entitlement,
        "rate_is_within_throttle": _throttle,
        "plan_includes_feature": _feature,
        "quota_is_available": _quota,
        "governor_is_not_refusing": _governor,
        "action_is_within_budget": _budget,
    }
)
