"""Recorded signals under other rules: what was recorded by a real corridor, run again."""

from datetime import timedelta
from typing import Any

import pytest
from tests.builders import (
    BOUNDS,
    CALLS,
    ENT,
    FREE,
    NOW,
    PRO,
    WARN,
    above,
    after,
    governed,
    observed,
    plan,
    plans,
    rule,
    when,
)
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import START, Instance, begin_after, opened

from tai_autonomics.application.backtesting import Backtest, backtest
from tai_autonomics.application.rehearsing import Assumed
from tai_autonomics.application.shadows import shadows
from tai_autonomics.application.tallying import Act
from tai_autonomics.application.transfer import receipts, seq_before
from tai_autonomics.domain.actions import SuspendEntitlements
from tai_autonomics.domain.compliance import Attest, PlaceHold, ReleaseHold
from tai_autonomics.domain.entitlement import Grant, Resume, Suspend
from tai_autonomics.domain.governor import BeginAttempt, PauseGovernor, ReportResult, ResumeGovernor
from tai_autonomics.domain.identifiers import ControlName, EntitlementId
from tai_autonomics.domain.moments import FIRST, Moment
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.quota import Consume
from tai_autonomics.domain.rules import Budget, Governance, Rule
from tai_autonomics.domain.tenant import Command

pytestmark = pytest.mark.anyio

SHADOW = governed(rule(mode="shadow"))
ENFORCE = governed()
LATER = governed(rule(mode="shadow", act=above(95)))


async def at(one: Instance, minute: float, *commands: Command) -> None:
    """Those commands in that minute from the start."""
    one.clock.advance((START + timedelta(minutes=minute) - one.clock.wall).total_seconds())
    for command in commands:
        await one.submit(command)


async def again(store: FaultyStore, under: Plans, *, since: Moment = FIRST, **assumed: Any) -> Backtest:
    return await backtest(store, "acme", under, since=since, bounds=BOUNDS, assumed=Assumed(**assumed))


def acts(*minutes: float, kind: str = "would_have", action: str = "webhook") -> list[Act]:
    return [Act(after(minute * 60), rule().name, action, kind) for minute in minutes]  # type: ignore[arg-type]


async def recorded(store: FaultyStore, under: Plans = SHADOW) -> None:
    """90 in minute 1, where it acts; then 97 in minute 20."""
    async with opened(store, plans_in_force=under) as one:
        one.executor.stop_taking()
        await one.grant()
        for minute, value in ((0, 40), (1, 90), (2, 91), (5, 40), (20, 97)):
            await at(one, minute, observed(value))


async def test_under_the_same_plans_nothing_differs(store: FaultyStore) -> None:
    await recorded(store)
    found = await again(store, SHADOW)
    assert (found.signals, found.unrecorded, found.differs) == (5, 0, False)
    assert found.recorded.acts == found.rehearsed.acts == acts(1, 20)
    assert found.recorded.rules == found.rehearsed.rules


async def test_holds_and_attestations_hold_the_rehearsal_as_they_held_the_record(store: FaultyStore) -> None:
    requiring = governed(rule(mode="shadow", cooldown=0), requires=("dpa",))
    async with opened(store, plans_in_force=requiring) as one:
        await one.grant()
        for minute, command in enumerate(
            (
                observed(90),
                Attest(ControlName("dpa"), "compliant", "urn:dpa", "eve", after(9 * 60)),
                observed(90),
                PlaceHold("actions", "urn:case", "olga", after(5 * 60)),
                observed(10, 90),
                observed(10, 90),
                PlaceHold("all", "urn:case", "olga"),
                observed(10, 90),
            )
        ):
            await at(one, minute, command)
        (hold,) = (await one.corridor.durable("acme")).state.compliance.holds
        await at(one, 8, ReleaseHold(hold, "olga"))
        await at(one, 8.5, observed(10, 90))
        await at(one, 10, observed(10, 90))
    found = await again(store, requiring)
    assert found.recorded.acts == acts(2, 5, 8.5)
    assert (found.rehearsed.acts, found.differs) == (found.recorded.acts, False)
    freed = await again(store, governed(rule(mode="shadow", cooldown=0)))
    assert freed.new == acts(0, 10)


