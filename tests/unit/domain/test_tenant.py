"""What holds for a tenant as a whole: its effective plan, its timers, its bounds, its commands' ids."""

import pytest
from tests.builders import (
    ACTION,
    BIG,
    CALLS,
    ENT,
    FREE,
    LATER,
    LATEST,
    NOW,
    PRO,
    after,
    governed,
    in_service,
    moment,
    observed,
    plan,
    plans,
    rule,
)
from tests.given_when_then import Given, given

from tai_autonomics.domain.compliance import ExpireHold, LapseAttestation, PlaceHold
from tai_autonomics.domain.entitlement import (
    Activate,
    ApplyPlanChange,
    EndTerm,
    EntitlementActivated,
    EntitlementCancellationScheduled,
    EntitlementCancelled,
    EntitlementExpired,
    EntitlementGranted,
    EntitlementPlanChanged,
    EntitlementPlanChangeScheduled,
    EntitlementReinstated,
    EntitlementRejected,
    EntitlementRenewed,
    EntitlementRequested,
    EntitlementResumed,
    EntitlementRevoked,
    EntitlementScheduled,
    EntitlementSuspended,
    EntitlementVerified,
    Expire,
    Grant,
    Request,
    Revoke,
    Suspend,
    Verify,
)
from tai_autonomics.domain.governor import (
    ApproveAction,
    BeginAttempt,
    EndBudget,
    EndThrottle,
    LapseApproval,
    LoseAttempt,
    PassDeadline,
    RefusalBegun,
    RefusalEnded,
    ReportResult,
    Throttled,
    ThrottleEnded,
    ThrottleSet,
)
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import Consume, QuotaConsumed, QuotaReleased, QuotaReset, Release, ThresholdCrossed
from tai_autonomics.domain.rules import Approval
from tai_autonomics.domain.tenant import (
    INITIAL_STATE,
    Archive,
    AuditExported,
    Bounds,
    Command,
    EffectivePlanChanged,
    Erase,
    Event,
    LedgerArchived,
    LedgerRestored,
    NoteExport,
    PartErased,
    Restore,
    RestoredHead,
    SetTimer,
    SettleTimer,
    Subject,
    TenantState,
    Timer,
    TimerCommand,
    after_timers,
    due_of,
    effective_plan,
    next_timer,
    subject_of,
    throttle_in_force,
)
from tai_autonomics.domain.tenant.timers import TIMER_KINDS

# the effective plan


def test_the_highest_ranked_plan_in_service_is_the_effective_one() -> None:
    two = (
        given(*in_service())
        .when(Grant("ent_2", BIG))
        .then(EntitlementGranted("ent_2", BIG), EffectivePlanChanged(was=PRO, plan=BIG))
    )
    two.when(Grant("ent_3", FREE)).then(EntitlementGranted("ent_3", FREE))
    two.when(Suspend("ent_2")).then(EntitlementSuspended("ent_2", "active"), EffectivePlanChanged(was=BIG, plan=PRO))
    assert effective_plan(two.state, plans()) == plans().plans[BIG]


def test_a_plan_held_twice_stays_while_one_of_the_two_is_in_service() -> None:
    twice = given(*in_service(), EntitlementGranted("ent_2", PRO))
    once = twice.when(Revoke(ENT)).then(EntitlementRevoked(ENT, NOW))
    once.when(Revoke("ent_2")).then(EntitlementRevoked("ent_2", NOW), EffectivePlanChanged(was=PRO))


def test_another_plans_file_changes_the_effective_plan_with_the_next_accepted_command() -> None:
    turned = plans(plan(FREE, rank=99), plan(PRO, rank=1))
    held = given(*in_service(), EntitlementGranted("ent_2", FREE)).under(turned)
    changed = EffectivePlanChanged(was=PRO, plan=FREE)
    held.when(Verify(ENT)).then(EntitlementVerified(ENT, PRO), changed)
    held.when(Erase(3, "metadata")).then(PartErased(3, "metadata"), changed)
    held.when(Verify("ent_3")).then_refused("entitlement_inactive")


def test_the_gates_ask_the_plan_in_force_not_the_one_last_recorded() -> None:
    held = given(*in_service(), EntitlementGranted("ent_2", FREE)).under(plans(plan(FREE, rank=99), plan(PRO, rank=1)))
    then = held.when(Consume(CALLS, 1))
    then.then_refused("unknown_quota")
    assert then.decision.gates[1].evidence == {"entitlements_in_service": 2, "plan": FREE}


# decisions


def test_a_decision_names_its_subject_and_where_it_went() -> None:
    then = given().when(Grant(ENT, PRO))
    assert (then.decision.subject, then.decision.was, then.decision.to) == (
        Subject("entitlement", ENT),
        "none",
        "active",
    )
    assert [gate.gate for gate in then.decision.gates] == ["compliance_permits"]
    assert given(*in_service()).when(Suspend(ENT)).decision.gates == ()


