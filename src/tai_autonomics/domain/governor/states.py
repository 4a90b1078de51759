"""What is known of a tenant's autonomic governor, and what its statuses mean."""

from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

from tai_autonomics.domain.actions import Action, Order, Target
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.identifiers import ActionId, MetricName, RuleName
from tai_autonomics.domain.moments import Moment

Status = Literal["boot", "stable", "warning", "intervening", "refusing"]
Cause = Literal["pause", "breaker", "unknown", "budget", "hold"]
"""`hold`: compliance is closed for actions."""
Level = Literal["clear", "warning", "acted"]
"""Where a rule stands. `acted`: it has, and was not clear since."""
Stage = Literal["awaiting_approval", "ready", "attempting", "retrying"]
TimerKind = Literal["attempt_lease", "approval_lapse", "deadline", "budget_end", "throttle_end"]
"""In the order in which they are decided when they are due at the same time."""

ENDED_BY_RESUME: Final[frozenset[Cause]] = frozenset({"pause", "breaker", "unknown"})
"""The other causes end by themselves."""
LOST_MAX: Final = 16
"""As many attempts without a result are remembered; a late result of an older one is refused."""


class Sample(Struct, frozen=True, gc=False, array_like=True):
    """One measurement that a window may still cover."""

    at: Moment
    value: Decimal


class Measured(Struct, frozen=True, omit_defaults=True):
    """The measurements of one metric, the oldest first, and the labels of the newest."""

    samples: tuple[Sample, ...]
    labels: dict[str, str] = {}


class RuleState(Struct, frozen=True, gc=False, omit_defaults=True):
    """A rule acts again only from `cooldown_until` on."""

    level: Level = "clear"
    cooldown_until: Moment | None = None


class Refusing(Struct, frozen=True, gc=False, omit_defaults=True):
    """Why no rule acts. `until`: when that ends by itself; `action_id`: the action of which nobody knows."""

    since: Moment
    until: Moment | None = None
    action_id: ActionId | None = None


class ApprovalWanted(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """So many different people must approve before `until`."""

    people: int
    until: Moment


class InFlight(Struct, frozen=True, omit_defaults=True):
    """The one action that is requested and not settled."""

    id: ActionId
    rule: RuleName
    order: Order
    attempts_max: int
    timeout_seconds: int
    requested_at: Moment
    metric: MetricName
    value: str
    approval: ApprovalWanted | None = None
    approved_by: tuple[str, ...] = ()
    deadline: Moment | None = None
    """None: it must be approved first."""
    attempts: int = 0
    """How many were begun."""
    leased_until: Moment | None = None
    """While an attempt is under way: when it is taken for lost."""
    retry_at: Moment | None = None
    target: Target | None = None
    """From the first attempt on."""


class LostAttempt(Struct, frozen=True, gc=False, array_like=True):
    """An attempt whose lease ended without a result."""

    action_id: ActionId
    attempt: int


class Throttled(Struct, frozen=True, gc=False):
    """At most `requests` in `per_seconds` of the tenant's checks and consumes, before `until`; each instance counts."""

    requests: int
    per_seconds: int
    until: Moment
    action_id: ActionId


class GovernorState(Struct, frozen=True, omit_defaults=True):
    """One tenant's governor."""

    started: bool = False
    metrics: dict[MetricName, Measured] = {}
    rules: dict[RuleName, RuleState] = {}
    in_flight: InFlight | None = None
    refusing: dict[Cause, Refusing] = {}
    budget: BudgetUse | None = None
    shadowed: BudgetUse | None = None
    """What rules in shadow mode would have used of it, besides."""
    failures: int = 0
    """Actions in a row that failed or timed out."""
    throttle: Throttled | None = None
    lost: tuple[LostAttempt, ...] = ()


INITIAL_STATE: Final = GovernorState()
NO_RULE_STATE: Final = RuleState()


def status_of(state: GovernorState) -> Status:
    """Where the governor stands as a whole."""
    if state.refusing:
        return "refusing"
    if state.in_flight is not None:
        return "intervening"
    if any(rule.level == "warning" for rule in state.rules.values()):
        return "warning"
    return "stable" if state.started else "boot"


def stage_of(action: InFlight) -> Stage:
    """Where the action in flight stands."""
    if action.deadline is None:
        return "awaiting_approval"
    if action.leased_until is not None:
        return "attempting"
    return "retrying" if action.attempts else "ready"


def action_of(action: InFlight, tenant: str) -> Action:
    """What an actuator is asked to do; it needs no approval any more."""
    assert action.deadline is not None
    return Action(
        id=action.id,
        tenant=tenant,
        rule=action.rule,
        order=action.order,
        attempts_max=action.attempts_max,
        timeout_seconds=action.timeout_seconds,
        deadline=action.deadline,
        requested_at=action.requested_at,
        metric=action.metric,
        value=action.value,
    )


def rule_state_of(state: GovernorState, rule: RuleName) -> RuleState:
    """One that nobody evaluated is clear."""
    return state.rules.get(rule, NO_RULE_STATE)
