"""Every rule of the entitlement governor that the table alone does not say."""

import pytest
from tests.builders import BIG, EARLIER, ENT, FREE, LATER, LATEST, LEGACY, NOW, PRO, in_service, moment, plan, plans
from tests.given_when_then import given

from tai_autonomics.domain.entitlement import (
    Activate,
    ApplyPlanChange,
    Cancel,
    ChangePlan,
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
    EntitlementState,
    EntitlementSuspended,
    EntitlementVerified,
    Expire,
    Grant,
    Reinstate,
    Reject,
    Renew,
    Request,
    Resume,
    Revoke,
    Suspend,
    Verify,
)
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.tenant import Command, EffectivePlanChanged

ON = EffectivePlanChanged(plan=PRO)
OFF = EffectivePlanChanged(was=PRO)
SUSPENDED = (*in_service(expires_at=LATER), EntitlementSuspended(ENT, was="active"), OFF)
AHEAD = moment("2026-11-30")


# verify


def test_verify_says_that_the_tenant_may_use_it() -> None:
    given(*in_service()).when(Verify(ENT)).then(EntitlementVerified(ENT, PRO))


def test_verify_is_not_recorded_as_what_the_source_said_last() -> None:
    verified = given(*in_service()).when(Verify(ENT, observed_at=NOW)).then(EntitlementVerified(ENT, PRO))
    verified.when(Suspend(ENT, observed_at=EARLIER)).then(
        EntitlementSuspended(ENT, was="active", observed_at=EARLIER), OFF
    )


@pytest.mark.parametrize(
    ("history", "state", "next_step"),
    [
        ((), "none", "request or grant it"),
        ((EntitlementRequested(ENT, PRO),), "requested", "grant it"),
        (
            (EntitlementScheduled(ENT, PRO, LATER),),
            "scheduled",
            f"wait until {LATER}, or grant it without effective_at",
        ),
        (SUSPENDED, "suspended", "resume it"),
        (
            (*in_service(), EntitlementRevoked(ENT, NOW), OFF),
            "revoked",
            "request a new entitlement id: this one is final",
        ),
    ],
)
def test_verify_of_what_is_not_in_service_is_refused_with_its_state(history, state, next_step) -> None:
    then = given(*history).when(Verify(ENT))
    assert then.then_refused("entitlement_inactive").next_step == next_step
    _, failed = then.decision.gates
    assert (failed.gate, failed.evidence["state"]) == ("entitlement_is_in_service", state)
    assert then.decision.was == then.decision.to == state


# request, grant, reject


def test_a_request_waits_for_a_grant() -> None:
    requested = given().when(Request(ENT, FREE)).then(EntitlementRequested(ENT, FREE))
    requested.when(Grant(ENT)).then(EntitlementGranted(ENT, FREE), EffectivePlanChanged(plan=FREE))


def test_a_grant_may_name_another_plan_than_was_requested() -> None:
    given(EntitlementRequested(ENT, FREE)).when(Grant(ENT, PRO)).then(EntitlementGranted(ENT, PRO), ON)


def test_a_grant_of_what_nobody_requested_names_its_plan() -> None:
    refused = given().when(Grant(ENT)).then_refused("unknown_plan")
    assert refused.detail == "a plan is required: none was requested"
    assert refused.next_step == "name one of the plans: free, professional, enterprise"


@pytest.mark.parametrize("command", [Request(ENT, "gold"), Grant(ENT, "gold")])
def test_a_plan_that_is_not_in_the_file_is_unknown(command: Command) -> None:
    refused = given().when(command).then_refused("unknown_plan")
    assert refused.detail == "the plan gold is not in the plans file"


@pytest.mark.parametrize("command", [Request(ENT, LEGACY), Grant(ENT, LEGACY)])
def test_a_retired_plan_is_not_taken(command: Command) -> None:
    refused = given().when(command).then_refused("unknown_plan")
    assert refused.detail == "the plan legacy is retired: it can be kept, not taken"


def test_a_plan_is_not_changed_to_a_retired_or_unknown_one() -> None:
    given(*in_service()).when(ChangePlan(ENT, LEGACY)).then_refused("unknown_plan")
    given(*in_service()).when(ChangePlan(ENT, "gold", effective_at=LATER)).then_refused("unknown_plan")


