"""The action in flight: approved, attempted, retried, settled, and results that come late."""

import pytest
from tests.builders import (
    ACTION,
    CPU,
    ENT,
    HIGH,
    NOW,
    PRO,
    after,
    governed,
    in_service,
    observed,
    rule,
)
from tests.given_when_then import Given, given
from tests.unit.domain.governor.actions import TARGET, attempted, settled

from tai_autonomics.domain.actions import Order, Publish, SuspendEntitlements, Throttle, Webhook
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.entitlement import EntitlementGranted, EntitlementRequested, EntitlementSuspended, Revoke
from tai_autonomics.domain.governor import (
    ActionApproved,
    ActionAttempted,
    ActionRequested,
    ActionSettled,
    ApprovalWanted,
    ApproveAction,
    AttemptEnded,
    BeginAttempt,
    CancelAction,
    DenyAction,
    GiveUp,
    LapseApproval,
    LateResultRecorded,
    LoseAttempt,
    LostAttempt,
    PassDeadline,
    PauseGovernor,
    RefusalBegun,
    RefusalEnded,
    ReportResult,
    ResumeGovernor,
    RuleEvaluated,
    ThrottleSet,
    stage_of,
    status_of,
)
from tai_autonomics.domain.rules import Approval, Budget
from tai_autonomics.domain.tenant import EffectivePlanChanged, LedgerRestored, Restore, RestoredHead, Subject

WINDOW_START, WINDOW_END = "2026-11-24T12:00:00.000000Z", "2026-11-24T13:00:00.000000Z"
ONCE = Webhook("https://hooks.example/page", idempotent=False)
OTHER = "act_other"


def requested(order: Order = Webhook("https://hooks.example/scale"), **bounds: int) -> Given:  # noqa: B008
    return given(*in_service()).under(governed(rule(order=order, **bounds))).when(observed(99)).and_then  # type: ignore[arg-type]


def waiting(people: int = 1, budget: Budget | None = None) -> Given:
    """An action that waits for approval."""
    plans = governed(rule(mode="approve", approval=Approval(900, people)), budget=budget)
    return given(*in_service()).under(plans).when(observed(99)).and_then


def stage(history: Given) -> str | None:
    action = history.state.governor.in_flight
    return None if action is None else stage_of(action)


def result(outcome: str = "succeeded", attempt: int = 1, **more: object) -> ReportResult:
    return ReportResult(ACTION, attempt, outcome, "detail", 5, **more)  # type: ignore[arg-type]


# approval


def test_an_action_that_needs_approval_waits_for_it_and_uses_no_budget_yet() -> None:
    plans = governed(rule(mode="approve"), budget=Budget(1, 3_600))
    event = given(*in_service()).under(plans).when(observed(99)).events[-1]
    assert isinstance(event, ActionRequested)
    assert (event.approval, event.deadline, event.budget) == (ApprovalWanted(1, after(900)), None, None)
    assert stage(waiting()) == "awaiting_approval"
    assert status_of(waiting().state.governor) == "intervening"


def test_an_approval_gives_the_deadline_and_uses_the_budget() -> None:
    approved = waiting(budget=Budget(1, 3_600)).when(ApproveAction(ACTION, "ann"), at=after(60))
    use = BudgetUse(1, 1, 3_600, WINDOW_START, WINDOW_END)
    history = approved.then(ActionApproved(ACTION, "ann", 1, 1, after(60), after(690), use))
    assert (approved.decision.was, approved.decision.to) == ("awaiting_approval", "ready")
    assert approved.decision.subject == Subject("action", ACTION)
    assert approved.decision.kind == "transition"
    assert history.state.governor.budget == use
    assert stage(attempted(history, at=after(60))) == "attempting"


def test_a_second_person_must_be_another_one() -> None:
    once = waiting(people=2).when(ApproveAction(ACTION, "ann")).then(ActionApproved(ACTION, "ann", 1, 2, NOW))
    assert stage(once) == "awaiting_approval"
    assert "ann" in once.when(ApproveAction(ACTION, "ann")).then_refused("invalid_transition").detail
    twice = once.when(ApproveAction(ACTION, "bob")).then(ActionApproved(ACTION, "bob", 2, 2, NOW, after(630)))
    assert stage(twice) == "ready"
    twice.when(ApproveAction(ACTION, "cat")).then_refused("invalid_transition")
    requested().when(ApproveAction(ACTION, "ann")).then_refused("invalid_transition")