async def test_other_rules_act_at_other_times(store: FaultyStore) -> None:
    await recorded(store)
    found = await again(store, LATER)
    assert (found.differs, found.gone, found.new) == (True, acts(1), [])
    found = await again(store, ENFORCE)
    assert (found.gone, found.new) == (acts(1, 20), acts(1, 20, kind="requested"))
    assert found.rehearsed.rules[rule().name].settled == {"succeeded": 1}


async def test_before_since_the_record_stands(store: FaultyStore) -> None:
    await recorded(store)
    found = await again(store, SHADOW, since=after(2 * 60))
    assert (found.signals, found.differs) == (3, False)
    # The cool-down that began with the act in minute 1 is carried over, and so is that it acted.
    assert found.rehearsed.acts == acts(20)
    assert found.rehearsed.rules[rule().name].withheld == {"cooling_down": 1}


async def test_a_metric_that_no_rule_names_any_more_is_refused(store: FaultyStore) -> None:
    await recorded(store)
    found = await again(store, governed(rule(signal="disk")))
    assert (found.rehearsed.refused, found.recorded.refused) == ({"unknown_metric": 5}, {})
    assert found.differs


async def test_refused_signals_are_run_again_where_their_receipt_holds_them(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=SHADOW) as one:
        await one.grant()
        await at(one, 0, observed(1, metric="disk"))
        both = observed(40).signals + observed(99, metric="disk").signals
        await at(one, 1, type(observed(1))(both))
    found = await again(store, governed(rule(mode="shadow"), rule("disk-full", signal="disk", mode="shadow")))
    assert (found.signals, found.unrecorded) == (2, 1)
    assert (found.recorded.refused, found.rehearsed.refused) == ({"unknown_metric": 1}, {})
    assert [act.rule for act in found.new] == ["disk-full"]


async def test_a_pause_of_an_operator_stops_the_other_rules_too(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=SHADOW) as one:
        await one.grant()
        await at(one, 0, observed(40), PauseGovernor())
        await at(one, 1, observed(90), ResumeGovernor())
        await at(one, 20, observed(90))
    found = await again(store, governed(rule(mode="shadow", warn=None)))
    assert found.rehearsed.acts == found.recorded.acts == acts(20)
    assert found.rehearsed.rules[rule().name].withheld == {"governor_refusing": 1}


async def test_what_others_decided_about_the_tenant_is_so_again(store: FaultyStore) -> None:
    over = when("quota.api_calls.used > 5", lambda facts: facts.quota[CALLS].used > 5)
    async with opened(store, plans_in_force=SHADOW) as one:
        await one.grant()
        await at(one, 0, observed(90), Consume(CALLS, 6))
        await at(one, 1, Suspend(ENT), observed(91), Resume(ENT), observed(40))
    found = await again(store, governed(rule(mode="shadow", act=over, warn=None, cooldown=1)))
    assert (found.signals, found.unrecorded) == (2, 1)
    assert found.rehearsed.acts == acts(1)
    assert found.gone == acts(0)


async def test_what_an_action_did_to_its_tenant_is_not_a_fact_of_others(store: FaultyStore) -> None:
    suspending = rule(order=SuspendEntitlements())
    async with opened(store, plans_in_force=governed(suspending)) as one:
        one.executor.stop_taking()
        await one.grant()
        await at(one, 0, observed(90))
        action = (await one.corridor.durable("acme")).state.governor.in_flight
        assert action is not None
        await at(one, 1, BeginAttempt(action.id, 1, {}), ReportResult(action.id, 1, "succeeded", "", 1))
        await at(one, 2, Resume(ENT), observed(95))
    found = await again(store, governed(rule(act=above(94), order=SuspendEntitlements(), mode="shadow")))
    assert found.rehearsed.acts == acts(2, action="entitlement.suspend")
    assert found.rehearsed.refused == {}
    # And its own suspensions are: the second signal comes after one, and its own resume before it.
    found = await again(store, governed(suspending), latency_seconds=0)
    assert found.rehearsed.refused == {}
    assert [act.at for act in found.rehearsed.acts] == [NOW]