def test_a_requested_plan_that_was_retired_since_is_not_granted() -> None:
    given(EntitlementRequested(ENT, LEGACY)).when(Grant(ENT)).then_refused("unknown_plan")


def test_a_grant_ahead_is_scheduled_and_becomes_active_at_its_time() -> None:
    scheduled = given().when(Grant(ENT, PRO, effective_at=LATER)).then(EntitlementScheduled(ENT, PRO, LATER))
    active = scheduled.when(Activate(ENT, LATER), at=LATER).then(EntitlementActivated(ENT), ON)
    assert active.state.entitlements[ENT] == EntitlementState("active", PRO)


@pytest.mark.parametrize("effective_at", [NOW, EARLIER])
def test_a_grant_whose_time_has_come_is_active_now(effective_at: Moment) -> None:
    given().when(Grant(ENT, PRO, effective_at=effective_at)).then(EntitlementGranted(ENT, PRO), ON)


def test_a_scheduled_grant_keeps_what_a_new_grant_leaves_out() -> None:
    scheduled = given(EntitlementScheduled(ENT, PRO, LATER, LATEST))
    scheduled.when(Grant(ENT)).then(EntitlementGranted(ENT, PRO, LATEST), ON)
    scheduled.when(Grant(ENT, effective_at=AHEAD)).then(EntitlementScheduled(ENT, PRO, AHEAD, LATEST))
    scheduled.when(Grant(ENT, BIG, effective_at=LATER, expires_at=moment("2028"))).then(
        EntitlementScheduled(ENT, BIG, LATER, moment("2028"))
    )


@pytest.mark.parametrize("expires_at", [NOW, EARLIER])
def test_a_grant_expires_after_now(expires_at: Moment) -> None:
    refused = given().when(Grant(ENT, PRO, expires_at=expires_at)).then_refused("invalid_time")
    assert refused.next_step == f"send an expires_at later than {NOW}"


def test_a_grant_expires_after_it_becomes_effective() -> None:
    given().when(Grant(ENT, PRO, effective_at=LATER, expires_at=LATER)).then_refused("invalid_time")
    given(EntitlementScheduled(ENT, PRO, AHEAD, LATER)).when(Grant(ENT, effective_at=LATEST)).then_refused(
        "invalid_time"
    )


def test_a_rejected_entitlement_keeps_only_its_end() -> None:
    rejected = (
        given(EntitlementScheduled(ENT, PRO, LATER, LATEST)).when(Reject(ENT)).then(EntitlementRejected(ENT, NOW))
    )
    assert rejected.state.entitlements == {ENT: EntitlementState("rejected", ended_at=NOW)}
    assert rejected.state.timers == {}


# change_plan


def test_a_plan_changes_at_once() -> None:
    given(*in_service()).when(ChangePlan(ENT, BIG)).then(
        EntitlementPlanChanged(ENT, was=PRO, plan=BIG), EffectivePlanChanged(was=PRO, plan=BIG)
    )


def test_a_plan_change_ahead_waits_and_moves_nothing_until_then() -> None:
    waiting = given(*in_service()).when(ChangePlan(ENT, BIG, effective_at=LATER))
    pending = waiting.then(EntitlementPlanChangeScheduled(ENT, BIG, LATER))
    assert pending.state.plan == PRO
    pending.when(ApplyPlanChange(ENT, LATER), at=LATER).then(
        EntitlementPlanChanged(ENT, was=PRO, plan=BIG), EffectivePlanChanged(was=PRO, plan=BIG)
    )


def test_a_plan_change_whose_time_has_come_is_made_at_once() -> None:
    given(*in_service()).when(ChangePlan(ENT, FREE, effective_at=NOW)).then(
        EntitlementPlanChanged(ENT, was=PRO, plan=FREE), EffectivePlanChanged(was=PRO, plan=FREE)
    )


