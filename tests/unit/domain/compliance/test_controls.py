"""Controls: attested, required by a plan, lapsed; and what follows for the tenant."""

import pytest
from tests.builders import ACTION, BIG, CALLS, ENT, NOW, PRO, after, governed, in_service, observed, plan, plans, quota
from tests.given_when_then import Given, given

from tai_autonomics.domain.compliance import (
    CONTROLS_MAX,
    INITIAL_STATE,
    Attest,
    Attestation,
    AttestationLapsed,
    ControlAttested,
    LapseAttestation,
    PlaceHold,
    Verdict,
    is_closed,
    standing_of,
    wanting,
)
from tai_autonomics.domain.entitlement import ChangePlan, EntitlementPlanChanged, Grant, Suspend, Verify
from tai_autonomics.domain.governor import (
    ActionRequested,
    BeginAttempt,
    PauseGovernor,
    RefusalBegun,
    RefusalEnded,
    ReportResult,
    RuleEvaluated,
)
from tai_autonomics.domain.identifiers import ControlName
from tai_autonomics.domain.quota import Consume
from tai_autonomics.domain.tenant import (
    Check,
    EffectivePlanChanged,
    Erase,
    PartErased,
    SetTimer,
    SettleTimer,
    Subject,
    check,
    due_of,
)

DPA, SOC = ControlName("dpa_signed"), ControlName("soc2")
DOCUMENT = "https://dms.example/dpa"
REQUIRING = governed(requires=(DPA,))
PRESENT = given(*in_service()).under(REQUIRING)


def attest(status: Verdict = "compliant", *, control: ControlName = DPA, until: int = 600) -> Attest:
    return Attest(control, status, DOCUMENT, "eve", after(until))


def attested(history: Given = PRESENT) -> Given:
    return history.when(attest()).and_then


def test_an_attestation_says_who_gave_it_on_which_evidence_and_until_when() -> None:
    then = given().when(attest())
    history = then.then(ControlAttested(DPA, "compliant", DOCUMENT, "eve", NOW, after(600)))
    assert history.state.compliance.controls == {DPA: Attestation("compliant", DOCUMENT, "eve", NOW, after(600))}
    decision = then.decision
    assert (decision.subject, decision.was, decision.to) == (Subject("control", DPA), "missing", "compliant")
    assert decision.gates == ()


@pytest.mark.parametrize("standing", ["missing", "non_compliant", "lapsed"])
def test_a_required_control_that_is_not_compliant_closes_service(standing: str) -> None:
    history = PRESENT
    if standing != "missing":
        history = history.when(attest("non_compliant" if standing == "non_compliant" else "compliant")).and_then
    if standing == "lapsed":
        history = history.when(LapseAttestation(DPA, after(600)), at=after(600)).and_then
    then = history.when(Consume(CALLS, 1), at=after(600) if standing == "lapsed" else NOW)
    refused = then.then_refused("compliance_closed")
    assert refused.detail == f"compliance is closed for service: required and not attested: {DPA} ({standing})"
    assert refused.next_step == "have an auditor attest the required controls"
    assert then.decision.gates[0].evidence == {"concern": "service", "holds": [], "controls": {DPA: standing}}


def test_a_hold_and_a_control_are_both_named() -> None:
    then = PRESENT.when(PlaceHold("all", "urn:case", "olga")).and_then.when(Verify(ENT))
    refused = then.then_refused("compliance_closed")
    assert refused.detail.endswith(f"holds are on: {ACTION}; required and not attested: {DPA} (missing)")
    assert refused.next_step == "release what holds it and have an auditor attest the required controls"


def test_what_is_attested_is_in_the_evidence_of_what_passes() -> None:
    consumed = attested().when(Consume(CALLS, 1))
    assert consumed.events
    assert consumed.decision.gates[0].evidence == {"concern": "service", "holds": [], "controls": {DPA: "compliant"}}


def test_a_control_that_no_plan_requires_closes_nothing() -> None:
    assert given(*in_service()).when(attest("non_compliant")).and_then.when(Consume(CALLS, 1)).events


def test_a_missing_control_does_not_forbid_erasing() -> None:
    erased = PRESENT.when(Erase(3, "reason"))
    erased.then(PartErased(3, "reason"), RefusalBegun("hold", NOW))
    assert erased.decision.gates[0].evidence == {"concern": "erasure", "holds": []}
    assert wanting((DPA,), "erasure", INITIAL_STATE, NOW) == {}


def test_the_effective_plans_controls_count_and_a_grant_meets_those_before_it() -> None:
    granted = given().under(REQUIRING).when(Grant(ENT, PRO))
    assert granted.events[-1] == RefusalBegun("hold", NOW)
    granted.and_then.when(ChangePlan(ENT, BIG)).then_refused("compliance_closed")
    changed = attested(granted.and_then).when(ChangePlan(ENT, BIG))
    changed.then(EntitlementPlanChanged(ENT, PRO, BIG), EffectivePlanChanged(PRO, BIG))
    suspended = PRESENT.when(Suspend(ENT)).and_then
    assert suspended.when(Consume(CALLS, 1)).then_refused("entitlement_inactive")


def test_a_later_word_takes_the_place_of_an_earlier_one() -> None:
    failed = attested().when(attest("non_compliant", until=900))
    history = failed.then(
        ControlAttested(DPA, "non_compliant", DOCUMENT, "eve", NOW, after(900)), RefusalBegun("hold", NOW)
    )
    assert (failed.decision.was, failed.decision.to) == ("compliant", "non_compliant")
    history.when(LapseAttestation(DPA, after(600)), at=after(600)).then_refused("invalid_transition")
    assert history.state.due == after(900)