async def test_an_entitlement_that_a_recorded_action_suspended_is_in_service_where_none_does(
    store: FaultyStore,
) -> None:
    def both(bound: int) -> Plans:
        basic = Governance((rule("basic-high", mode="shadow"),))
        best = Governance((rule("best-high", act=above(bound), order=SuspendEntitlements()),))
        return plans(plan(FREE, rank=10, governor=basic), plan(PRO, rank=20, governor=best))

    async with opened(store, plans_in_force=both(80)) as one:
        one.executor.stop_taking()
        await one.grant()
        await at(one, 0, observed(90))
        action = (await one.corridor.durable("acme")).state.governor.in_flight
        assert action is not None
        await at(one, 1, BeginAttempt(action.id, 1, {}), ReportResult(action.id, 1, "succeeded", "", 1))
        await at(one, 2, Grant(EntitlementId("ent_2"), FREE), observed(95))
    found = await again(store, both(94))
    assert [act.rule for act in found.recorded.acts] == ["best-high", "basic-high"]
    assert [act.rule for act in found.rehearsed.acts] == ["best-high"]
    assert found.rehearsed.acts[0].at == after(120)


async def test_the_end_of_a_recorded_budget_resumes_nothing(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=governed(budget=Budget(1, 3_600))) as one:
        one.executor.stop_taking()
        await one.grant()
        for minute, value in ((0, 90), (15, 40), (16, 90), (70, 90)):
            await at(one, minute, observed(value))
    found = await again(store, governed(budget=Budget(9, 3_600), failures=1), outcome="failed")
    assert found.recorded.acts == acts(0, 70, kind="requested")
    assert found.rehearsed.acts == acts(0, kind="requested")


async def test_only_messages_of_signals_count_as_not_recorded(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=SHADOW) as one:
        await one.grant()
        await at(one, 0, observed(40), ResumeGovernor(), Suspend(ENT), Consume(CALLS, 1), observed(41))
    assert (await again(store, SHADOW)).unrecorded == 1


@pytest.mark.parametrize("other", [rule(mode="shadow", warn=None), rule(signal="disk", mode="shadow")])
async def test_warnings_and_refused_signals_alone_are_a_difference(store: FaultyStore, other: Rule) -> None:
    async with opened(
        store, plans_in_force=governed(rule(mode="shadow", warn=WARN if other.warn_when is None else None))
    ) as one:
        await one.grant()
        await at(one, 0, observed(70))
    found = await again(store, governed(other))
    assert (found.gone, found.new, found.differs) == ([], [], True)


async def test_shadows_tell_how_often_and_when(store: FaultyStore) -> None:
    await recorded(store)
    head = (await store.heads(["acme"]))["acme"]
    (shadow,) = await shadows(store, "acme", head, FIRST)
    assert (shadow.rule, shadow.action, shadow.acts) == (rule().name, "webhook", 2)
    assert (shadow.first, shadow.last, shadow.withheld) == (after(60), after(1_200), {"cooling_down": 1})
    (shadow,) = await shadows(store, "acme", head, after(61))
    assert (shadow.acts, shadow.first, shadow.last) == (1, after(1_200), after(1_200))
    assert await shadows(store, "acme", head, after(1_201)) == ()


async def test_what_is_archived_is_not_run_again_and_that_is_said(store: FaultyStore) -> None:
    await recorded(store)
    await begin_after(store, seq=3)
    found = await again(store, SHADOW)
    assert (found.archived_until, found.signals, found.differs) == (after(60), 3, False)
    # The cool-down that began in what is archived is carried over.
    assert found.rehearsed.rules[rule().name].withheld == {"cooling_down": 1}
    assert (await again(store, SHADOW, since=after(61))).archived_until is None
    head = (await store.heads(["acme"]))["acme"]
    for since, first in ((FIRST, after(1_200)), (after(100), after(1_200))):
        (shadow,) = await shadows(store, "acme", head, since)
        assert (shadow.acts, shadow.first) == (1, first)
    assert await shadows(store, "acme", head, after(1_201)) == ()


async def test_what_is_requested_is_no_shadow(store: FaultyStore) -> None:
    await recorded(store, ENFORCE)
    head = (await store.heads(["acme"]))["acme"]
    assert await shadows(store, "acme", head, FIRST) == ()


async def test_the_first_receipt_since_a_moment_is_found(store: FaultyStore) -> None:
    await recorded(store)
    head = (await store.heads(["acme"]))["acme"]
    every = [receipt async for receipt in receipts(store, "acme")]
    assert [each.seq for each in every] == list(range(1, head.seq + 1))
    moments = sorted({each.time for each in every} | {FIRST, after(10**6), after(30)})
    for moment in moments:
        expected = sum(each.time < moment for each in every)
        assert await seq_before(store, "acme", head, moment) == expected