def test_an_approval_meets_the_gates_again() -> None:
    waiting().when(Revoke(ENT)).and_then.when(ApproveAction(ACTION, "ann")).then_refused("entitlement_inactive")
    waiting().when(PauseGovernor()).and_then.when(ApproveAction(ACTION, "ann")).then_refused("governor_refusing")
    spent = waiting().under(governed(rule(), budget=Budget(0, 3_600))).when(ApproveAction(ACTION, "ann"))
    assert WINDOW_END in spent.then_refused("action_budget_exhausted").next_step
    assert spent.then_refused("action_budget_exhausted").detail.startswith("the tenant's budget is used up: 0 of 0")
    assert [gate.gate for gate in spent.decision.gates] == [
        "compliance_permits",
        "entitlement_is_in_service",
        "governor_is_not_refusing",
        "action_is_within_budget",
    ]


def test_what_is_denied_is_not_done() -> None:
    denied = waiting().when(DenyAction(ACTION, "ann"))
    history = denied.then(ActionSettled(ACTION, HIGH, "cancelled", "denied by ann", NOW, 0, 0, "ann"), *cooling())
    assert (denied.decision.kind, denied.decision.to) == ("action_result", "cancelled")
    assert stage(history) is None
    requested().when(DenyAction(ACTION, "ann")).then_refused("invalid_transition")


def cooling() -> tuple[RuleEvaluated, ...]:
    """What the rule says when it is asked again with 99 still the newest value."""
    acted = requested().when(CancelAction(ACTION, "x")).events[1:]
    assert all(isinstance(event, RuleEvaluated) for event in acted)
    assert len(acted) == 1
    return acted  # type: ignore[return-value]


def test_an_approval_that_does_not_come_lapses() -> None:
    lapsed = waiting().when(LapseApproval(ACTION, after(900)), at=after(900))
    assert lapsed.events[0] == ActionSettled(ACTION, HIGH, "lapsed", "nobody decided in time", after(900), 0, 0)
    waiting().when(LapseApproval(ACTION, after(900)), at=after(899)).then_refused("invalid_transition")
    waiting().when(LapseApproval(ACTION, after(800)), at=after(900)).then_refused("invalid_transition")
    approved = waiting().when(ApproveAction(ACTION, "ann")).and_then
    approved.when(LapseApproval(ACTION, after(900)), at=after(900)).then_refused("invalid_transition")


# attempts


def test_an_attempt_is_said_with_its_target_before_it_reaches_out() -> None:
    begun = requested().when(BeginAttempt(ACTION, 1, TARGET))
    history = begun.then(ActionAttempted(ACTION, 1, TARGET, NOW, leased_until=after(20)))
    assert (begun.decision.kind, begun.decision.was, begun.decision.to) == ("action_attempt", "ready", "attempting")
    assert begun.decision.subject == Subject("action", ACTION)
    assert stage(history) == "attempting"


@pytest.mark.parametrize("attempt", [0, 2])
def test_attempts_are_counted_one_by_one(attempt: int) -> None:
    requested().when(BeginAttempt(ACTION, attempt, TARGET)).then_refused("invalid_transition")


def test_only_one_attempt_is_under_way_and_none_before_approval_or_after_it_is_settled() -> None:
    attempted(requested()).when(BeginAttempt(ACTION, 2, TARGET)).then_refused("invalid_transition")
    waiting().when(BeginAttempt(ACTION, 1, TARGET)).then_refused("invalid_transition")
    settled(requested()).when(BeginAttempt(ACTION, 2, TARGET)).then_refused("invalid_transition")
    requested().when(BeginAttempt(OTHER, 1, TARGET)).then_refused("invalid_transition")  # type: ignore[arg-type]


def test_no_attempt_begins_that_could_not_end_before_the_deadline() -> None:
    requested().when(BeginAttempt(ACTION, 1, TARGET), at=after(621)).then_refused("invalid_transition")
    assert stage(attempted(requested(), at=after(620))) == "attempting"


def test_a_pause_does_not_end_what_is_in_flight() -> None:
    paused = requested().when(PauseGovernor()).and_then
    assert status_of(paused.state.governor) == "refusing"
    assert stage(attempted(paused)) == "attempting"
    resumed = paused.when(ResumeGovernor()).and_then
    assert status_of(resumed.state.governor) == "intervening"


def test_a_success_settles_the_action() -> None:
    done = attempted(requested()).when(result(), at=after(3))
    done.then(
        AttemptEnded(ACTION, 1, "succeeded", "detail", 5),
        ActionSettled(ACTION, HIGH, "succeeded", "detail", after(3), 1, 0),
        *cooling(),
    )
    assert (done.decision.kind, done.decision.was, done.decision.to) == ("action_result", "attempting", "succeeded")


