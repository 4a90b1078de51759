"""What callers, the executor and timers ask of a governor. `by` is the caller's subject."""

from typing import ClassVar, Literal

from msgspec import Struct

from tai_autonomics.domain.actions import Target
from tai_autonomics.domain.governor.signals import Signal
from tai_autonomics.domain.governor.states import TimerKind
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.moments import Moment

Outcome = Literal["succeeded", "failed", "timed_out", "unknown"]
"""How an attempt ended. `timed_out`, `unknown`: it may have been done or not."""


class Observe(Struct, frozen=True, gc=False):
    """Signals of the tenant, in order; as many as `split` puts into one command, at least one."""

    signals: tuple[Signal, ...]


class PauseGovernor(Struct, frozen=True, gc=False):
    """Hands off: no rule acts until it is resumed. What is in flight goes on."""


class ResumeGovernor(Struct, frozen=True, gc=False):
    """Ends a pause, an open breaker, and the wait for a person to look at an action of which nobody knows."""


class ApproveAction(Struct, frozen=True, gc=False):
    action_id: ActionId
    by: str


class DenyAction(Struct, frozen=True, gc=False):
    """Nothing is done. Only while it waits for approval."""

    action_id: ActionId
    by: str


class CancelAction(Struct, frozen=True, gc=False):
    """Nothing more is done. Only while no attempt is under way."""

    action_id: ActionId
    by: str


class BeginAttempt(Struct, frozen=True, gc=False):
    """Said before the attempt reaches out: whoever's own word on `attempt` (from 1) is appended may do it."""

    action_id: ActionId
    attempt: int
    target: Target


class ReportResult(Struct, frozen=True, gc=False):
    """
    How an attempt ended. `temporary`: one that failed may be better later; `retry_at` is when, if there is a next one.

    `detail` has at most 200 characters.
    """

    action_id: ActionId
    attempt: int
    outcome: Outcome
    detail: str
    duration_ms: int
    temporary: bool = False
    retry_at: Moment | None = None


class GiveUp(Struct, frozen=True, gc=False):
    """The executor cannot attempt it: no target, or the fleet's budget is used up. `detail`: at most 200 characters."""

    action_id: ActionId
    result: Literal["failed", "cancelled"]
    detail: str


class LoseAttempt(Struct, frozen=True, gc=False):
    """The timer of an attempt's lease: nobody said how it ended."""

    kind: ClassVar[TimerKind] = "attempt_lease"
    action_id: ActionId
    due: Moment


class LapseApproval(Struct, frozen=True, gc=False):
    """The timer of an approval that did not come."""

    kind: ClassVar[TimerKind] = "approval_lapse"
    action_id: ActionId
    due: Moment


class PassDeadline(Struct, frozen=True, gc=False):
    """The timer of an action that was not attempted in time."""

    kind: ClassVar[TimerKind] = "deadline"
    action_id: ActionId
    due: Moment


class EndBudget(Struct, frozen=True, gc=False):
    """The timer of the window whose budget is used up."""

    kind: ClassVar[TimerKind] = "budget_end"
    due: Moment


class EndThrottle(Struct, frozen=True, gc=False):
    """The timer of a throttle."""

    kind: ClassVar[TimerKind] = "throttle_end"
    due: Moment


UngatedCommand = DenyAction | CancelAction | BeginAttempt | ReportResult | GiveUp
"""Of an action: what no gate stands before."""
ActionCommand = ApproveAction | UngatedCommand
ActionTimer = LoseAttempt | LapseApproval | PassDeadline
GovernorTimer = ActionTimer | EndBudget | EndThrottle
GovernorCommand = Observe | PauseGovernor | ResumeGovernor | ActionCommand
