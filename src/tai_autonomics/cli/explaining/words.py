"""Words that several sentences need: conditions, windows, budgets, orders."""

from typing import Any

import msgspec

from tai_autonomics.cli.output import counted
from tai_autonomics.domain.actions import (
    Order,
    Publish,
    Rollback,
    Scale,
    SuspendEntitlements,
    Throttle,
    Webhook,
)
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.governor import Grounds


def json_text(value: Any) -> str:
    """As a receipt has it; for what has no words of ours: labels, targets."""
    return msgspec.json.encode(value, order="sorted").decode()


def grounds_words(grounds: Grounds) -> str:
    """The condition that held, and the window that it held for."""
    window = grounds.window
    return (
        f"its {grounds.condition}, `{grounds.text}`, held for a window of {counted(window.count, 'measurement')} with"
        f" avg {window.avg}, min {window.min}, max {window.max}, last {window.last}"
    )


def budget_words(budget: BudgetUse) -> str:
    """How much is used, of how much, in which window."""
    return (
        f"{budget.used} of {budget.max} actions per {budget.per_seconds} s,"
        f" in the window from {budget.window_start} to {budget.window_end}"
    )


def order_words(order: Order) -> str:
    """What is to be done, in the imperative."""
    match order:
        case Webhook(url, idempotent):
            once = "which takes one webhook-id once" if idempotent else "which would take a second attempt for another"
            return f"post a signed webhook to {url}, {once}"
        case Publish(topic):
            return f"publish a CloudEvent to the topic {topic}"
        case Scale(service, step, max_, min_):
            return f"move the minimum of instances of {service} by {step}, within {min_} and {max_}"
        case Rollback(service):
            return f"send the traffic of {service} to the ready revision before its present one"
        case Throttle(requests, per_seconds, for_seconds):
            return (
                f"allow the tenant at most {requests} checks and consumes in {per_seconds} s on each instance,"
                f" for {for_seconds} s"
            )
        case SuspendEntitlements():
            return "suspend every entitlement of the tenant that is in service"
