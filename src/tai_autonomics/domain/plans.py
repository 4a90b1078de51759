"""Plans, features and quotas: the plans file, parsed."""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from tai_autonomics.domain.actions import ActionType
from tai_autonomics.domain.identifiers import ControlName, FeatureName, PlanName, QuotaName
from tai_autonomics.domain.rules import Budget, Governance

Per = Literal["minute", "hour", "day", "month", "lifetime"]
Kind = Literal["hard", "soft"]
OnStale = Literal["allow", "deny"]

COUNT_MAX: Final = 2**53 - 1
"""The largest count that a receipt can hold (RFC 8785 takes its numbers from IEEE 754)."""
NAMES_SHOWN_MAX: Final = 10


class Quota(Struct, frozen=True):
    """How much of something a tenant may use in a calendar window (UTC); `limit` None is unlimited."""

    name: QuotaName
    limit: int | None
    per: Per
    kind: Kind
    thresholds: tuple[int, ...] = ()
    """Percents of the limit, ascending."""


class Retention(Struct, frozen=True):
    """
    For how long after its time a receipt must stay in the store, and its parts unerased. 0: nothing is demanded.

    A part is never to be kept for longer than its receipt.
    """

    receipts_seconds: int = 0
    parts_seconds: int = 0


class Plan(Struct, frozen=True):
    """What a tenant gets. `retired`: may still be held, and can no longer be requested, granted or changed to."""

    name: PlanName
    rank: int
    features: frozenset[FeatureName]
    quotas: dict[QuotaName, Quota]
    on_stale: OnStale = "allow"
    retired: bool = False
    governor: Governance = Governance()
    requires: tuple[ControlName, ...] = ()
    """Controls that must be attested compliant for the tenant to be served."""
    retention: Retention = Retention()


class Plans(Struct, frozen=True):
    """
    The plans in force. `digest` is the SHA-256, in hex, of the file that they were read from.

    `fleet` bounds the actions of a type over all tenants together; a type that is not in it is not bounded.
    `retention` is the least of every tenant's, also of one without a plan.
    """

    digest: str
    plans: dict[PlanName, Plan]
    fleet: dict[ActionType, Budget] = {}
    retention: Retention = Retention()


def is_offered(plans: Plans, name: PlanName) -> bool:
    """Whether the plan can be requested, granted and changed to."""
    plan = plans.plans.get(name)
    return plan is not None and not plan.retired


def offered(plans: Plans) -> tuple[Plan, ...]:
    """The plans that can be granted, the lowest rank first."""
    return tuple(sorted((plan for plan in plans.plans.values() if not plan.retired), key=lambda plan: plan.rank))


def retired(plans: Plans) -> tuple[PlanName, ...]:
    """The plans that can be held and not granted, by name."""
    return tuple(sorted(name for name, plan in plans.plans.items() if plan.retired))


def highest(names: Iterable[PlanName], plans: Plans) -> Plan | None:
    """
    The highest-ranked of the named plans; names that the file does not know are passed over.

    A retired plan may share the rank of an offered one: then the offered one counts, then the later name.
    """
    best: Plan | None = None
    for name in names:
        plan = plans.plans.get(name)
        if plan is not None and (best is None or _standing(plan) > _standing(best)):
            best = plan
    return best


def retention_of(plan: Plan | None, plans: Plans) -> Retention:
    """What holds for a tenant with that effective plan: of the plan's and the file's, the longer."""
    least, own = plans.retention, Retention() if plan is None else plan.retention
    return Retention(
        max(least.receipts_seconds, own.receipts_seconds),
        max(least.parts_seconds, own.parts_seconds),
    )


def shown(names: Iterable[str]) -> str:
    """At most ten names in a sentence, so that a long plans file does not swell a receipt."""
    listed = list(names)
    more = len(listed) - NAMES_SHOWN_MAX
    return ", ".join(listed[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")


def _standing(plan: Plan) -> tuple[int, bool, str]:
    return plan.rank, not plan.retired, plan.name
