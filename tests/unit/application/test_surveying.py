"""What is looked up in the background: quotas nearly used, budgets left, the quarantine's size."""

import asyncio

import pytest
from msgspec.structs import replace
from tests.builders import CALLS, PRO, STANDARD, governed, plan, plans, quota
from tests.contract.stores.test_keeping import message
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import HandClock, Instance, consume, opened, until

from tai_autonomics.application import surveying
from tai_autonomics.application.surveying import QUARANTINE_SURVEYS, Survey, Surveyed, nearly_used_percent
from tai_autonomics.domain.fleet import Reserve
from tai_autonomics.domain.identifiers import FLEET, ActionId
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.quota import Release
from tai_autonomics.domain.rules import Budget
from tai_autonomics.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

BOUNDED: Plans = replace(governed(), fleet={"webhook": Budget(3, 3_600), "throttle": Budget(5, 60)})


def survey_of(one: Instance) -> Survey:
    return Survey(
        one.store, one.corridor, one.freshness, clock=one.sealing_clock, plans=lambda: one.plans, observer=one.witness
    )


async def test_nothing_was_seen_before_the_first_survey(one: Instance) -> None:
    assert survey_of(one)() == Surveyed(0, {}, None)


async def test_tenants_are_counted_whose_quota_is_used_to_80_percent_in_the_present_window(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock) as one:
        for tenant, used in (("a", 79), ("b", 80), ("c", 100), ("d", 1)):
            await one.grant(tenant)
            await one.submit(consume(used), tenant=tenant)
        await one.grant("unused")
        survey = survey_of(one)
        await survey.take()
        assert survey().quotas_nearly_used == 2
        await one.submit(Release(CALLS, 50), tenant="c")
        await survey.take()
        assert survey().quotas_nearly_used == 1
        clock.advance(86_400)
        await survey.take()
        assert survey().quotas_nearly_used == 0
        assert one.witness.failures == []


async def test_a_quota_that_the_plan_lacks_or_does_not_limit_is_not_nearly_used(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=plans(plan(PRO, quota(limit=100)))) as one:
        await one.grant()
        await one.submit(consume(100))
        survey = survey_of(one)
        for now, counted in ((plan(PRO, quota(limit=None)), 0), (plan(PRO), 0), (plan(PRO, quota(limit=100)), 1)):
            one.plans = plans(now)
            await survey.take()
            assert survey().quotas_nearly_used == counted
        one.plans = plans(STANDARD[0])
        await survey.take()
        assert survey().quotas_nearly_used == 0


@pytest.mark.parametrize(
    ("thresholds", "percent"), [((), 80), ((100,), 80), ((50,), 50), ((50, 90, 100, 150), 90), ((120,), 80)]
)
async def test_a_quotas_own_threshold_says_when_it_is_nearly_used(thresholds: tuple[int, ...], percent: int) -> None:
    assert nearly_used_percent(quota(thresholds=thresholds)) == percent


async def test_many_lanes_are_looked_at_in_turns(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "LANES_AT_ONCE", 2)
    async with opened(store) as one:
        for number in range(5):
            await one.grant(f"t{number}")
            await one.submit(consume(100), tenant=f"t{number}")
        survey = survey_of(one)
        taking = asyncio.get_running_loop().create_task(survey.take())
        await asyncio.sleep(0)
        assert survey().quotas_nearly_used == 0
        await taking
        assert survey().quotas_nearly_used == 5


async def test_what_the_fleet_has_left_is_said_by_type_also_after_another_instance_used_it(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock, plans_in_force=BOUNDED) as one, opened(store, clock, plans_in_force=BOUNDED) as two:
        survey = survey_of(one)
        await survey.take()
        assert survey().budget_left == {"webhook": 3, "throttle": 5}
        await two.submit(Reserve(ActionId("x-1-y"), "webhook"), tenant=FLEET)
        clock.advance(2)
        await survey.take()
        assert survey().budget_left == {"webhook": 2, "throttle": 5}
        clock.advance(3_600)
        await survey.take()
        assert survey().budget_left == {"webhook": 3, "throttle": 5}
        one.plans = governed()
        await survey.take()
        assert survey().budget_left == {}


async def test_the_quarantine_is_counted_in_every_fourth_survey(store: FaultyStore, one: Instance) -> None:
    survey = survey_of(one)
    await survey.take()
    assert survey().quarantined == 0
    await store.quarantine(message(1))
    for _ in range(QUARANTINE_SURVEYS - 1):
        await survey.take()
        assert survey().quarantined == 0
    await survey.take()
    assert survey().quarantined == 1


async def test_what_cannot_be_looked_up_stays_and_holds_up_nothing_else(
    store: FaultyStore, one: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> int:
        raise StoreUnavailable("down")

    async def breaks() -> int:
        raise ZeroDivisionError

    async def hangs() -> int:
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr(surveying, "QUARANTINE_SURVEYS", 1)
    await store.quarantine(message(1))
    survey = survey_of(one)
    await survey.take()
    monkeypatch.setattr(surveying, "ANSWER_SECONDS_MAX", 0.001)
    for size in (fails, breaks, hangs):
        store.quarantine_size = size  # type: ignore[attr-defined]
        await survey.take()
        assert survey().quarantined == 1
    assert one.witness.told["store_failed"] == [("survey",)]
    assert [(what, type(error)) for what, error in one.witness.failures] == [("survey", ZeroDivisionError)]
    await one.grant()
    await one.submit(consume(100))
    one.clock.jump(1_000)
    await survey.take()
    assert survey().quotas_nearly_used == 0
    assert [what for what, _ in one.witness.failures].count("survey") == 1
    one.clock.jump(-1_000)
    await survey.take()
    assert survey().quotas_nearly_used == 1


async def test_it_surveys_again_and_again(one: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "SURVEY_SECONDS", 0)
    survey = survey_of(one)
    surveying_on = asyncio.get_running_loop().create_task(survey.run())
    await until(lambda: survey._taken >= 3)
    surveying_on.cancel()
    await asyncio.wait([surveying_on])
