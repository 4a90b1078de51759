"""
A rule as a sentence: given(what happened).when(a command).then(what follows), or .then_refused(why not).

    given(*in_service()).when(Suspend(ENT)).then(EntitlementSuspended(ENT, was="active"), EffectivePlanChanged(was=PRO))
"""

from tests.builders import ACTION, BOUNDS, NOW, plans

from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.decider import Accepted, Reason, Refused, fold
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.tenant import (
    INITIAL_STATE,
    Bounds,
    Command,
    Decision,
    Event,
    TenantState,
    decide,
    evolve,
)


class Given:
    """A tenant's history, and under which plans and bounds the next command is decided."""

    def __init__(self, events: tuple[Event, ...], plans_in_force: Plans, bounds: Bounds) -> None:
        self.events, self.plans_in_force, self.bounds = events, plans_in_force, bounds

    @property
    def state(self) -> TenantState:
        return fold(evolve, INITIAL_STATE, self.events)

    def under(self, plans_in_force: Plans) -> "Given":
        return Given(self.events, plans_in_force, self.bounds)

    def within(self, bounds: Bounds) -> "Given":
        return Given(self.events, self.plans_in_force, bounds)

    def when(
        self, command: Command, *, at: Moment = NOW, action_id: ActionId = ACTION, counted: BudgetUse | None = None
    ) -> "Then":
        decision = decide(
            command,
            self.state,
            now=at,
            plans=self.plans_in_force,
            bounds=self.bounds,
            action_id=action_id,
            counted=counted,
        )
        return Then(self, decision)


class Then:
    """What was decided."""

    def __init__(self, before: Given, decision: Decision) -> None:
        self.before, self.decision = before, decision

    def then(self, *events: Event) -> Given:
        """Accepted with exactly these events; goes on from there."""
        assert self.decision.outcome == Accepted(events)
        return self.and_then

    def then_refused(self, reason: Reason) -> Refused:
        outcome = self.decision.outcome
        assert isinstance(outcome, Refused), outcome
        assert outcome.reason == reason
        assert outcome.detail
        assert outcome.next_step
        return outcome

    @property
    def events(self) -> tuple[Event, ...]:
        """What was accepted."""
        outcome = self.decision.outcome
        assert isinstance(outcome, Accepted), outcome
        return outcome.events

    @property
    def and_then(self) -> Given:
        """The history with what was just decided, for a rule about what comes after it."""
        return Given((*self.before.events, *self.events), self.before.plans_in_force, self.before.bounds)


def given(*events: Event) -> Given:
    return Given(events, plans(), BOUNDS)