def test_a_later_plan_change_replaces_one_that_waits() -> None:
    pending = given(*in_service(), EntitlementPlanChangeScheduled(ENT, BIG, LATER))
    replaced = pending.when(ChangePlan(ENT, FREE, effective_at=AHEAD)).then(
        EntitlementPlanChangeScheduled(ENT, FREE, AHEAD)
    )
    assert [(timer.kind, timer.due) for timer in replaced.state.timers.values()] == [("plan_change", AHEAD)]
    made = pending.when(ChangePlan(ENT, FREE)).and_then
    assert made.state.timers == {}
    assert made.state.entitlements[ENT] == EntitlementState("active", FREE)


def test_a_plan_change_that_waits_is_made_even_if_its_plan_is_gone() -> None:
    pending = given(*in_service(), EntitlementPlanChangeScheduled(ENT, "gone", LATER))
    pending.when(ApplyPlanChange(ENT, LATER), at=LATER).then(EntitlementPlanChanged(ENT, was=PRO, plan="gone"), OFF)


def test_a_plan_change_comes_while_suspended_too() -> None:
    history = (*in_service(), EntitlementPlanChangeScheduled(ENT, BIG, LATER), EntitlementSuspended(ENT, "active"), OFF)
    changed = given(*history).when(ApplyPlanChange(ENT, LATER), at=LATER).then(EntitlementPlanChanged(ENT, PRO, BIG))
    changed.when(Resume(ENT), at=LATER).then(EntitlementResumed(ENT, "active"), EffectivePlanChanged(plan=BIG))


# suspend, resume


def test_a_suspended_entitlement_is_not_granted_again() -> None:
    given(*SUSPENDED).when(Grant(ENT, PRO)).then_refused("invalid_transition")


def test_a_resume_restores_what_it_was() -> None:
    given(*SUSPENDED).when(Resume(ENT)).then(EntitlementResumed(ENT, to="active"), ON)
    pending = (*in_service(), EntitlementCancellationScheduled(ENT, "pending_cancellation", LATER, LATER))
    suspended = given(*pending).when(Suspend(ENT)).then(EntitlementSuspended(ENT, was="pending_cancellation"), OFF)
    suspended.when(Resume(ENT)).then(EntitlementResumed(ENT, to="pending_cancellation"), ON)


# cancel, reinstate, end of term


def test_a_cancel_without_date_and_term_ends_now() -> None:
    cancelled = given(*in_service()).when(Cancel(ENT)).then(EntitlementCancelled(ENT, NOW), OFF)
    assert cancelled.state.entitlements == {ENT: EntitlementState("cancelled", ended_at=NOW)}


def test_a_cancel_waits_for_the_end_of_the_term() -> None:
    cancelling = given(*in_service(expires_at=LATER)).when(Cancel(ENT))
    pending = cancelling.then(EntitlementCancellationScheduled(ENT, "pending_cancellation", at=LATER))
    pending.when(Verify(ENT)).then(EntitlementVerified(ENT, PRO))
    ended = pending.when(EndTerm(ENT, LATER), at=LATER).then(EntitlementCancelled(ENT, LATER), OFF)
    assert ended.state.timers == {}


@pytest.mark.parametrize(("effective_at", "at"), [(AHEAD, AHEAD), (LATEST, LATER)])
def test_a_dated_cancel_ends_at_its_date_or_an_earlier_end_of_term(effective_at: Moment, at: Moment) -> None:
    given(*in_service(expires_at=LATER)).when(Cancel(ENT, effective_at=effective_at)).then(
        EntitlementCancellationScheduled(ENT, "pending_cancellation", at, effective_at=effective_at)
    )


@pytest.mark.parametrize("effective_at", [NOW, EARLIER])
def test_a_cancel_whose_date_has_come_ends_now(effective_at: Moment) -> None:
    given(*in_service(expires_at=LATER)).when(Cancel(ENT, effective_at=effective_at)).then(
        EntitlementCancelled(ENT, NOW), OFF
    )


def test_a_suspended_entitlement_is_cancelled_at_the_end_of_its_term() -> None:
    cancelling = given(*SUSPENDED).when(Cancel(ENT)).then(EntitlementCancellationScheduled(ENT, "suspended", LATER))
    cancelling.when(Resume(ENT)).then(EntitlementResumed(ENT, to="pending_cancellation"), ON)
    cancelling.when(EndTerm(ENT, LATER), at=LATER).then(EntitlementCancelled(ENT, LATER))


