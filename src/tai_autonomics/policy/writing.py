"""Writing plans back into a plans file, as the reader takes them."""

import json

from yaml import MappingNode

from tai_autonomics.domain.actions import (
    Order,
    Publish,
    Rollback,
    Scale,
    SuspendEntitlements,
    Throttle,
    Webhook,
    type_of,
)
from tai_autonomics.domain.plans import Plan, Retention
from tai_autonomics.domain.rules import Budget, Governance, Lasting, Rule, Samples
from tai_autonomics.policy.nodes import duration

Members = dict[str, object]


def written(plan: Plan) -> str:
    """The plan as a member of the file's mapping of plans, in one line of JSON, which is YAML too."""
    members: Members = {
        "rank": plan.rank,
        "features": sorted(plan.features),
        "quotas": {
            quota.name: {
                "limit": "unlimited" if quota.limit is None else quota.limit,
                "per": quota.per,
                "kind": quota.kind,
                "thresholds": quota.thresholds,
            }
            for quota in plan.quotas.values()
        },
        "on_stale": plan.on_stale,
    }
    if plan.requires:
        members["requires"] = plan.requires
    if retention := _retention(plan.retention):
        members["retention"] = retention
    if plan.governor != Governance():
        members["governor"] = _governor(plan.governor)
    # Not as escapes: JSON writes a character beyond U+FFFF as two of them, and YAML would read two characters.
    return f"{json.dumps(plan.name)}: {json.dumps(members, ensure_ascii=False)}"


def with_members(text: bytes, mapping: MappingNode, members: list[str]) -> bytes:
    """
    The text with more members at the beginning of a mapping, in its own style.

    At the beginning, because there is only one way in: at the end there may be a comment, a comma or a document's end.
    """
    decoded = text.decode()
    at, column = mapping.start_mark.index, mapping.start_mark.column
    if mapping.flow_style:
        return (decoded[: at + 1] + "".join(f"{member}, " for member in members) + decoded[at + 1 :]).encode()
    return (decoded[:at] + "".join(f"{member}\n{' ' * column}" for member in members) + decoded[at:]).encode()


def _retention(retention: Retention) -> Members:
    kept = {"receipts": retention.receipts_seconds, "parts": retention.parts_seconds}
    return {name: duration(seconds) for name, seconds in kept.items() if seconds}


def _governor(governor: Governance) -> Members:
    breaker = None if governor.failures_max is None else {"failures": governor.failures_max}
    return _present(
        budget=None if governor.budget is None else _budget(governor.budget),
        breaker=breaker,
        rules=[_rule(rule) for rule in governor.rules],
    )


def _rule(rule: Rule) -> Members:
    approval = rule.approval
    return _present(
        name=rule.name,
        signal=rule.signal,
        over=over_written(rule.over),
        warn_when=None if rule.warn_when is None else rule.warn_when.text,
        act_when=rule.act_when.text,
        clear_when=rule.clear_when.text,
        cooldown=duration(rule.cooldown_seconds),
        action=type_of(rule.order),
        **{"with": _order(rule.order)},
        mode=rule.mode,
        approval=None if approval is None else {"within": duration(approval.within_seconds), "people": approval.people},
        attempts=rule.attempts_max,
        timeout=duration(rule.timeout_seconds),
    )


def over_written(over: Samples | Lasting) -> str:
    """A window as a rule's `over` says it."""
    match over:
        case Samples(count):
            return f"{count} samples"
        case Lasting(seconds):
            return duration(seconds)


def _budget(budget: Budget) -> Members:
    return {"max": budget.max, "per": duration(budget.per_seconds)}


def _order(order: Order) -> Members:
    match order:
        case Webhook(url, idempotent):
            return {"url": url, "idempotent": idempotent}
        case Publish(topic):
            return {"topic": topic}
        case Scale(service, step, most, least):
            return {"service": service, "step": step, "max": most, "min": least}
        case Rollback(service):
            return {"service": service}
        case Throttle(requests, per_seconds, for_seconds):
            return {"requests": requests, "per": duration(per_seconds), "for": duration(for_seconds)}
        case SuspendEntitlements():
            return {}


def _present(**members: object) -> Members:
    return {name: member for name, member in members.items() if member is not None}
