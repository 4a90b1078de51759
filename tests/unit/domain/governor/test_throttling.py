"""What a throttle leaves of a tenant's checks and consumes."""

from hypothesis import given as drawn
from hypothesis import strategies as st
from tests.builders import ACTION, CALLS, ENT, NOW, after, in_service, moment, plans
from tests.given_when_then import Given, given

from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.gates import Failed, Passed
from tai_autonomics.domain.governor import Throttled, ThrottleSet, asked_more, throttle_use
from tai_autonomics.domain.identifiers import EntitlementId, FeatureName, QuotaName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import Consume, QuotaConsumed, Release
from tai_autonomics.domain.tenant import Check, CheckResult, check

UNTIL = after(300)
TWO_A_MINUTE = Throttled(2, 60, UNTIL, ACTION)
MINUTE, NEXT_MINUTE = moment("2026-11-24T12:30"), moment("2026-11-24T12:31")
TODAY, TOMORROW = moment("2026-11-24"), moment("2026-11-25")
THROTTLED = given(*in_service(), ThrottleSet(ACTION, 2, 60, UNTIL))


def use(used: int, *, requests: int = 2, start: Moment = MINUTE, end: Moment = NEXT_MINUTE) -> BudgetUse:
    return BudgetUse(used, requests, 60, start, end)


def is_let_in(history: Given, used: int, at: Moment = NOW) -> bool:
    decision = history.when(Consume(CALLS, 1), at=at, counted=use(used)).decision
    return all(isinstance(gate, Passed) for gate in decision.gates)


def ask(history: Given, *checks: Check, used: int = 0, at: Moment = NOW) -> list[CheckResult]:
    return list(check(checks, history.state, now=at, plans=plans(), counted=use(used)))


def test_a_consume_within_the_rate_is_decided_and_its_receipt_has_the_gate() -> None:
    then = THROTTLED.when(Consume(CALLS, 1), counted=use(1))
    then.then(QuotaConsumed(CALLS, 1, 1, "day", 100, TODAY, TOMORROW))
    assert [gate.gate for gate in then.decision.gates] == [
        "compliance_permits",
        "entitlement_is_in_service",
        "rate_is_within_throttle",
        "quota_is_available",
    ]
    assert then.decision.gates[2].evidence == {
        "action_id": ACTION,
        "counted_by": "instance",
        "used": 1,
        "max": 2,
        "per_seconds": 60,
        "window_start": MINUTE,
        "resets_at": NEXT_MINUTE,
        "until": UNTIL,
    }


def test_a_consume_over_the_rate_is_refused_and_the_refusal_says_until_when() -> None:
    then = THROTTLED.when(Consume(CALLS, 1), counted=use(2))
    refused = then.then_refused("rate_limited")
    assert refused.detail == f"the action act_1 holds the tenant to 2 checks and consumes in 60 s until {UNTIL}"
    assert refused.next_step == f"wait until {NEXT_MINUTE}, then send it again with the same key"
    assert [isinstance(gate, Failed) for gate in then.decision.gates] == [False, False, True]


def test_a_tenant_that_is_not_entitled_hears_that_first() -> None:
    THROTTLED.when(Consume(CALLS, 1, EntitlementId("none")), counted=use(2)).then_refused("entitlement_inactive")


def test_what_is_wrong_beside_the_rate_is_refused_for_its_own_reason() -> None:
    for amount, name, reason in ((1, "none", "unknown_quota"), (101, CALLS, "quota_exceeded")):
        then = THROTTLED.when(Consume(QuotaName(name), amount), counted=use(0))
        then.then_refused(reason)  # type: ignore[arg-type]
        assert len(then.decision.gates) == 4


def test_what_is_given_back_meets_no_throttle() -> None:
    history = given(*THROTTLED.events, QuotaConsumed(CALLS, 5, 5, "day", 100, TODAY, TOMORROW))
    assert history.when(Release(CALLS, 1), counted=use(2)).events


