"""What a check answers, and why."""

from tests.builders import (
    ACTION,
    BIG,
    BOUNDS,
    CALLS,
    ENT,
    FREE,
    LATER,
    LATEST,
    NOW,
    PRO,
    in_service,
    moment,
    plan,
    plans,
    quota,
)
from tests.given_when_then import given

from tai_autonomics.domain.decider import Accepted, fold
from tai_autonomics.domain.entitlement import (
    EntitlementCancellationScheduled,
    EntitlementGranted,
    EntitlementPlanChangeScheduled,
    EntitlementScheduled,
    EntitlementSuspended,
)
from tai_autonomics.domain.gates import Failed, Passed
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.quota import QuotaConsumed
from tai_autonomics.domain.tenant import (
    INITIAL_STATE,
    Check,
    CheckResult,
    EffectivePlanChanged,
    Limit,
    TenantState,
    Timer,
    after_timers,
    check,
    decide,
    evolve,
    next_timer,
)

TODAY, TOMORROW = moment("2026-11-24"), moment("2026-11-25")
USED = QuotaConsumed(CALLS, 97, 97, "day", 100, TODAY, TOMORROW)
PERMITTED = Passed("compliance_permits", {"concern": "service", "holds": []})


def ask(state: TenantState, asked: Check, *, at: Moment = NOW, under: Plans | None = None) -> CheckResult:
    (result,) = check((asked,), state, now=at, plans=under or plans())
    return result


def names(result: CheckResult) -> list[tuple[str, bool]]:
    return [(gate.gate, isinstance(gate, Passed)) for gate in result.gates]


def test_an_unknown_tenant_is_not_allowed() -> None:
    result = ask(INITIAL_STATE, Check())
    assert result == CheckResult(False, "entitlement_inactive", {}, result.gates)
    assert names(result) == [("compliance_permits", True), ("entitlement_is_in_service", False)]


def test_without_a_question_the_entitlement_alone_is_asked() -> None:
    result = ask(given(*in_service()).state, Check())
    evidence = {"entitlements_in_service": 1, "plan": PRO}
    assert result == CheckResult(True, None, {}, (PERMITTED, Passed("entitlement_is_in_service", evidence)))


def test_a_feature_of_the_plan_is_allowed() -> None:
    result = ask(given(*in_service()).state, Check(feature="export"))
    assert result.allowed
    assert result.gates[2] == Passed("plan_includes_feature", {"feature": "export", "plan": PRO})


def test_a_feature_of_another_plan_names_that_plan() -> None:
    result = ask(given(*in_service()).state, Check(feature="audit"))
    assert (result.allowed, result.reason) == (False, "feature_not_in_plan")
    assert result.gates[2] == Failed(
        "plan_includes_feature",
        {"feature": "audit", "plan": PRO},
        "feature_not_in_plan",
        "the tenant's plan does not include the feature audit",
        "change to a plan that includes it: enterprise",
    )


def test_a_feature_of_no_plan_says_so() -> None:
    failed = ask(given(*in_service()).state, Check(feature="time_travel")).gates[2]
    assert isinstance(failed, Failed)
    assert failed.next_step == "no plan includes it"


def test_a_quota_is_computed_and_not_consumed() -> None:
    state = given(*in_service(), USED).state
    fits, too_much = check((Check(quota=CALLS, amount=3), Check(quota=CALLS, amount=4)), state, now=NOW, plans=plans())
    assert (fits.allowed, fits.limits) == (True, {CALLS: Limit(100, 97, 3, TOMORROW)})
    assert (too_much.allowed, too_much.reason, too_much.limits) == (False, "quota_exceeded", fits.limits)
    assert state == given(*in_service(), USED).state


def test_a_check_sees_a_window_that_has_rolled() -> None:
    result = ask(given(*in_service(), USED).state, Check(quota=CALLS, amount=100), at=TOMORROW)
    assert (result.allowed, result.limits) == (True, {CALLS: Limit(100, 0, 100, moment("2026-11-26"))})


def test_an_unlimited_quota_has_no_limit_and_a_lifetime_no_reset() -> None:
    unlimited = plans(plan(PRO, quota(limit=None, per="lifetime")))
    assert ask(given(*in_service()).state, Check(quota=CALLS), under=unlimited).limits == {CALLS: Limit(None, 0, None)}


