"""Every rule of the quota governor."""

import pytest
from tests.builders import BIG, CALLS, ENT, FREE, NOW, PRO, in_service, moment, plan, plans, quota
from tests.given_when_then import Given, given

from tai_autonomics.domain.entitlement import EntitlementPlanChanged, EntitlementSuspended
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import COUNT_MAX, Kind, Per, Plans
from tai_autonomics.domain.quota import (
    Consume,
    QuotaConsumed,
    QuotaReleased,
    QuotaReset,
    QuotaUse,
    Release,
    Reset,
    ThresholdCrossed,
)
from tai_autonomics.domain.tenant import EffectivePlanChanged

TODAY, TOMORROW = moment("2026-11-24"), moment("2026-11-25")


def consumed(amount: int, used: int, *, limit: int | None = 100) -> QuotaConsumed:
    return QuotaConsumed(CALLS, amount, used, "day", limit, TODAY, TOMORROW)


def with_quota(limit: int | None, kind: Kind = "hard", thresholds: tuple[int, ...] = (), per: Per = "day") -> Plans:
    return plans(plan(PRO, quota(CALLS, limit, kind=kind, thresholds=thresholds, per=per)))


def used(amount: int) -> Given:
    return given(*in_service(), consumed(amount, amount))


def test_a_consume_counts_in_the_window_of_its_time() -> None:
    given(*in_service()).when(Consume(CALLS, 7)).then(consumed(7, 7)).when(Consume(CALLS, 3)).then(consumed(3, 10))


def test_a_hard_limit_can_be_used_up_and_not_gone_over() -> None:
    full = used(99).when(Consume(CALLS, 1)).then(consumed(1, 100))
    full.when(Consume(CALLS, 1)).then_refused("quota_exceeded")


def test_a_refused_consume_says_when_it_resets() -> None:
    then = used(98).when(Consume(CALLS, 3))
    refused = then.then_refused("quota_exceeded")
    assert refused.detail == "3 of api_calls on top of 98 is more than the 100 allowed per day"
    assert refused.next_step == f"wait until {TOMORROW}, when it resets, or change to a plan with a higher limit"
    assert then.decision.gates[-1].evidence == {
        "quota": CALLS,
        "limit": 100,
        "used": 98,
        "amount": 3,
        "remaining": 2,
        "per": "day",
        "kind": "hard",
        "window_start": TODAY,
        "resets_at": TOMORROW,
    }


def test_a_lifetime_quota_does_not_reset() -> None:
    then = given(*in_service()).under(with_quota(1, per="lifetime")).when(Consume(CALLS, 2))
    refused = then.then_refused("quota_exceeded")
    assert refused.next_step == "release what is no longer used, or change to a plan with a higher limit"
    assert not {"resets_at", "window_start"} & then.decision.gates[-1].evidence.keys()


def test_a_soft_limit_counts_the_overage() -> None:
    then = used(98).under(with_quota(100, "soft")).when(Consume(CALLS, 10))
    then.then(consumed(10, 108))
    assert then.and_then.when(Consume(CALLS, 1)).decision.gates[-1].evidence["remaining"] == 0


def test_a_limit_of_0_refuses_everything_when_hard_and_counts_everything_when_soft() -> None:
    given(*in_service()).under(with_quota(0)).when(Consume(CALLS, 1)).then_refused("quota_exceeded")
    given(*in_service()).under(with_quota(0, "soft")).when(Consume(CALLS, 1)).then(consumed(1, 1, limit=0))


def test_an_unlimited_quota_is_counted_without_a_limit() -> None:
    then = given(*in_service()).under(with_quota(None)).when(Consume(CALLS, 5))
    then.then(consumed(5, 5, limit=None))
    assert not {"limit", "remaining"} & then.decision.gates[-1].evidence.keys()


@pytest.mark.parametrize("in_force", [with_quota(None), with_quota(5, "soft")])
def test_no_count_outgrows_what_a_receipt_can_hold(in_force: Plans) -> None:
    full = given(*in_service(), consumed(COUNT_MAX, COUNT_MAX)).under(in_force)
    refused = full.when(Consume(CALLS, 1)).then_refused("quota_exceeded")
    assert refused.detail == f"1 of api_calls on top of {COUNT_MAX} is more than can be counted per day"


@pytest.mark.parametrize(
    ("per", "at", "start", "end"),
    [
        ("minute", "2026-12-31T23:59:59.999999", "2026-12-31T23:59", "2027"),
        ("hour", "2026-12-31T23:59:59.999999", "2026-12-31T23", "2027"),
        ("day", "2028-02-28T00:00:00", "2028-02-28", "2028-02-29"),
        ("month", "2026-12-31T23:59:59.999999", "2026-12", "2027"),
        ("month", "2027-01-31T12", "2027-01", "2027-02"),
        ("month", "2027-02-01", "2027-02", "2027-03"),
        ("month", "2028-02-29T23", "2028-02", "2028-03"),
        ("month", "2027-04-30", "2027-04", "2027-05"),
    ],
)
def test_a_window_is_a_calendar_one_in_utc(per: Per, at: str, start: str, end: str) -> None:
    then = given(*in_service()).under(with_quota(10, per=per)).when(Consume(CALLS, 1), at=moment(at))
    then.then(QuotaConsumed(CALLS, 1, 1, per, 10, moment(start), moment(end)))