def test_a_temporary_failure_is_tried_again_at_its_time_with_the_same_target() -> None:
    again = attempted(requested()).when(result("failed", temporary=True, retry_at=after(30)), at=after(3))
    history = again.then(
        AttemptEnded(ACTION, 1, "failed", "detail", 5, retry_at=after(30), deadline=after(630)),
    )
    assert (again.decision.to, stage(history)) == ("retrying", "retrying")
    early = history.when(BeginAttempt(ACTION, 2, TARGET), at=after(29)).then_refused("governor_refusing")
    assert early.next_step == f"wait until {after(30)}"
    history.when(BeginAttempt(ACTION, 2, {"url": "else"}), at=after(30)).then_refused("invalid_transition")
    assert stage(attempted(history, at=after(30))) == "attempting"


def test_a_retry_is_never_due_before_it_is_decided() -> None:
    again = attempted(requested()).when(result("failed", temporary=True, retry_at=NOW), at=after(3))
    assert again.events == (AttemptEnded(ACTION, 1, "failed", "detail", 5, retry_at=after(3), deadline=after(630)),)


@pytest.mark.parametrize(
    ("history", "report"),
    [
        (attempted(requested()), result("failed", retry_at=after(30))),
        (attempted(requested()), result("failed", temporary=True)),
        (attempted(requested(attempts=1)), result("failed", temporary=True, retry_at=after(30))),
        (attempted(requested()), result("failed", temporary=True, retry_at=after(621))),
    ],
    ids=["for good", "no moment", "no attempt left", "no time left"],
)
def test_a_failure_that_is_not_tried_again_settles_the_action_as_failed(history: Given, report: ReportResult) -> None:
    failed = history.when(report, at=after(3))
    assert failed.events[:2] == (
        AttemptEnded(ACTION, 1, "failed", "detail", 5),
        ActionSettled(ACTION, HIGH, "failed", "detail", after(3), 1, 1),
    )


@pytest.mark.parametrize("outcome", ["timed_out", "unknown"])
def test_what_may_have_been_done_is_tried_again_only_where_that_does_no_more(outcome: str) -> None:
    report = result(outcome, retry_at=after(30))
    assert stage(attempted(requested()).when(report).and_then) == "retrying"
    nobody_knows = attempted(requested(ONCE)).when(report)
    assert nobody_knows.events[:3] == (
        AttemptEnded(ACTION, 1, outcome, "detail", 5),  # type: ignore[arg-type]
        ActionSettled(ACTION, HIGH, "unknown", "detail", NOW, 1, 0),
        RefusalBegun("unknown", NOW, action_id=ACTION),
    )
    assert status_of(nobody_knows.and_then.state.governor) == "refusing"


def test_an_idempotent_action_that_timed_out_to_the_end_has_timed_out() -> None:
    last = attempted(requested(attempts=1)).when(result("timed_out", retry_at=after(30)))
    assert last.events[1] == ActionSettled(ACTION, HIGH, "timed_out", "detail", NOW, 1, 1)


def test_a_result_of_no_attempt_under_way_is_refused() -> None:
    requested().when(result()).then_refused("invalid_transition")
    attempted(requested()).when(result(attempt=2)).then_refused("invalid_transition")
    settled(requested()).when(result()).then_refused("invalid_transition")


def test_an_action_can_be_cancelled_until_an_attempt_is_under_way() -> None:
    for history in (waiting(), requested()):
        cancelled = history.when(CancelAction(ACTION, "ann"))
        assert cancelled.events[0] == ActionSettled(ACTION, HIGH, "cancelled", "cancelled by ann", NOW, 0, 0, "ann")
    attempted(requested()).when(CancelAction(ACTION, "ann")).then_refused("invalid_transition")
    retrying = attempted(requested()).when(result("failed", temporary=True, retry_at=after(30))).and_then
    assert retrying.when(CancelAction(ACTION, "ann")).and_then.state.governor.in_flight is None


def test_the_executor_gives_up_what_it_cannot_attempt() -> None:
    spent = requested().when(GiveUp(ACTION, "cancelled", "action_budget_exhausted"))
    assert spent.events[0] == ActionSettled(ACTION, HIGH, "cancelled", "action_budget_exhausted", NOW, 0, 0)
    nowhere = requested().when(GiveUp(ACTION, "failed", "no such service"))
    assert nowhere.events[0] == ActionSettled(ACTION, HIGH, "failed", "no such service", NOW, 0, 1)
    waiting().when(GiveUp(ACTION, "failed", "no")).then_refused("invalid_transition")
    attempted(requested()).when(GiveUp(ACTION, "failed", "no")).then_refused("invalid_transition")


