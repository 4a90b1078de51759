"""The answer to one command, and to one timer."""

from tai_autonomics.domain.budgets import BudgetUse, use_at
from tai_autonomics.domain.decider import Accepted, Refused
from tai_autonomics.domain.governor import acting, refusing
from tai_autonomics.domain.governor.commands import (
    EndBudget,
    EndThrottle,
    GovernorCommand,
    GovernorTimer,
    Observe,
    PauseGovernor,
    ResumeGovernor,
)
from tai_autonomics.domain.governor.evaluating import Surroundings
from tai_autonomics.domain.governor.events import GovernorEvent
from tai_autonomics.domain.governor.observing import observe
from tai_autonomics.domain.governor.states import GovernorState


def decide(command: GovernorCommand, state: GovernorState, around: Surroundings) -> Accepted[GovernorEvent] | Refused:
    """
    The answer to a command whose gates are passed.

    Where its events settle the action in flight, what `reconsider` says of the state that all of them lead to follows.
    """
    match command:
        case Observe():
            return observe(command, state, around)
        case PauseGovernor():
            return refusing.pause(state, around.now)
        case ResumeGovernor():
            return refusing.resume(state, around.now)
        case _:
            return acting.act_on(command, state, around, budget_use(state, around))


def elapse(timer: GovernorTimer, state: GovernorState, around: Surroundings) -> Accepted[GovernorEvent] | Refused:
    """The same of a timer: only when its time has come, and only while it is still set for that time."""
    match timer:
        case EndBudget() | EndThrottle():
            return refusing.elapse(timer, state, around.now)
        case _:
            return acting.elapse(timer, state, around)


def budget_use(state: GovernorState, around: Surroundings) -> BudgetUse | None:
    """How much of the plan's budget is used in its present window; None where there is no budget."""
    budget = around.governance.budget
    return None if budget is None else use_at(around.now, budget, state.budget)
