"""What holds for a tenant as a whole: its effective plan, its timers, its bounds, its commands' ids."""

import pytest
from tests.builders import BIG, CALLS, ENT, FREE, LATER, LATEST, NOW, PRO, in_service, moment, plan, plans
from tests.given_when_then import given

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
from tai_autonomics.domain.quota import Consume, QuotaConsumed, QuotaReleased, QuotaReset, Release, ThresholdCrossed
from tai_autonomics.domain.tenant import (
    INITIAL_STATE,
    Bounds,
    EffectivePlanChanged,
    Erase,
    Event,
    LedgerRestored,
    PartErased,
    Restore,
    RestoredHead,
    SetTimer,
    SettleTimer,
    Subject,
    due_of,
    effective_plan,
    next_timer,
)

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
    assert then.decision.gates[0].evidence == {"entitlements_in_service": 2, "plan": FREE}


# decisions


def test_a_decision_names_its_subject_and_where_it_went() -> None:
    then = given().when(Grant(ENT, PRO))
    assert (then.decision.subject, then.decision.was, then.decision.to) == (
        Subject("entitlement", ENT),
        "none",
        "active",
    )
    assert then.decision.gates == ()


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