def test_a_refusal_names_the_present_state_twice() -> None:
    then = given(*in_service()).when(Request(ENT, PRO))
    then.then_refused("invalid_transition")
    assert then.decision.was == then.decision.to == "active"


def test_a_quota_has_no_lifecycle() -> None:
    decision = given(*in_service()).when(Consume(CALLS, 1)).decision
    assert (decision.subject, decision.was, decision.to) == (Subject("quota", CALLS), None, None)
    decision = given(*in_service()).when(Release(CALLS, 1)).decision
    assert (decision.subject, decision.was, decision.to) == (Subject("quota", CALLS), None, None)


def test_an_erasure_is_a_decision_about_a_receipt() -> None:
    then = given().when(Erase(17, "metadata"))
    after = then.then(PartErased(17, "metadata"))
    assert then.decision.subject == Subject("receipt", "17")
    assert after.state == INITIAL_STATE


def test_a_restore_is_a_decision_about_a_ledger_and_changes_nothing_of_the_tenant() -> None:
    before = given(*in_service())
    then = before.when(Restore("01J", 17, "ab"))
    after = then.then(LedgerRestored(RestoredHead(17, "ab")))
    assert then.decision.subject == Subject("ledger", "01J")
    assert after.state == before.state


def test_an_archive_is_a_decision_about_a_ledger_and_changes_nothing_of_the_tenant() -> None:
    before = given(*in_service())
    then = before.when(Archive("01J", 1, 17, "ab", "cd", "ef", NOW))
    after = then.then(LedgerArchived(1, 17, "ab", "cd", "ef"))
    assert then.decision.subject == Subject("ledger", "01J")
    assert after.state == before.state


def test_an_export_is_a_decision_about_a_ledger_that_no_gate_and_no_hold_keeps_from_being_written_down() -> None:
    held = given(*in_service()).when(PlaceHold("all", "urn:case:1", "olga")).and_then
    then = held.when(NoteExport("01J", NOW, LATER, 3, 17, "ab", "cd"))
    after = then.then(AuditExported(NOW, LATER, 3, 17, "ab", "cd"))
    assert (then.decision.subject, then.decision.gates) == (Subject("ledger", "01J"), ())
    assert after.state == held.state


def test_an_export_of_a_period_that_ends_where_it_begins_is_refused() -> None:
    refused = given().when(NoteExport("01J", NOW, NOW, 0, 17, "ab", "cd")).then_refused("invalid_time")
    assert refused.detail == f"until {NOW} is not after since {NOW}"


# bounds


def test_every_entitlement_counts_against_the_bound_also_final_ones() -> None:
    full = given(*in_service(), EntitlementRevoked(ENT, NOW), EffectivePlanChanged(PRO)).within(Bounds(1, 300))
    refused = full.when(Grant("ent_2", PRO)).then_refused("too_many_entitlements")
    assert refused.next_step == "an operator can raise TAI_ENTITLEMENTS_MAX"
    full.when(Request("ent_2", PRO)).then_refused("too_many_entitlements")


def test_the_bound_stops_only_what_would_create_one() -> None:
    full = given(EntitlementRequested(ENT, PRO)).within(Bounds(1, 300))
    full.when(Grant(ENT)).then(EntitlementGranted(ENT, PRO), EffectivePlanChanged(plan=PRO))
    full.when(Suspend("ent_2")).then_refused("invalid_transition")
    full.when(Grant("ent_2", "gold")).then_refused("unknown_plan")


# timers

