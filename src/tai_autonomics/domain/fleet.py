"""
The fleet governor: how many actions of a type all tenants together may do. It has a ledger of its own.

An action asks once, before its first attempt. What is reserved is used, whatever becomes of the action.
"""

from msgspec import Struct

from tai_autonomics.domain.actions import ActionType
from tai_autonomics.domain.budgets import BudgetUse, spent
from tai_autonomics.domain.decider import Accepted, Recorded
from tai_autonomics.domain.identifiers import ActionId


class Reserve(Struct, frozen=True, gc=False):
    """One action of the type, of whichever tenant."""

    action_id: ActionId
    type: ActionType


class FleetReserved(Recorded, frozen=True):
    """`budget` is after it; absent where the type is not bounded."""

    action_id: ActionId
    action: ActionType
    budget: BudgetUse | None = None


def reserve(command: Reserve, use: BudgetUse | None) -> Accepted[FleetReserved]:
    """What follows where the budget is not used up; `use` is its present window's, if there is a budget."""
    return Accepted((FleetReserved(command.action_id, command.type, None if use is None else spent(use)),))


def evolve(uses: dict[ActionType, BudgetUse], event: FleetReserved) -> dict[ActionType, BudgetUse]:
    """The uses after the event."""
    return uses if event.budget is None else {**uses, event.action: event.budget}