def test_a_throttle_ends_by_time_though_no_timer_was_decided() -> None:
    assert not is_let_in(THROTTLED, 2)
    assert is_let_in(THROTTLED, 2, at=UNTIL)
    (result,) = ask(THROTTLED, Check(), used=2, at=UNTIL)
    assert [gate.gate for gate in result.gates] == ["compliance_permits", "entitlement_is_in_service"]


def test_nobody_waits_for_a_window_that_ends_after_the_throttle() -> None:
    short = given(*in_service(), ThrottleSet(ACTION, 2, 60, after(20)))
    failed = short.when(Consume(CALLS, 1), counted=use(2)).decision.gates[-1]
    assert (failed.evidence["resets_at"], failed.evidence["until"]) == (after(20), after(20))


def test_of_several_checks_those_within_the_rate_are_allowed_whatever_else_they_ask() -> None:
    asked = (Check(), Check(entitlement_id=ENT), Check(feature=FeatureName("export")), Check(quota=CALLS))
    results = ask(THROTTLED, *asked, used=0)
    assert [each.reason for each in results] == [None, None, "rate_limited", "rate_limited"]
    assert CALLS in results[3].limits
    assert [each.allowed for each in ask(THROTTLED, *asked, used=1)] == [True, False, False, False]


def test_without_a_throttle_nothing_is_counted() -> None:
    (result,) = ask(given(*in_service()), Check(), used=2)
    assert [gate.gate for gate in result.gates] == ["compliance_permits", "entitlement_is_in_service"]


def test_a_window_begins_with_nothing_asked_and_another_rate_counts_on_within_it() -> None:
    assert throttle_use(NOW, TWO_A_MINUTE, None) == use(0)
    assert throttle_use(NOW, TWO_A_MINUTE, use(2)) == use(2)
    assert throttle_use(NEXT_MINUTE, TWO_A_MINUTE, use(2)) == use(0, start=NEXT_MINUTE, end=moment("2026-11-24T12:32"))
    assert throttle_use(NOW, Throttled(9, 60, UNTIL, ACTION), use(2)) == use(2, requests=9)
    assert throttle_use(NOW, Throttled(2, 3_600, UNTIL, ACTION), use(2)).used == 0


def test_what_is_refused_is_not_counted() -> None:
    assert asked_more(use(1), 5) == use(2)
    assert asked_more(use(0), 1) == use(1)
    assert asked_more(use(7), 3) == use(7)


steps = st.lists(st.tuples(st.integers(-90, 90), st.integers(1, 4)), max_size=60)


@drawn(steps=steps, requests=st.integers(1, 5), per_seconds=st.sampled_from([1, 7, 60, 3_600]))
def test_no_window_ever_lets_in_more_than_the_rate_whichever_way_the_clock_goes(
    steps: list[tuple[int, int]], requests: int, per_seconds: int
) -> None:
    throttle = Throttled(requests, per_seconds, after(10**9), ACTION)
    known: BudgetUse | None = None
    let_in: dict[Moment, int] = {}
    now = NOW
    for seconds, count in steps:
        now = after(seconds, now)
        before = throttle_use(now, throttle, known)
        known = asked_more(before, count)
        let_in[before.window_start] = let_in.get(before.window_start, 0) + known.used - before.used
        assert known.used - before.used == min(count, requests - before.used)
        assert before.window_end > now
    assert max(let_in.values(), default=0) <= requests
    # A window that was left is never begun again.
    assert list(let_in) == sorted(let_in)


@drawn(used=st.integers(0, 5), count=st.integers(1, 8))
def test_checks_in_one_call_are_answered_as_if_each_came_alone(used: int, count: int) -> None:
    together = [each.allowed for each in ask(THROTTLED, *(Check() for _ in range(count)), used=used)]
    alone, known = [], use(used)
    for _ in range(count):
        alone.append(ask(THROTTLED, Check(), used=known.used)[0].allowed)
        known = asked_more(known, 1)
    assert together == alone
