"""How long gates take is told of one decision in sixteen, and changes none."""

import pytest
from tests.builders import governed, observed
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import consume, opened, verify

from tai_autonomics.application.asking import TIMED

pytestmark = pytest.mark.anyio


async def test_the_gates_of_one_decision_in_sixteen_are_timed(store: FaultyStore) -> None:
    async with opened(store) as one:
        await one.grant()
        assert one.witness.told["gate_asked"] == [("compliance_permits", 0.0)]
        for _ in range(TIMED - 1):
            await one.submit(verify())
        assert one.witness.count("gate_asked") == 1
        await one.submit(consume())
        assert [gate for gate, _ in one.witness.told["gate_asked"]] == [
            "compliance_permits",
            *("compliance_permits", "entitlement_is_in_service", "quota_is_available"),
        ]


async def test_every_gate_of_an_act_is_timed_where_its_decision_is(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tai_autonomics.application.asking.TIMED", 1)
    async with opened(store, plans_in_force=governed()) as one:
        await one.grant()
        told = one.witness.count("gate_asked")
        await one.submit(observed(90, 90, 90))
        assert [gate for gate, _ in one.witness.told["gate_asked"][told:]][:5] == [
            "entitlement_is_in_service",
            *("compliance_permits", "entitlement_is_in_service", "governor_is_not_refusing"),
            "action_is_within_budget",
        ]
