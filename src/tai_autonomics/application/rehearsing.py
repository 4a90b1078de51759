"""
What a governor would do: the decider of the service, without a store, a clock or an outside world.

    a command, at its moment --> the timers and the words of the world that are due by then, in due order --> decide
                                                                                                              |
                                                                     Step: the answer, and where it leaves <--+

What is not rehearsed is assumed: how an attempt ends, how long it takes, and whether people approve. What bounds the
fleet is asked as if the tenant were alone.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from tai_autonomics.application.executor import BACKOFF_SECONDS, BACKOFF_SECONDS_MAX
from tai_autonomics.domain.actions import Order, SuspendEntitlements, Target, Throttle, type_of
from tai_autonomics.domain.compliance import ControlAttested
from tai_autonomics.domain.decider import Accepted, Refused, fold
from tai_autonomics.domain.entitlement import EntitlementGranted
from tai_autonomics.domain.fleet import Reserve
from tai_autonomics.domain.governor import (
    LEASE_MARGIN_SECONDS,
    ActionCommand,
    ApproveAction,
    BeginAttempt,
    GiveUp,
    InFlight,
    Observe,
    ReportResult,
    Signal,
    Stage,
    Status,
    stage_of,
    status_of,
)
from tai_autonomics.domain.governor.commands import Outcome
from tai_autonomics.domain.identifiers import ActionId, EntitlementId, PlanName
from tai_autonomics.domain.moments import FIRST, LAST, Moment, plus_seconds
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.quota import Consume
from tai_autonomics.domain.tenant import (
    INITIAL_STATE,
    Bounds,
    Command,
    Decision,
    EffectivePlanChanged,
    Event,
    TenantState,
    decide,
    evolve,
    next_timer,
)

SIMULATED: Final = EntitlementId("simulated")
SIMULATION_BOUNDS: Final = Bounds(entitlements_max=1, observed_ahead_seconds_max=0)
"""A signal comes at its own moment, never before it."""
DETAIL: Final = "assumed, not done"


class Assumed(Struct, frozen=True):
    """
    How every attempt ends, `latency_seconds` after it began; past its rule's `timeout` it has timed out.

    A failure is one for good. So long after an action was asked for its people approve; None: nobody does.
    """

    outcome: Outcome = "succeeded"
    latency_seconds: float = 1.0
    approval_seconds: float | None = None


ASSUMED: Final = Assumed()


class Step(Struct, frozen=True):
    """One decision, and what the governor was before it and is after it."""

    at: Moment
    command: Command
    outcome: Accepted[Event] | Refused
    was: Status
    to: Status

    @property
    def events(self) -> tuple[Event, ...]:
        """None where it was refused."""
        return self.outcome.events if isinstance(self.outcome, Accepted) else ()


class Rehearsal:
    """One tenant on its way through time, from `state` on, which it had at `at`."""

    def __init__(
        self, plans: Plans, *, bounds: Bounds, assumed: Assumed, state: TenantState = INITIAL_STATE, at: Moment = FIRST
    ) -> None:
        self.state, self.now = state, at
        self._plans, self._bounds, self._assumed = plans, bounds, assumed
        self._fleet = INITIAL_STATE
        self._decisions = 0
        self._refused: set[tuple[ActionId, Stage]] = set()
        """What the world has said in vain; it does not say it again."""

    def take(self, command: Command, at: Moment) -> Iterator[Step]:
        """What happens by itself until then, and then the answer to the command."""
        yield from self.reach(at)
        yield self._decide(command, at)

    def apply(self, events: Iterable[Event]) -> None:
        """What others decided about the tenant."""
        self.state = fold(evolve, self.state, events)

    def reach(self, until: Moment) -> Iterator[Step]:
        """What happens by itself until then."""
        while (step := self._next(until)) is not None:
            yield step
        self.now = max(self.now, until)

    def settle(self, until: Moment) -> Iterator[Step]:
        """What happens by itself until the action in flight is settled, if one is, and at most until then."""
        action = self.state.governor.in_flight
        while action is not None and self._is_in_flight(action.id) and (step := self._next(until)) is not None:
            yield step

    def _is_in_flight(self, action_id: ActionId) -> bool:
        action = self.state.governor.in_flight
        return action is not None and action.id == action_id

    def _next(self, by: Moment) -> Step | None:
        """At equal times a timer comes first, as in service."""
        by = max(by, self.now)
        action = self.state.governor.in_flight
        word_at = None if action is None else self._word_at(action)
        at = by if word_at is None else min(max(word_at, self.now), by)
        timer = next_timer(self.state, at)
        if timer is not None:
            step = self._decide(timer, timer.due)
            assert isinstance(step.outcome, Accepted), f"a due timer was refused: {step!r}"
            return step
        if action is None or word_at is None or word_at > by:
            return None
        step = self._decide(self._word(action, at), at)
        if isinstance(step.outcome, Refused):
            self._refused.add((action.id, stage_of(action)))
        return step

    def _word_at(self, action: InFlight) -> Moment | None:
        """When people or the outside world say something next about it."""
        if (action.id, stage_of(action)) in self._refused:
            return None
        match stage_of(action):
            case "awaiting_approval":
                wait = self._assumed.approval_seconds
                return None if wait is None else plus_seconds(action.requested_at, wait)
            case "ready":
                return self.now
            case "retrying":
                return action.retry_at
            case "attempting":
                assert action.leased_until is not None
                took = min(self._assumed.latency_seconds, action.timeout_seconds)
                return plus_seconds(action.leased_until, took - action.timeout_seconds - LEASE_MARGIN_SECONDS)

    def _word(self, action: InFlight, at: Moment) -> ActionCommand:
        match stage_of(action):
            case "awaiting_approval":
                return ApproveAction(action.id, by=f"person-{len(action.approved_by) + 1}")
            case "attempting":
                return self._result(action, at)
            case _:
                if action.target is None and not self._is_within_fleet(action, at):
                    return GiveUp(action.id, "cancelled", "action_budget_exhausted")
                return BeginAttempt(action.id, action.attempts + 1, action.target or _target_of(action.order, at))

    def _result(self, action: InFlight, at: Moment) -> ReportResult:
        took = min(self._assumed.latency_seconds, action.timeout_seconds)
        outcome = "timed_out" if self._assumed.latency_seconds > action.timeout_seconds else self._assumed.outcome
        backoff = min(BACKOFF_SECONDS * 2 ** (action.attempts - 1), BACKOFF_SECONDS_MAX)
        retry_at = plus_seconds(at, backoff)
        return ReportResult(action.id, action.attempts, outcome, DETAIL, round(took * 1_000), retry_at=retry_at)

    def _is_within_fleet(self, action: InFlight, at: Moment) -> bool:
        if type_of(action.order) not in self._plans.fleet:
            return True
        outcome = self._decided(Reserve(action.id, type_of(action.order)), self._fleet, at).outcome
        if isinstance(outcome, Accepted):
            self._fleet = fold(evolve, self._fleet, outcome.events)
        return isinstance(outcome, Accepted)

    def _decide(self, command: Command, at: Moment) -> Step:
        self.now = max(self.now, at)
        was = status_of(self.state.governor)
        outcome = self._decided(command, self.state, self.now).outcome
        if isinstance(outcome, Accepted):
            self.state = fold(evolve, self.state, outcome.events)
        return Step(self.now, command, outcome, was, status_of(self.state.governor))

    def _decided(self, command: Command, state: TenantState, now: Moment) -> Decision:
        self._decisions += 1
        action_id = ActionId(f"rehearsed-{self._decisions}")
        return decide(command, state, now=now, plans=self._plans, bounds=self._bounds, action_id=action_id)


def simulate(
    signals: Iterable[tuple[Signal, Moment]],
    plans: Plans,
    plan: PlanName,
    *,
    assumed: Assumed = ASSUMED,
    consumed: Iterable[Consume] = (),
) -> Iterator[Step]:
    """
    A tenant that holds `plan`, with every control that it requires attested, and has `consumed` so much when the first
    of the signals comes, each at its moment.

    A signal whose moment has passed comes at once. In the end the action in flight is settled, and nothing after it.
    """
    rehearsal = Rehearsal(plans, bounds=SIMULATION_BOUNDS, assumed=assumed)
    rehearsal.apply((EntitlementGranted(SIMULATED, plan), EffectivePlanChanged(plan=plan)))
    rehearsal.apply(
        ControlAttested(control, "compliant", "simulated:", "simulated", FIRST, LAST)
        for control in plans.plans[plan].requires
    )
    begin = tuple(consumed)
    for signal, at in signals:
        for command in begin:
            yield from rehearsal.take(command, at)
        begin = ()
        yield from rehearsal.take(Observe((signal,)), at)
    yield from rehearsal.settle(LAST)


def _target_of(order: Order, at: Moment) -> Target:
    """What the ledger holds of it; what the outside world would say is not known."""
    match order:
        case Throttle(requests, per_seconds, for_seconds):
            return {"requests": requests, "per_seconds": per_seconds, "until": plus_seconds(at, for_seconds)}
        case SuspendEntitlements():
            return {"entitlements": "in_service"}
        case _:
            return {}