def test_a_soft_quota_that_is_over_has_nothing_remaining() -> None:
    soft = plans(plan(PRO, quota(limit=90, kind="soft")))
    result = ask(given(*in_service(), USED).state, Check(quota=CALLS), under=soft)
    assert (result.allowed, result.limits) == (True, {CALLS: Limit(90, 97, 0, TOMORROW)})


def test_an_unknown_quota_has_no_limits() -> None:
    result = ask(given(*in_service()).state, Check(quota="seats"))
    assert (result.allowed, result.reason, result.limits) == (False, "unknown_quota", {})


def test_all_gates_answer_also_after_the_first_failure() -> None:
    result = ask(given(*in_service(), USED).state, Check("ent_2", feature="audit", quota=CALLS, amount=9))
    assert names(result) == [
        ("compliance_permits", True),
        ("entitlement_is_in_service", False),
        ("plan_includes_feature", False),
        ("quota_is_available", False),
    ]
    assert result.reason == "entitlement_inactive"


def test_without_anything_in_service_there_is_no_plan_to_ask() -> None:
    suspended = (*in_service(), EntitlementSuspended(ENT, "active"), EffectivePlanChanged(PRO))
    result = ask(given(*suspended).state, Check(ENT, feature="export", quota=CALLS))
    assert names(result) == [("compliance_permits", True), ("entitlement_is_in_service", False)]


def test_a_plan_that_left_the_file_includes_nothing() -> None:
    result = ask(given(*in_service()).state, Check(ENT, feature="export", quota=CALLS), under=plans(plan(FREE)))
    assert names(result) == [
        ("compliance_permits", True),
        ("entitlement_is_in_service", True),
        ("plan_includes_feature", False),
        ("quota_is_available", False),
    ]
    assert (result.reason, result.limits) == ("feature_not_in_plan", {})


def test_a_check_is_made_after_the_timers_due_by_then() -> None:
    expired = given(*in_service(expires_at=LATER)).state
    assert ask(expired, Check()).allowed
    assert not ask(expired, Check(), at=LATER).allowed
    scheduled = given(EntitlementScheduled(ENT, PRO, LATER, LATEST)).state
    assert not ask(scheduled, Check(ENT)).allowed
    assert ask(scheduled, Check(ENT), at=LATER).allowed
    changing = given(*in_service(), EntitlementPlanChangeScheduled(ENT, BIG, LATER)).state
    assert not ask(changing, Check(feature="audit")).allowed
    assert ask(changing, Check(feature="audit"), at=LATER).allowed


def test_a_check_agrees_with_deciding_every_timer_first() -> None:
    state = given(
        EntitlementGranted("a", PRO, LATER),
        EntitlementPlanChangeScheduled("a", BIG, moment("2026-12-01")),
        EntitlementScheduled("b", FREE, LATER, LATEST),
        EntitlementScheduled("c", BIG, moment("2026-12-01"), LATER),
        EntitlementGranted("d", BIG, LATER),
        EntitlementCancellationScheduled("d", "pending_cancellation", LATER),
    ).state
    for at in (NOW, moment("2026-12-01"), LATER, LATEST):
        decided = state
        while (timer := next_timer(decided, at)) is not None:
            outcome = decide(timer, decided, now=at, plans=plans(), bounds=BOUNDS, action_id=ACTION).outcome
            assert isinstance(outcome, Accepted)
            decided = fold(evolve, decided, outcome.events)
        for asked in (
            Check("a", feature="audit"),
            Check("b", quota=CALLS),
            Check("c"),
            Check("d"),
            Check(quota=CALLS, amount=50),
        ):
            assert ask(state, asked, at=at) == ask(decided, asked, at=at)


def test_what_ended_has_no_timer_left_in_the_state_as_of_now() -> None:
    held = (*in_service(expires_at=LATER), EntitlementPlanChangeScheduled(ENT, BIG, LATEST))
    state = given(*held, EntitlementGranted("ent_2", FREE, LATEST)).state
    assert after_timers(state, NOW) == state
    ended = after_timers(state, LATER)
    assert list(ended.timers.values()) == [Timer("entitlement/ent_2", "expire", LATEST)]
    assert (ended.due, ended.in_service, ended.plan) == (LATEST, {FREE: 1}, PRO)