def test_a_lifetime_has_no_window() -> None:
    then = given(*in_service()).under(with_quota(10, per="lifetime")).when(Consume(CALLS, 1))
    then.then(QuotaConsumed(CALLS, 1, 1, "lifetime", 10))


def test_a_window_rolls_when_it_is_touched() -> None:
    rolled = used(100).when(Consume(CALLS, 1), at=TOMORROW)
    rolled.then(QuotaConsumed(CALLS, 1, 1, "day", 100, TOMORROW, moment("2026-11-26")))


def test_a_changed_period_starts_a_new_window_even_at_the_same_start() -> None:
    first = moment("2026-12-01")
    daily = given(*in_service()).when(Consume(CALLS, 100), at=first).and_then
    then = daily.under(with_quota(100, per="month")).when(Consume(CALLS, 1), at=first)
    then.then(QuotaConsumed(CALLS, 1, 1, "month", 100, first, moment("2027")))


def test_a_new_window_has_crossed_no_threshold() -> None:
    first = moment("2026-12-01")
    daily = given(*in_service()).under(with_quota(100, thresholds=(80,))).when(Consume(CALLS, 80), at=first).and_then
    monthly = daily.under(with_quota(100, thresholds=(80,), per="month"))
    monthly.when(Consume(CALLS, 80), at=first).then(
        QuotaConsumed(CALLS, 80, 80, "month", 100, first, moment("2027")), crossed(80, 80)
    )
    assert daily.when(Reset(CALLS), at=TOMORROW).and_then.state.quotas[CALLS].crossed == ()
    under_month = monthly.when(Reset(CALLS), at=first).and_then
    assert under_month.state.quotas[CALLS] == QuotaUse(0, "month", first, moment("2027"))


def test_a_plan_change_carries_use_over() -> None:
    history = (
        *in_service(plan=BIG),
        consumed(500, 500, limit=1_000),
        EntitlementPlanChanged(ENT, BIG, FREE),
        EffectivePlanChanged(BIG, FREE),
    )
    then = given(*history).when(Consume(CALLS, 1))
    then.then_refused("quota_exceeded")
    assert then.decision.gates[-1].evidence["remaining"] == 0


def test_a_quota_that_vanishes_keeps_its_use() -> None:
    gone = used(98).under(plans(plan(PRO)))
    gone.when(Consume(CALLS, 1)).then_refused("unknown_quota")
    assert gone.state.quotas == {CALLS: QuotaUse(98, "day", TODAY, TOMORROW)}
    used(98).when(Consume(CALLS, 3)).then_refused("quota_exceeded")


# thresholds


def crossed(percent: int, used_now: int, *, limit: int = 100) -> ThresholdCrossed:
    return ThresholdCrossed(CALLS, percent, used_now, limit)


def test_a_threshold_is_crossed_when_it_is_reached_and_once_a_window() -> None:
    watched = used(79).under(with_quota(100, thresholds=(80, 100)))
    once = watched.when(Consume(CALLS, 1)).then(consumed(1, 80), crossed(80, 80))
    again = once.when(Consume(CALLS, 1)).then(consumed(1, 81))
    again.when(Consume(CALLS, 19)).then(consumed(19, 100), crossed(100, 100))
    next_day = QuotaConsumed(CALLS, 90, 90, "day", 100, TOMORROW, moment("2026-11-26"))
    again.when(Consume(CALLS, 90), at=TOMORROW).then(next_day, crossed(80, 90))


def test_one_consume_can_cross_several_thresholds() -> None:
    soft = given(*in_service()).under(with_quota(3, "soft", (50, 100, 200)))
    soft.when(Consume(CALLS, 6)).then(
        consumed(6, 6, limit=3), crossed(50, 6, limit=3), crossed(100, 6, limit=3), crossed(200, 6, limit=3)
    )


def test_a_threshold_is_not_rounded() -> None:
    watched = given(*in_service()).under(with_quota(3, thresholds=(67,)))
    not_yet = watched.when(Consume(CALLS, 2)).then(consumed(2, 2, limit=3))
    not_yet.when(Consume(CALLS, 1)).then(consumed(1, 3, limit=3), crossed(67, 3, limit=3))


def test_an_unlimited_quota_has_no_thresholds() -> None:
    given(*in_service()).under(with_quota(None, thresholds=(80,))).when(Consume(CALLS, 9)).then(
        consumed(9, 9, limit=None)
    )


def test_a_crossed_threshold_stays_crossed_after_a_release_and_a_reset() -> None:
    watched = given(*in_service(), consumed(90, 90), crossed(80, 90)).under(with_quota(100, thresholds=(80,)))
    watched.when(Release(CALLS, 90)).and_then.when(Consume(CALLS, 85)).then(consumed(85, 85))
    watched.when(Reset(CALLS)).and_then.when(Consume(CALLS, 85)).then(consumed(85, 85))


# which entitlement