def test_a_suspended_entitlement_without_date_and_term_is_cancelled_now() -> None:
    history = (*in_service(), EntitlementSuspended(ENT, "active"), OFF)
    given(*history).when(Cancel(ENT)).then(EntitlementCancelled(ENT, NOW))


def test_a_reinstated_entitlement_goes_on_to_its_term() -> None:
    history = (
        *in_service(expires_at=LATER),
        EntitlementCancellationScheduled(ENT, "pending_cancellation", AHEAD, AHEAD),
    )
    reinstated = given(*history).when(Reinstate(ENT)).then(EntitlementReinstated(ENT))
    assert reinstated.state.entitlements[ENT] == EntitlementState("active", PRO, expires_at=LATER)
    reinstated.when(EndTerm(ENT, AHEAD), at=AHEAD).then_refused("invalid_transition")
    reinstated.when(Expire(ENT, LATER), at=LATER).then(EntitlementExpired(ENT, LATER), OFF)


# renew, expire, revoke


def test_a_renewal_moves_the_end_of_the_term() -> None:
    renewed = given(*in_service(expires_at=LATER)).when(Renew(ENT, LATEST)).then(EntitlementRenewed(ENT, LATEST))
    renewed.when(Expire(ENT, LATER), at=LATER).then_refused("invalid_transition")
    renewed.when(Expire(ENT, LATEST), at=LATEST).then(EntitlementExpired(ENT, LATEST), OFF)


@pytest.mark.parametrize("expires_at", [LATER, AHEAD, EARLIER])
def test_a_renewal_is_later_than_the_old_term(expires_at: Moment) -> None:
    given(*in_service(expires_at=LATER)).when(Renew(ENT, expires_at)).then_refused("invalid_time")


def test_a_renewal_of_what_has_no_term_is_later_than_now() -> None:
    given(*in_service()).when(Renew(ENT, LATER)).then(EntitlementRenewed(ENT, LATER))
    given(*in_service()).when(Renew(ENT, NOW)).then_refused("invalid_time")


def test_a_renewal_moves_a_cancellation_that_waits_for_the_term() -> None:
    history = (*in_service(expires_at=LATER), EntitlementCancellationScheduled(ENT, "pending_cancellation", LATER))
    renewed = given(*history).when(Renew(ENT, LATEST)).then(EntitlementRenewed(ENT, LATEST, ends_at=LATEST))
    renewed.when(EndTerm(ENT, LATEST), at=LATEST).then(EntitlementCancelled(ENT, LATEST), OFF)


def test_a_renewal_does_not_move_a_dated_cancellation() -> None:
    history = (
        *in_service(expires_at=LATER),
        EntitlementCancellationScheduled(ENT, "pending_cancellation", AHEAD, AHEAD),
    )
    given(*history).when(Renew(ENT, LATEST)).then(EntitlementRenewed(ENT, LATEST, ends_at=AHEAD))


def test_a_renewal_gives_a_dated_cancellation_back_what_the_term_had_cut_off() -> None:
    date = moment("2027-01-31")
    history = (
        *in_service(expires_at=LATER),
        EntitlementCancellationScheduled(ENT, "pending_cancellation", LATER, date),
    )
    given(*history).when(Renew(ENT, LATEST)).then(EntitlementRenewed(ENT, LATEST, ends_at=date))
    sooner = moment("2027-01-15")
    given(*history).when(Renew(ENT, sooner)).then(EntitlementRenewed(ENT, sooner, ends_at=sooner))


def test_a_suspended_entitlement_expires() -> None:
    expired = given(*SUSPENDED).when(Expire(ENT, LATER), at=LATEST).then(EntitlementExpired(ENT, LATER))
    assert expired.state.entitlements == {ENT: EntitlementState("expired", ended_at=LATER)}


def test_a_revoke_is_at_once_and_drops_what_was_pending() -> None:
    history = (
        *in_service(expires_at=LATER),
        EntitlementPlanChangeScheduled(ENT, BIG, AHEAD),
        EntitlementCancellationScheduled(ENT, "pending_cancellation", AHEAD, AHEAD),
    )
    revoked = given(*history).when(Revoke(ENT)).then(EntitlementRevoked(ENT, NOW), OFF)
    assert revoked.state.timers == {}
    assert revoked.state.due is None
    assert revoked.state.entitlements == {ENT: EntitlementState("revoked", ended_at=NOW)}