def test_an_attestation_lapses_by_its_timer_once_and_can_be_renewed() -> None:
    history = attested()
    history.when(LapseAttestation(DPA, after(600))).then_refused("invalid_transition")
    lapsed = history.when(LapseAttestation(DPA, after(600)), at=after(601))
    gone = lapsed.then(AttestationLapsed(DPA, "compliant", after(601)), RefusalBegun("hold", after(601)))
    assert (lapsed.decision.was, lapsed.decision.to) == ("compliant", "lapsed")
    gone.when(LapseAttestation(DPA, after(600)), at=after(601)).then_refused("invalid_transition")
    given().when(LapseAttestation(SOC, after(1)), at=after(1)).then_refused("invalid_transition")
    renewed = gone.when(attest(until=900), at=after(700))
    assert renewed.events[-1] == RefusalEnded(("hold",), after(700), 0)
    assert (renewed.decision.was, renewed.decision.to) == ("lapsed", "compliant")


def test_a_check_knows_that_an_attestation_is_over_before_its_timer_is_decided() -> None:
    history = attested()
    for at, reason in ((after(599), None), (after(600), "compliance_closed")):
        (result,) = check((Check(),), history.state, now=at, plans=REQUIRING)
        assert (result.allowed, result.reason) == (reason is None, reason)
    assert standing_of(DPA, history.state.compliance, after(599)) == "compliant"
    assert standing_of(DPA, history.state.compliance, after(600)) == "lapsed"


def test_an_attestations_timer_is_set_and_settled_with_it() -> None:
    said = ControlAttested(DPA, "compliant", DOCUMENT, "eve", NOW, after(600))
    assert due_of(said) == (SetTimer(f"control/{DPA}", "attestation_lapse", after(600)),)
    lapsed = AttestationLapsed(DPA, "compliant", NOW)
    assert due_of(lapsed) == (SettleTimer(f"control/{DPA}", "attestation_lapse"),)


def test_an_attestation_of_no_time_is_refused() -> None:
    refused = given().when(attest(until=0))
    assert refused.then_refused("invalid_time").next_step == "send a valid_until that is still to come"
    assert (refused.decision.was, refused.decision.to) == ("missing", "missing")


def test_where_there_is_no_room_a_new_control_takes_the_place_of_the_one_that_lapsed_first() -> None:
    full = given()
    for each in range(CONTROLS_MAX):
        full = full.when(attest(control=ControlName(f"c{each}"), until=900 - each)).and_then
    assert str(CONTROLS_MAX) in full.when(attest()).then_refused("invalid_transition").detail
    assert full.when(attest(control=ControlName("c3"))).events
    for each in (9, 8):
        due = after(900 - each)
        full = full.when(LapseAttestation(ControlName(f"c{each}"), due), at=due).and_then
    (event,) = full.when(attest(until=9_000), at=after(900)).events
    assert isinstance(event, ControlAttested)
    assert event.in_place_of == "c9"
    after_it = full.when(attest(until=9_000), at=after(900)).and_then.state.compliance.controls
    assert (len(after_it), DPA in after_it, "c9" in after_it) == (CONTROLS_MAX, True, False)


# the autonomic governor


def test_another_plans_file_that_requires_more_stops_rules_at_once_and_one_that_requires_less_lets_them_go_on() -> None:
    acting = PRESENT.when(observed(99))
    begun, evaluated = acting.events[1:]
    assert begun == RefusalBegun("hold", NOW)
    assert isinstance(evaluated, RuleEvaluated)
    assert (evaluated.withheld, acting.decision.to) == ("governor_refusing", "refusing")
    assert PRESENT.when(observed(10)).events[-1] == RefusalBegun("hold", NOW)
    freed = acting.and_then.under(governed()).when(observed(99))
    assert [type(event).__name__ for event in freed.events] == ["SignalObserved", "RefusalEnded", "ActionRequested"]
    calm = acting.and_then.under(governed()).when(observed(10))
    assert RefusalEnded(("hold",), NOW, 0) in calm.events


def test_what_is_in_flight_goes_on_and_nothing_follows_it_while_a_control_is_wanting() -> None:
    before = given(*in_service()).under(governed()).when(observed(99)).and_then
    begun = before.when(BeginAttempt(ACTION, 1, {})).and_then.under(REQUIRING)
    settled = begun.when(ReportResult(ACTION, 1, "succeeded", "ok", 5), at=after(700))
    assert not any(isinstance(event, ActionRequested) for event in settled.events)
    assert RefusalBegun("hold", after(700)) in settled.events
    assert settled.and_then.state.governor.in_flight is None


def test_a_pause_and_a_hold_end_each_in_their_own_way() -> None:
    paused = PRESENT.when(PauseGovernor()).and_then
    assert paused.state.governor.refusing.keys() == {"pause", "hold"}
    assert attested(paused).state.governor.refusing.keys() == {"pause"}


def test_a_tenant_out_of_service_has_no_plan_that_requires_anything() -> None:
    ended = PRESENT.when(Verify("none")).then_refused("compliance_closed")
    assert ended.reason == "compliance_closed"
    suspended = attested().when(Suspend(ENT)).and_then
    assert suspended.when(LapseAttestation(DPA, after(600)), at=after(600)).events == (
        AttestationLapsed(DPA, "compliant", after(600)),
    )


def test_without_holds_and_requirements_nothing_is_closed() -> None:
    free = plans(plan(PRO, quota(), requires=()))
    assert given(*in_service()).under(free).when(Consume(CALLS, 1)).events
    assert not is_closed((), "service", INITIAL_STATE, NOW)
