"""How many actions of a type all tenants together may do."""

import pytest
from msgspec.structs import replace
from tests.builders import ACTION, NOW, after, plans
from tests.given_when_then import Given, given

from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.fleet import FleetReserved, Reserve
from tai_autonomics.domain.identifiers import FLEET, ActionId, parse_tenant_id
from tai_autonomics.domain.rules import Budget
from tai_autonomics.domain.tenant import Subject
from tai_autonomics.errors import Malformed

NOON, ONE, TWO = (f"2026-11-24T{hour}:00:00.000000Z" for hour in (12, 13, 14))


def bounded(max_: int) -> Given:
    return given().under(replace(plans(), fleet={"webhook": Budget(max_, 3_600)}))


def use(used: int, max_: int, start: str = NOON, end: str = ONE) -> BudgetUse:
    return BudgetUse(used, max_, 3_600, start, end)  # type: ignore[arg-type]


def test_a_reservation_uses_the_types_budget_and_leaves_the_others_alone() -> None:
    first = bounded(2).when(Reserve(ACTION, "webhook"))
    history = first.then(FleetReserved(ACTION, "webhook", use(1, 2)))
    assert first.decision.subject == Subject("action", ACTION)
    assert [gate.gate for gate in first.decision.gates] == ["action_is_within_budget"]
    history.when(Reserve(ActionId("b"), "throttle")).then(FleetReserved(ActionId("b"), "throttle"))
    both = history.when(Reserve(ActionId("b"), "webhook")).then(FleetReserved(ActionId("b"), "webhook", use(2, 2)))
    assert both.state.fleet == {"webhook": use(2, 2)}


def test_over_the_fleets_budget_nothing_is_reserved_until_the_window_ends() -> None:
    spent = bounded(1).when(Reserve(ACTION, "webhook")).and_then
    refused = spent.when(Reserve(ActionId("b"), "webhook"))
    assert ONE in refused.then_refused("action_budget_exhausted").next_step
    assert refused.decision.gates[0].evidence == {
        "budget_of": "fleet",
        "used": 1,
        "max": 1,
        "per_seconds": 3_600,
        "window_start": NOON,
        "resets_at": ONE,
    }
    anew = spent.when(Reserve(ActionId("b"), "webhook"), at=after(3_600))
    anew.then(FleetReserved(ActionId("b"), "webhook", use(1, 1, ONE, TWO)))


def test_no_callers_tenant_can_be_the_fleet() -> None:
    with pytest.raises(Malformed):
        parse_tenant_id(FLEET)
    assert NOW < ONE