def test_a_final_entitlement_is_never_revived() -> None:
    revoked = given(*in_service(), EntitlementRevoked(ENT, NOW), OFF)
    refused = revoked.when(Grant(ENT, PRO)).then_refused("invalid_transition")
    assert refused.detail == "cannot grant while revoked"
    assert refused.next_step == "request a new entitlement id: this one is final"


# observed_at

OBSERVED = moment("2026-11-24T12:10")
EVERY_COMMAND: list[tuple[tuple, type, dict]] = [
    ((EntitlementRequested(ENT, PRO, OBSERVED),), Grant, {}),
    ((EntitlementScheduled(ENT, PRO, LATER, None, OBSERVED),), Reject, {}),
    ((EntitlementGranted(ENT, PRO, LATER, OBSERVED), ON), ChangePlan, {"plan": BIG}),
    ((EntitlementGranted(ENT, PRO, LATER, OBSERVED), ON), Suspend, {}),
    ((EntitlementGranted(ENT, PRO, LATER), ON, EntitlementSuspended(ENT, "active", OBSERVED), OFF), Resume, {}),
    ((EntitlementGranted(ENT, PRO, LATER, OBSERVED), ON), Cancel, {}),
    (
        (
            EntitlementGranted(ENT, PRO, LATER),
            ON,
            EntitlementCancellationScheduled(ENT, "pending_cancellation", LATER, None, OBSERVED),
        ),
        Reinstate,
        {},
    ),
    (
        (EntitlementGranted(ENT, PRO, LATER), ON, EntitlementRenewed(ENT, LATEST, None, OBSERVED)),
        Renew,
        {"expires_at": moment("2028")},
    ),
    ((EntitlementGranted(ENT, PRO, LATER), ON, EntitlementPlanChangeScheduled(ENT, BIG, LATER, OBSERVED)), Revoke, {}),
    ((EntitlementGranted(ENT, FREE), EntitlementPlanChanged(ENT, FREE, PRO, OBSERVED), ON), Verify, {}),
    ((EntitlementGranted(ENT, PRO, LATER), EntitlementReinstated(ENT, OBSERVED), ON), Verify, {}),
    ((EntitlementGranted(ENT, PRO, LATER), EntitlementResumed(ENT, "active", OBSERVED), ON), Verify, {}),
]


@pytest.mark.parametrize(("history", "command", "fields"), EVERY_COMMAND)
def test_what_the_source_said_before_what_was_applied_is_stale(history, command, fields) -> None:
    then = given(*history).when(command(ENT, **fields, observed_at=EARLIER))
    refused = then.then_refused("stale")
    assert refused.detail == f"observed_at {EARLIER} is older than {OBSERVED}, which was applied already"
    assert given(*history).when(command(ENT, **fields, observed_at=OBSERVED)).and_then


def test_what_carries_no_time_of_its_source_keeps_the_newest() -> None:
    history = (EntitlementGranted(ENT, PRO, None, OBSERVED), ON)
    suspended = given(*history).when(Suspend(ENT)).and_then
    suspended.when(Resume(ENT, observed_at=EARLIER)).then_refused("stale")


def test_a_source_whose_clock_is_far_ahead_is_refused() -> None:
    bound, beyond = moment("2026-11-24T12:35:15"), moment("2026-11-24T12:35:15.000001")
    refused = given().when(Request(ENT, PRO, observed_at=beyond)).then_refused("clock_skew")
    assert refused.detail == f"observed_at {beyond} is more than 300 s ahead of {NOW}"
    given().when(Request(ENT, PRO, observed_at=bound)).then(EntitlementRequested(ENT, PRO, bound))


# the tenant's plan


def test_a_plan_that_the_file_does_not_know_gives_nothing() -> None:
    only_free = plans(plan(FREE))
    given(*in_service()).under(only_free).when(Verify(ENT)).then(EntitlementVerified(ENT, PRO), OFF)