SUBJECT = "entitlement/ent_1"


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        (EntitlementGranted(ENT, PRO), (SettleTimer(SUBJECT, "activate"), SettleTimer(SUBJECT, "expire"))),
        (
            EntitlementGranted(ENT, PRO, LATER),
            (SettleTimer(SUBJECT, "activate"), SetTimer(SUBJECT, "expire", LATER)),
        ),
        (
            EntitlementScheduled(ENT, PRO, LATER, LATEST),
            (SetTimer(SUBJECT, "activate", LATER), SetTimer(SUBJECT, "expire", LATEST)),
        ),
        (EntitlementActivated(ENT), (SettleTimer(SUBJECT, "activate"),)),
        (EntitlementPlanChangeScheduled(ENT, PRO, LATER), (SetTimer(SUBJECT, "plan_change", LATER),)),
        (EntitlementPlanChanged(ENT, FREE, PRO), (SettleTimer(SUBJECT, "plan_change"),)),
        (
            EntitlementCancellationScheduled(ENT, "suspended", LATER),
            (SetTimer(SUBJECT, "end_of_term", LATER),),
        ),
        (EntitlementReinstated(ENT), (SettleTimer(SUBJECT, "end_of_term"),)),
        (EntitlementRenewed(ENT, LATER), (SetTimer(SUBJECT, "expire", LATER), SettleTimer(SUBJECT, "end_of_term"))),
        (
            EntitlementRenewed(ENT, LATEST, LATER),
            (SetTimer(SUBJECT, "expire", LATEST), SetTimer(SUBJECT, "end_of_term", LATER)),
        ),
        *(
            (
                final(ENT, NOW),
                tuple(SettleTimer(SUBJECT, kind) for kind in ("end_of_term", "expire", "activate", "plan_change")),
            )
            for final in (EntitlementRejected, EntitlementCancelled, EntitlementRevoked, EntitlementExpired)
        ),
        *(
            (quiet, ())
            for quiet in (
                EntitlementRequested(ENT, PRO),
                EntitlementSuspended(ENT, "active"),
                EntitlementResumed(ENT, "active"),
                EntitlementVerified(ENT, PRO),
                EffectivePlanChanged(),
                PartErased(1, "metadata"),
                LedgerRestored(RestoredHead(1, "ab")),
                QuotaConsumed(CALLS, 1, 1, "day"),
                QuotaReleased(CALLS, 1, 1, "day"),
                QuotaReset(CALLS, 1, 0, "day"),
                ThresholdCrossed(CALLS, 80, 8, 10),
            )
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_event_says_which_timers_it_moves(event: Event, changes: tuple[SetTimer | SettleTimer, ...]) -> None:
    assert due_of(event) == changes


def due_changes(history: Given, command: Command, *, at: Moment = NOW) -> list[str]:
    """What the events of a command set and settle, in words."""
    return [
        f"{type(change).__name__} {change.subject} {change.kind} {getattr(change, 'due', '')}".strip()
        for event in history.when(command, at=at).events
        for change in due_of(event)
    ]


def test_an_action_may_be_attempted_by_others_once_the_first_lease_is_over_and_has_a_deadline() -> None:
    assert due_changes(given(*in_service()).under(governed()), observed(99)) == [
        f"SetTimer action/act_1 deadline {after(630)}",
        f"SetEffect action/act_1 attempt {after(10)}",
    ]


def test_an_action_that_waits_for_approval_can_lapse_and_is_not_to_be_attempted() -> None:
    history = given(*in_service()).under(governed(rule(mode="approve", approval=Approval(900, 2))))
    assert due_changes(history, observed(99)) == [f"SetTimer action/act_1 approval_lapse {after(900)}"]
    waiting = history.when(observed(99)).and_then
    assert due_changes(waiting, ApproveAction(ACTION, "ann")) == []
    once = waiting.when(ApproveAction(ACTION, "ann")).and_then
    assert due_changes(once, ApproveAction(ACTION, "bob"), at=after(60)) == [
        "SettleTimer action/act_1 approval_lapse",
        f"SetTimer action/act_1 deadline {after(690)}",
        f"SetEffect action/act_1 attempt {after(70)}",
    ]


def test_an_attempt_under_way_has_a_lease_in_the_place_of_the_deadline_and_nobody_else_is_to_attempt_it() -> None:
    ready = given(*in_service()).under(governed()).when(observed(99)).and_then
    assert due_changes(ready, BeginAttempt(ACTION, 1, {})) == [
        "SettleTimer action/act_1 deadline",
        f"SetTimer action/act_1 attempt_lease {after(20)}",
        "SettleEffect action/act_1 attempt",
    ]
    begun = ready.when(BeginAttempt(ACTION, 1, {})).and_then
    assert due_changes(begun, ReportResult(ACTION, 1, "timed_out", "", 5, retry_at=after(30))) == [
        "SettleTimer action/act_1 attempt_lease",
        f"SetTimer action/act_1 deadline {after(630)}",
        f"SetEffect action/act_1 attempt {after(30)}",
    ]
    assert due_changes(begun, ReportResult(ACTION, 1, "succeeded", "", 5)) == [
        "SettleTimer action/act_1 attempt_lease",
        "SettleTimer action/act_1 attempt_lease",
        "SettleTimer action/act_1 approval_lapse",
        "SettleTimer action/act_1 deadline",
        "SettleEffect action/act_1 attempt",
    ]


def test_a_budget_and_a_throttle_end_by_timers_of_the_governor() -> None:
    assert due_of(RefusalBegun("budget", NOW, LATER)) == (SetTimer("governor", "budget_end", LATER),)
    assert due_of(RefusalBegun("pause", NOW)) == ()
    assert due_of(RefusalEnded(("budget",), NOW, 0)) == (SettleTimer("governor", "budget_end"),)
    assert due_of(RefusalEnded(("pause",), NOW, 0)) == ()
    assert due_of(ThrottleSet(ACTION, 1, 1, LATER)) == (SetTimer("governor", "throttle_end", LATER),)
    assert due_of(ThrottleEnded(NOW)) == (SettleTimer("governor", "throttle_end"),)


@pytest.mark.parametrize(
    ("timer", "command", "subject"),
    [
        (Timer("action/a", "attempt_lease", LATER), LoseAttempt(ActionId("a"), LATER), "action/a"),
        (Timer("action/a", "approval_lapse", LATER), LapseApproval(ActionId("a"), LATER), "action/a"),
        (Timer("action/a", "deadline", LATER), PassDeadline(ActionId("a"), LATER), "action/a"),
        (Timer("governor", "budget_end", LATER), EndBudget(LATER), "governor"),
        (Timer("governor", "throttle_end", LATER), EndThrottle(LATER), "governor"),
        (Timer("hold/h", "hold_expiry", LATER), ExpireHold("h", LATER), "hold/h"),
        (Timer("control/c", "attestation_lapse", LATER), LapseAttestation("c", LATER), "control/c"),
        (Timer(SUBJECT, "expire", LATER), Expire(ENT, LATER), SUBJECT),
    ],
)
def test_a_timer_becomes_a_command_about_its_subject(timer: Timer, command: TimerCommand, subject: str) -> None:
    state = TenantState(timers={"key": timer}, due=LATER)
    assert next_timer(state, LATER) == command
    assert subject_of(command) == subject


def test_at_equal_times_entitlements_come_before_actions_and_these_before_the_governor() -> None:
    kinds = [timer.kind for timer in sorted(some_of_each(), key=lambda timer: TIMER_KINDS.index(timer.kind))]
    assert kinds == ["expire", "attempt_lease", "approval_lapse", "deadline", "budget_end", "throttle_end"]


def some_of_each() -> tuple[Timer, ...]:
    action = tuple(Timer("action/a", kind, LATER) for kind in ("deadline", "approval_lapse", "attempt_lease"))
    return (Timer("governor", "throttle_end", LATER), Timer("governor", "budget_end", LATER), *action, EXPIRES)


EXPIRES = Timer("entitlement/ent_1", "expire", LATER)


def test_a_check_sees_entitlements_as_of_now_and_leaves_the_governors_timers_to_their_decision() -> None:
    throttled = given(*in_service(expires_at=LATER), ThrottleSet(ACTION, 1, 1, LATER))
    later = after_timers(throttled.state, LATER)
    assert later.entitlements[ENT].status == "expired"
    assert list(later.timers) == ["governor/throttle_end"]
    assert later.due == LATER
    assert throttle_in_force(throttled.state, NOW) == Throttled(1, 1, LATER, ACTION)
    assert throttle_in_force(throttled.state, LATER) is None


def test_no_timer_is_next_before_its_time() -> None:
    state = given(*in_service(expires_at=LATER)).state
    assert state.due == LATER
    assert next_timer(state, NOW) is None
    assert next_timer(state, LATER) == Expire(ENT, LATER)
    assert next_timer(INITIAL_STATE, LATER) is None


def test_the_earliest_timer_is_next() -> None:
    state = given(*in_service(expires_at=LATEST), EntitlementPlanChangeScheduled(ENT, BIG, LATER)).state
    assert next_timer(state, LATEST) == ApplyPlanChange(ENT, LATER)


def test_at_equal_times_the_end_of_term_comes_first_then_expire_activate_plan_change_then_the_id() -> None:
    history = given(
        EntitlementGranted("b", PRO, LATER),
        EntitlementGranted("a", PRO, LATER),
        EntitlementPlanChangeScheduled("a", BIG, LATER),
        EntitlementPlanChangeScheduled("b", BIG, LATER),
        EntitlementCancellationScheduled("b", "pending_cancellation", LATER),
        EntitlementScheduled("c", PRO, LATER),
        EntitlementGranted("0", PRO),
        EntitlementPlanChangeScheduled("0", BIG, LATER),
    )
    order = []
    while (timer := next_timer(history.state, LATER)) is not None:
        order.append(timer)
        history = history.when(timer, at=LATER).and_then
    assert order == [EndTerm("b", LATER), Expire("a", LATER), Activate("c", LATER), ApplyPlanChange("0", LATER)]
    assert history.state.due is None


def test_a_timer_decided_late_ends_at_its_own_time() -> None:
    long_after = moment("2030")
    given(*in_service(expires_at=LATER)).when(Expire(ENT, LATER), at=long_after).then(
        EntitlementExpired(ENT, LATER), EffectivePlanChanged(was=PRO)
    )


def test_a_timer_of_an_entitlement_that_nobody_knows_is_refused() -> None:
    given().when(Expire(ENT, NOW)).then_refused("invalid_transition")
