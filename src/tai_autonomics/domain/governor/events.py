"""What can have happened to a governor: each event carries every value that it changes, and why."""

from typing import Literal

from msgspec import Struct, field

from tai_autonomics.domain.actions import ActionType, Order, Result, Target
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.decider import Recorded
from tai_autonomics.domain.governor.commands import Outcome
from tai_autonomics.domain.governor.states import ApprovalWanted, Cause, Level
from tai_autonomics.domain.identifiers import ActionId, MetricName, RuleName
from tai_autonomics.domain.moments import Moment

SignalReason = Literal["unknown_metric", "stale", "clock_skew"]
Withheld = Literal["in_flight", "cooling_down", "governor_refusing", "action_budget_exhausted"]
Condition = Literal["warn_when", "act_when", "clear_when"]


class WindowSeen(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What the rule saw of its measurements; decimals as text."""

    avg: str
    min: str
    max: str
    last: str
    count: int


class Grounds(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The condition that held and the window that it held for; the text is cut off after 160 bytes."""

    condition: Condition
    text: str
    window: WindowSeen


class SignalObserved(Recorded, frozen=True):
    """`kept` is how many measurements of the metric remain, this one included: the oldest go."""

    metric: MetricName
    value: str
    observed_at: Moment
    kept: int
    labels: dict[str, str] = field(default_factory=dict)


class SignalRefused(Recorded, frozen=True):
    """One of several signals changes nothing. `newest` is the metric's newest time, where this one is older."""

    metric: MetricName
    value: str
    reason: SignalReason
    observed_at: Moment | None = None
    newest: Moment | None = None
    labels: dict[str, str] = field(default_factory=dict)


class RuleEvaluated(Recorded, frozen=True):
    """
    Where a rule stands after all signals of a decision, said only when there is something to say.

    `withheld` is why it did not act though its act_when held, and `until` when that ends, if it does by itself.
    `unanswered` is why a condition had no answer. A rule that acted in the same decision has its grounds there.
    """

    rule: RuleName
    level: Level
    was: Level
    grounds: Grounds | None = None
    withheld: Withheld | None = None
    until: Moment | None = None
    unanswered: str | None = None


class RulesForgotten(Recorded, frozen=True):
    """The tenant's plan has them no more. A rule's cool-down that is not over at `at` stays."""

    at: Moment
    rules: tuple[RuleName, ...] = ()
    metrics: tuple[MetricName, ...] = ()


class ActionRequested(Recorded, frozen=True):
    """
    A rule acts. With `approval` it waits for people; without, it is attempted until `deadline`.

    `budget` is after it, where there is one and it is used now.
    """

    action_id: ActionId
    rule: RuleName
    order: Order
    idempotent: bool
    attempts_max: int
    timeout_seconds: int
    requested_at: Moment
    cooldown_until: Moment
    metric: MetricName
    value: str
    grounds: Grounds
    approval: ApprovalWanted | None = None
    deadline: Moment | None = None
    budget: BudgetUse | None = None


class WouldHaveActed(Recorded, frozen=True):
    """A rule in shadow mode would have. `budget` counts what shadows would have used."""

    rule: RuleName
    action: ActionType
    at: Moment
    cooldown_until: Moment
    grounds: Grounds
    budget: BudgetUse | None = None


class ActionApproved(Recorded, frozen=True):
    """The last of `people` approvals gives the deadline and uses the budget."""

    action_id: ActionId
    by: str
    approvals: int
    people: int
    at: Moment
    deadline: Moment | None = None
    budget: BudgetUse | None = None


class ActionAttempted(Recorded, frozen=True):
    """Attempt number `attempt` is about to reach out; without a result by `leased_until` it is taken for lost."""

    action_id: ActionId
    attempt: int
    target: Target
    at: Moment
    leased_until: Moment


class AttemptEnded(Recorded, frozen=True):
    """`retry_at`: there is another attempt, before `deadline`. `lost`: nobody said how it ended."""

    action_id: ActionId
    attempt: int
    outcome: Outcome
    detail: str
    duration_ms: int | None = None
    lost: bool = False
    retry_at: Moment | None = None
    deadline: Moment | None = None


class LateResultRecorded(Recorded, frozen=True):
    """How an attempt ended that had been taken for lost."""

    action_id: ActionId
    attempt: int
    outcome: Outcome
    detail: str
    duration_ms: int


class ActionSettled(Recorded, frozen=True):
    """Nothing is in flight any more. `failures` is how many actions in a row failed by now."""

    action_id: ActionId
    rule: RuleName
    result: Result
    detail: str
    at: Moment
    attempts: int
    failures: int
    by: str | None = None


class RefusalBegun(Recorded, frozen=True):
    """
    From now on no rule acts. `until`: it ends by itself.

    With `rule` and `budget` for a budget, `failures` and `failures_max` for a breaker, `action_id` for an unknown.
    """

    cause: Cause
    at: Moment
    until: Moment | None = None
    rule: RuleName | None = None
    budget: BudgetUse | None = None
    failures: int | None = None
    failures_max: int | None = None
    action_id: ActionId | None = None


class RefusalEnded(Recorded, frozen=True):
    """These causes hold no more; once none does, every rule begins at clear. `failures` in a row are counted on."""

    causes: tuple[Cause, ...]
    at: Moment
    failures: int


class ThrottleSet(Recorded, frozen=True):
    """Takes the place of an earlier one."""

    action_id: ActionId
    requests: int
    per_seconds: int
    until: Moment


class ThrottleEnded(Recorded, frozen=True):
    at: Moment


GovernorEvent = (
    SignalObserved
    | SignalRefused
    | RuleEvaluated
    | RulesForgotten
    | ActionRequested
    | WouldHaveActed
    | ActionApproved
    | ActionAttempted
    | AttemptEnded
    | LateResultRecorded
    | ActionSettled
    | RefusalBegun
    | RefusalEnded
    | ThrottleSet
    | ThrottleEnded
)