def test_an_action_that_is_not_attempted_by_its_deadline_lapses() -> None:
    lapsed = requested().when(PassDeadline(ACTION, after(630)), at=after(630))
    settled_as = ActionSettled(ACTION, HIGH, "lapsed", "no attempt could begin in time", after(630), 0, 0)
    assert lapsed.events[0] == settled_as
    attempted(requested()).when(PassDeadline(ACTION, after(630)), at=after(630)).then_refused("invalid_transition")
    requested().when(PassDeadline(OTHER, after(630)), at=after(630)).then_refused("invalid_transition")  # type: ignore[arg-type]
    settled(requested()).when(PassDeadline(ACTION, after(630)), at=after(630)).then_refused("invalid_transition")


# lost attempts and late results


def lost(history: Given) -> Given:
    """The first attempt began, and nobody said how it ended."""
    return attempted(history).when(LoseAttempt(ACTION, after(20)), at=after(20)).and_then


def test_an_idempotent_attempt_that_nobody_reports_is_tried_again_at_once() -> None:
    gone = attempted(requested()).when(LoseAttempt(ACTION, after(20)), at=after(20))
    detail = "nobody said how it ended before its lease was over"
    history = gone.then(AttemptEnded(ACTION, 1, "unknown", detail, lost=True, retry_at=after(20), deadline=after(630)))
    assert history.state.governor.lost == (LostAttempt(ACTION, 1),)
    assert stage(attempted(history, at=after(20))) == "attempting"


@pytest.mark.parametrize("history", [requested(ONCE), requested(attempts=1)], ids=["not idempotent", "the last one"])
def test_nobody_knows_of_any_other_attempt_that_nobody_reports(history: Given) -> None:
    gone = lost(history)
    assert [type(event) for event in gone.events[-4:-1]] == [AttemptEnded, ActionSettled, RefusalBegun]
    assert set(gone.state.governor.refusing) == {"unknown"}
    assert gone.state.governor.refusing["unknown"].action_id == ACTION


def test_a_lost_attempt_with_no_time_left_for_another_is_unknown() -> None:
    late = attempted(requested(), at=after(615)).when(LoseAttempt(ACTION, after(635)), at=after(635))
    assert [event.result for event in late.events if isinstance(event, ActionSettled)] == ["unknown"]


def test_a_lost_attempt_inside_the_ledger_did_nothing() -> None:
    gone = lost(requested(Throttle(5, 60, 600), attempts=1))
    assert [event.result for event in gone.events if isinstance(event, ActionSettled)] == ["failed"]


def test_a_lease_that_is_not_over_loses_nothing() -> None:
    attempted(requested()).when(LoseAttempt(ACTION, after(20)), at=after(19)).then_refused("invalid_transition")
    settled(requested()).when(LoseAttempt(ACTION, after(20)), at=after(20)).then_refused("invalid_transition")


def test_a_late_success_settles_an_action_that_waits_to_be_tried_again() -> None:
    late = lost(requested()).when(result(), at=after(25))
    assert late.events[:2] == (
        LateResultRecorded(ACTION, 1, "succeeded", "detail", 5),
        ActionSettled(ACTION, HIGH, "succeeded", "detail", after(25), 1, 0),
    )
    assert late.and_then.state.governor.lost == ()


def test_any_other_late_result_of_the_action_in_flight_is_recorded_and_the_next_attempt_decides() -> None:
    recorded = LateResultRecorded(ACTION, 1, "failed", "detail", 5)
    lost(requested()).when(result("failed")).then(recorded)
    trying = attempted(lost(requested()), at=after(20))
    trying.when(result()).then(LateResultRecorded(ACTION, 1, "succeeded", "detail", 5))


def test_a_late_result_ends_the_wait_for_a_person() -> None:
    unknown = lost(requested(ONCE))
    done = unknown.when(result(), at=after(60))
    history = done.then(
        LateResultRecorded(ACTION, 1, "succeeded", "detail", 5), RefusalEnded(("unknown",), after(60), failures=0)
    )
    assert status_of(history.state.governor) == "stable"
    failed = unknown.when(result("failed"), at=after(60))
    failed.then(LateResultRecorded(ACTION, 1, "failed", "detail", 5), RefusalEnded(("unknown",), after(60), failures=1))


