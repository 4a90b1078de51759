"""Holds: what each closes, for how long, and who may say so."""

import pytest
from tests.builders import ACTION, CALLS, ENT, NOW, PRO, after, governed, in_service, observed, rule
from tests.given_when_then import Given, given

from tai_autonomics.domain.compliance import (
    HOLDS_MAX,
    ExpireHold,
    Hold,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
    PlaceHold,
    ReleaseHold,
    Scope,
    parse_evidence,
)
from tai_autonomics.domain.entitlement import (
    Cancel,
    ChangePlan,
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
from tai_autonomics.domain.gates import Failed
from tai_autonomics.domain.governor import (
    ActionRequested,
    ApproveAction,
    DenyAction,
    PauseGovernor,
    RefusalBegun,
    RefusalEnded,
    ResumeGovernor,
    RuleEvaluated,
    SignalObserved,
)
from tai_autonomics.domain.identifiers import ActionId, HoldId
from tai_autonomics.domain.quota import Consume, QuotaConsumed, Release, Reset
from tai_autonomics.domain.tenant import (
    Check,
    Command,
    Erase,
    PartErased,
    SetTimer,
    SettleTimer,
    Subject,
    check,
    due_of,
)
from tai_autonomics.errors import Malformed

HOLD = HoldId("hold-1")
CASE = "urn:case:4711"
PRESENT = given(*in_service()).under(governed())
WAITING = PRESENT.under(governed(rule(mode="approve"))).when(observed(99)).and_then


def held(scope: Scope = "all", *, before: Given = PRESENT, until: int | None = None) -> Given:
    expires_at = None if until is None else after(until)
    return before.when(PlaceHold(scope, CASE, "olga", expires_at), action_id=ActionId(HOLD)).and_then


def test_a_hold_says_who_placed_it_why_and_until_when_and_the_governor_refuses_from_then_on() -> None:
    placed = PRESENT.when(PlaceHold("all", CASE, "olga", after(60)), action_id=ActionId(HOLD))
    history = placed.then(HoldPlaced(HOLD, "all", CASE, "olga", NOW, after(60)), RefusalBegun("hold", NOW))
    assert history.state.compliance.holds == {HOLD: Hold("all", CASE, "olga", NOW, after(60))}
    decision = placed.decision
    assert (decision.subject, decision.was, decision.to, decision.gates) == (Subject("hold", HOLD), "none", "on", ())


SERVICE: list[Command] = [
    Verify(ENT),
    Consume(CALLS, 1),
    Request("ent_2", PRO),
    Grant("ent_2", PRO),
    ChangePlan(ENT, PRO),
    Resume(ENT),
    Reinstate(ENT),
    Renew(ENT, after(9)),
]


@pytest.mark.parametrize("command", SERVICE, ids=lambda each: type(each).__name__)
def test_a_hold_of_all_refuses_service_and_says_by_which_hold(command: Command) -> None:
    then = held(until=60).when(command)
    refused = then.then_refused("compliance_closed")
    assert refused.detail == f"compliance is closed for service: holds are on: {HOLD}"
    assert refused.next_step == f"release what holds it, or wait until {after(60)}"
    (gate,) = then.decision.gates
    assert isinstance(gate, Failed)
    assert (gate.gate, gate.evidence) == (
        "compliance_permits",
        {"concern": "service", "holds": [HOLD], "holds_in_all": 1, "evidence": [CASE], "until": after(60)},
    )


FREE_OF_GATES: list[Command] = [
    Suspend(ENT),
    Cancel(ENT),
    Revoke(ENT),
    Release(CALLS, 1),
    Reset(CALLS),
    PauseGovernor(),
    DenyAction(ACTION, "olga"),
    PlaceHold("all", CASE, "olga"),
    ReleaseHold(HOLD, "olga"),
    ExpireHold(HOLD, after(60)),
]


@pytest.mark.parametrize("command", FREE_OF_GATES, ids=lambda each: type(each).__name__)
def test_what_takes_away_or_gives_back_is_not_held_up(command: Command) -> None:
    used = given(*WAITING.events, QuotaConsumed(CALLS, 9, 9, "day", 100, None, None)).under(governed())
    history = held(before=used.when(Consume(CALLS, 5)).and_then, until=60)
    assert history.when(command, at=after(60)).events
    assert held(before=given().when(Request(ENT, PRO)).and_then).when(Reject(ENT)).events


@pytest.mark.parametrize("scope", ["actions", "erasure"])
def test_a_narrower_hold_leaves_service_alone(scope: Scope) -> None:
    assert held(scope).when(Consume(CALLS, 1)).events
    assert held(scope).when(Verify(ENT)).events


@pytest.mark.parametrize(("scope", "closes"), [("all", True), ("actions", False), ("erasure", True)])
def test_a_hold_on_erasure_forbids_erasing_but_not_again_what_a_backup_brought_back(scope: Scope, closes: bool) -> None:
    erasing = held(scope).when(Erase(3, "reason"))
    if closes:
        assert erasing.then_refused("compliance_closed").next_step == "release what holds it"
    else:
        erasing.then(PartErased(3, "reason"))
    again = held(scope).when(Erase(3, "reason", again=True))
    again.then(PartErased(3, "reason"))
    assert again.decision.gates == ()


@pytest.mark.parametrize("scope", ["all", "actions"])
def test_a_hold_on_actions_keeps_rules_from_acting_and_people_from_approving(scope: Scope) -> None:
    acting = held(scope).when(observed(99))
    signal, evaluated = acting.events
    assert isinstance(signal, SignalObserved)
    assert isinstance(evaluated, RuleEvaluated)
    assert (evaluated.withheld, acting.decision.was, acting.decision.to) == (
        "governor_refusing",
        "refusing",
        "refusing",
    )
    approving = held(scope, before=WAITING).when(ApproveAction(ACTION, "anna"))
    assert "closed for actions" in approving.then_refused("compliance_closed").detail
    assert [gate.gate for gate in approving.decision.gates] == ["compliance_permits"]


def test_a_hold_on_erasure_lets_rules_act() -> None:
    assert any(isinstance(event, ActionRequested) for event in held("erasure").when(observed(99)).events)
    assert "hold" not in held("erasure").state.governor.refusing


def test_a_released_hold_closes_nothing_any_more_and_the_governor_goes_on_by_itself() -> None:
    released = held().when(ReleaseHold(HOLD, "anna"), at=after(5))
    history = released.then(HoldReleased(HOLD, "all", "anna", after(5)), RefusalEnded(("hold",), after(5), 0))
    assert (released.decision.was, released.decision.to) == ("on", "released")
    assert history.state.compliance.holds == {}
    assert history.when(Consume(CALLS, 1), at=after(5)).events
    assert "not on" in history.when(ReleaseHold(HOLD, "anna")).then_refused("invalid_transition").detail


def test_a_hold_expires_by_its_timer_and_not_before() -> None:
    history = held("actions", until=60)
    expired = history.when(ExpireHold(HOLD, after(60)), at=after(61))
    expired.then(HoldExpired(HOLD, "actions", after(61)), RefusalEnded(("hold",), after(61), 0))
    assert (expired.decision.subject, expired.decision.was, expired.decision.to) == (
        Subject("hold", HOLD),
        "on",
        "expired",
    )
    for early in (history.when(ExpireHold(HOLD, after(60))), history.when(ExpireHold(HOLD, after(9)), at=after(99))):
        assert "not due" in early.then_refused("invalid_transition").detail
    expired.and_then.when(ExpireHold(HOLD, after(60)), at=after(61)).then_refused("invalid_transition")


def test_a_check_knows_that_a_hold_is_over_before_its_timer_is_decided() -> None:
    history = held(until=60)
    (during,) = check((Check(),), history.state, now=after(59), plans=history.plans_in_force)
    (over,) = check((Check(),), history.state, now=after(60), plans=history.plans_in_force)
    assert (during.allowed, during.reason, over.allowed) == (False, "compliance_closed", True)


def test_several_holds_close_until_the_last_of_them_is_over() -> None:
    two = held("actions", until=60)
    two = two.when(PlaceHold("all", "sha256:00", "olga", after(90)), action_id=ActionId("hold-2")).and_then
    refused = two.when(ApproveAction(ACTION, "anna")).then_refused("compliance_closed")
    assert refused.detail == f"compliance is closed for actions: holds are on: {HOLD}, hold-2"
    assert refused.next_step == f"release what holds it, or wait until {after(90)}"
    one = two.when(ReleaseHold(HoldId("hold-2"), "olga"))
    assert one.then(HoldReleased(HoldId("hold-2"), "all", "olga", NOW)).state.governor.refusing.keys() == {"hold"}


def test_a_hold_of_no_time_or_one_too_many_is_refused() -> None:
    PRESENT.when(PlaceHold("all", CASE, "olga", NOW)).then_refused("invalid_time")
    full = PRESENT
    for each in range(HOLDS_MAX):
        full = full.when(PlaceHold("erasure", CASE, "olga"), action_id=ActionId(f"h{each}")).and_then
    refused = full.when(PlaceHold("all", CASE, "olga"), action_id=ActionId("h"))
    assert str(HOLDS_MAX) in refused.then_refused("invalid_transition").detail
    assert (refused.decision.was, refused.decision.to) == ("none", "none")
    shown = full.when(Erase(1, "reason")).decision.gates[0].evidence
    assert (shown["holds"], shown["holds_in_all"]) == (["h0", "h1", "h2", "h3"], HOLDS_MAX)


def test_a_person_cannot_resume_what_a_hold_stops() -> None:
    refused = held().when(ResumeGovernor()).then_refused("invalid_transition")
    assert refused.next_step == "release the hold, or have the required controls attested"
    paused = held().when(PauseGovernor()).and_then
    assert paused.when(ResumeGovernor()).and_then.state.governor.refusing.keys() == {"hold"}


def test_a_holds_timer_is_set_and_settled_with_it() -> None:
    placed = HoldPlaced(HOLD, "all", CASE, "olga", NOW, after(60))
    assert due_of(placed) == (SetTimer(f"hold/{HOLD}", "hold_expiry", after(60)),)
    assert due_of(HoldPlaced(HOLD, "all", CASE, "olga", NOW)) == ()
    for event in (HoldReleased(HOLD, "all", "olga", NOW), HoldExpired(HOLD, "all", NOW)):
        assert due_of(event) == (SettleTimer(f"hold/{HOLD}", "hold_expiry"),)
    assert held(until=60).state.due == after(60)
    assert held(until=60).when(ReleaseHold(HOLD, "olga")).and_then.state.due is None


@pytest.mark.parametrize("text", ["urn:case:1", "https://cases.example/4711?x=1#p", "sha256:" + "0" * 64, "a" * 40])
def test_evidence_is_a_uri_or_a_digest(text: str) -> None:
    assert parse_evidence(text) == text


@pytest.mark.parametrize(
    "text", ["", "see the letter", "case", "urn:two words", "urn:", "é:1", "A" * 64, "x:" + "y" * 481]
)
def test_free_text_is_no_evidence(text: str) -> None:
    with pytest.raises(Malformed, match="evidence is a URI"):
        parse_evidence(text)