def test_without_an_entitlement_in_service_nothing_is_consumed() -> None:
    then = given().when(Consume(CALLS, 1))
    refused = then.then_refused("entitlement_inactive")
    assert refused.detail == "the tenant has no entitlement in service"
    assert [gate.gate for gate in then.decision.gates] == ["compliance_permits", "entitlement_is_in_service"]


def test_a_named_entitlement_is_itself_in_service() -> None:
    given(*in_service()).when(Consume(CALLS, 1, ENT)).then(consumed(1, 1))
    refused = given(*in_service()).when(Consume(CALLS, 1, "ent_2")).then_refused("entitlement_inactive")
    assert refused.detail == "there is no entitlement ent_2"
    suspended = (*in_service(), EntitlementSuspended(ENT, "active"), EffectivePlanChanged(PRO), *in_service("ent_2"))
    refused = given(*suspended).when(Consume(CALLS, 1, ENT)).then_refused("entitlement_inactive")
    assert refused.detail == "the entitlement ent_1 is suspended"
    given(*suspended).when(Consume(CALLS, 1)).then(consumed(1, 1))


def test_a_quota_that_the_plan_does_not_have_is_unknown() -> None:
    then = given(*in_service()).when(Consume("seats", 1))
    refused = then.then_refused("unknown_quota")
    assert refused.detail == "the plan professional has no quota seats"
    assert refused.next_step == "name one of its quotas: api_calls"
    assert [gate.gate for gate in then.decision.gates] == [
        "compliance_permits",
        "entitlement_is_in_service",
        "quota_is_available",
    ]


def test_a_plan_without_quotas_says_so() -> None:
    refused = given(*in_service()).under(plans(plan(PRO))).when(Consume(CALLS, 1)).then_refused("unknown_quota")
    assert refused.next_step == "the plan has no quotas"


def test_a_tenant_whose_plan_left_the_file_has_no_quotas() -> None:
    refused = given(*in_service()).under(plans(plan(FREE))).when(Consume(CALLS, 1)).then_refused("unknown_quota")
    assert refused.detail == "no plan of the tenant's is in the plans file"


# release and reset


def released(amount: int, used_now: int) -> QuotaReleased:
    return QuotaReleased(CALLS, amount, used_now, "day", TODAY, TOMORROW)


def test_a_release_lowers_the_current_window() -> None:
    used(5).when(Release(CALLS, 5)).then(released(5, 0))


def test_a_release_of_more_than_is_used_is_refused() -> None:
    refused = used(5).when(Release(CALLS, 6)).then_refused("release_exceeds_use")
    assert refused.next_step == "release at most 5"


def test_a_release_does_not_reach_an_earlier_window() -> None:
    refused = used(5).when(Release(CALLS, 1), at=TOMORROW).then_refused("release_exceeds_use")
    assert refused.next_step == "nothing to release: the window is empty"


def test_a_release_asks_no_gate() -> None:
    history = (*in_service(), consumed(5, 5), EntitlementSuspended(ENT, "active"), EffectivePlanChanged(PRO))
    then = given(*history).when(Release(CALLS, 2))
    then.then(released(2, 3))
    assert then.decision.gates == ()


def test_a_vanished_quota_is_released_and_reset_while_some_of_it_is_used() -> None:
    gone = used(5).under(plans(plan(PRO)))
    gone.when(Reset(CALLS)).then(QuotaReset(CALLS, 5, 0, "day", TODAY, TOMORROW))
    empty = gone.when(Release(CALLS, 5)).then(released(5, 0))
    empty.when(Release(CALLS, 1)).then_refused("unknown_quota")
    empty.when(Reset(CALLS)).then_refused("unknown_quota")
    gone.when(Release(CALLS, 1), at=TOMORROW).then_refused("unknown_quota")


def test_a_quota_that_nobody_knows_is_not_corrected() -> None:
    given(*in_service()).when(Release("seats", 1)).then_refused("unknown_quota")
    given().when(Reset(CALLS)).then_refused("unknown_quota")


@pytest.mark.parametrize(("history", "was"), [((), 0), ((consumed(42, 42),), 42)])
def test_a_reset_empties_the_current_window(history: tuple[QuotaConsumed, ...], was: int) -> None:
    reset = given(*in_service(), *history).when(Reset(CALLS)).then(QuotaReset(CALLS, was, 0, "day", TODAY, TOMORROW))
    reset.when(Consume(CALLS, 100)).then(consumed(100, 100))


def test_a_reset_after_the_window_rolled_starts_the_new_one() -> None:
    used(42).when(Reset(CALLS), at=TOMORROW).then(
        QuotaReset(CALLS, 0, 0, "day", TOMORROW, moment("2026-11-26")),
    )


def test_the_end_of_the_calendar_is_no_error() -> None:
    last = Moment("9999-12-31T23:59:59.999999Z")
    for per in ("minute", "hour", "day", "month"):
        given(*in_service()).under(with_quota(10, per=per)).when(Consume(CALLS, 1), at=last).and_then  # noqa: B018


def test_the_default_time_of_the_tests_is_in_the_window() -> None:
    assert TODAY <= NOW < TOMORROW