def test_a_late_failure_may_open_the_breaker() -> None:
    unknown = lost(requested(ONCE)).under(governed(rule(order=ONCE), failures=1))
    unknown.when(result("failed"), at=after(60)).then(
        LateResultRecorded(ACTION, 1, "failed", "detail", 5),
        RefusalEnded(("unknown",), after(60), failures=1),
        RefusalBegun("breaker", after(60), failures=1, failures_max=1),
    )


def test_a_late_result_that_knows_nothing_or_comes_after_a_resume_is_recorded_alone() -> None:
    unknown = lost(requested(ONCE))
    unknown.when(result("timed_out")).then(LateResultRecorded(ACTION, 1, "timed_out", "detail", 5))
    resumed = unknown.when(ResumeGovernor()).and_then
    history = resumed.when(result()).then(LateResultRecorded(ACTION, 1, "succeeded", "detail", 5))
    history.when(result()).then_refused("invalid_transition")


# inside the ledger


def test_a_throttle_is_set_by_its_result() -> None:
    history = requested(Throttle(5, 60, 600))
    until: dict[str, str | int | bool] = {"requests": 5, "per_seconds": 60, "until": after(600)}
    history.when(BeginAttempt(ACTION, 1, {"requests": 5})).then_refused("invalid_transition")
    begun = history.when(BeginAttempt(ACTION, 1, until)).and_then
    done = begun.when(result())
    assert done.events[2] == ThrottleSet(ACTION, 5, 60, after(600))


def test_a_suspension_goes_through_the_entitlement_governor_in_the_same_decision() -> None:
    others = EntitlementGranted("ent_2", PRO), EntitlementRequested("ent_3", PRO)
    two = given(*in_service(), *others).under(governed(rule(order=SuspendEntitlements())))
    done = attempted(two.when(observed(99)).and_then).when(result())
    history = done.then(
        AttemptEnded(ACTION, 1, "succeeded", "detail", 5),
        ActionSettled(ACTION, HIGH, "succeeded", "detail", NOW, 1, 0),
        EntitlementSuspended(ENT, was="active"),
        EntitlementSuspended("ent_2", was="active"),
        EffectivePlanChanged(was=PRO),
    )
    assert history.state.in_service == {}


def test_a_suspension_that_fails_suspends_nothing() -> None:
    failed = attempted(requested(SuspendEntitlements())).when(result("failed"))
    assert failed.and_then.state.in_service == {PRO: 1}


def test_more_suspensions_than_a_receipt_holds_are_not_begun() -> None:
    many = tuple(EntitlementGranted(f"ent_{n}", PRO) for n in range(2, 66))
    history = given(*in_service(), *many).under(governed(rule(order=SuspendEntitlements())))
    done = attempted(history.when(observed(99)).and_then).when(result())
    assert [event.result for event in done.events if isinstance(event, ActionSettled)] == ["failed"]
    assert done.and_then.state.in_service == {PRO: 65}
    one_less = given(*in_service(), *many[1:]).under(governed(rule(order=SuspendEntitlements())))
    assert attempted(one_less.when(observed(99)).and_then).when(result()).and_then.state.in_service == {}


# the ledger was restored

RESTORE = Restore("l", 7, "a" * 64)
SAID = LedgerRestored(RestoredHead(7, "a" * 64))


def test_after_a_restore_nobody_knows_of_the_action_in_flight_and_the_governor_is_paused() -> None:
    requested().when(RESTORE).then(
        SAID,
        ActionSettled(ACTION, HIGH, "unknown", "the ledger was restored from a backup", NOW, 0, 0),
        RefusalBegun("unknown", NOW, action_id=ACTION),
        RefusalBegun("pause", NOW),
    )


def test_after_a_restore_an_attempt_under_way_is_lost() -> None:
    restored = attempted(requested(Publish("topic"))).when(RESTORE)
    assert restored.decision.kind == "action_result"
    assert [type(event) for event in restored.events] == [
        LedgerRestored,
        AttemptEnded,
        ActionSettled,
        RefusalBegun,
        RefusalBegun,
    ]
    assert restored.and_then.state.governor.lost == (LostAttempt(ACTION, 1),)


def test_after_a_restore_a_governor_with_rules_or_a_past_is_paused_and_no_other() -> None:
    given(*in_service()).when(RESTORE).then(SAID)
    given(*in_service()).under(governed()).when(RESTORE).then(SAID, RefusalBegun("pause", NOW))
    past = given(*in_service()).under(governed()).when(observed(1)).and_then.when(Revoke(ENT)).and_then
    past.when(RESTORE).then(SAID, RefusalBegun("pause", NOW))
    past.when(PauseGovernor()).and_then.when(RESTORE).then(SAID)
    assert CPU in past.state.governor.metrics
