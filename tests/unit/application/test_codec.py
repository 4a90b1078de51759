"""Events and state to bytes and back."""

import pytest
from msgspec.structs import replace
from tests.builders import ACTION, CALLS, ENT, PRO, after, governed, in_service, observed, rule
from tests.contract.stores.builders import receipt
from tests.given_when_then import Given, given

from tai_autonomics.application.codec import (
    STATE_VERSION,
    due_rows,
    events_of,
    events_to_json,
    prev_of,
    request_digest,
    state_of,
    state_to_bytes,
)
from tai_autonomics.domain.actions import Throttle
from tai_autonomics.domain.compliance import Attest, ExpireHold, LapseAttestation, PlaceHold
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.entitlement import EntitlementGranted, EntitlementRenewed, EntitlementRevoked
from tai_autonomics.domain.fleet import Reserve
from tai_autonomics.domain.governor import (
    BeginAttempt,
    CancelAction,
    LoseAttempt,
    PauseGovernor,
    ReportResult,
    ResumeGovernor,
)
from tai_autonomics.domain.identifiers import ActionId, ControlName, HoldId
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import QuotaConsumed
from tai_autonomics.domain.rules import Budget
from tai_autonomics.domain.tenant import INITIAL_STATE, Event, evolve
from tai_autonomics.errors import LedgerNewerThanCode, NotCanonical
from tai_autonomics.ledger.canonical import canonical
from tai_autonomics.ledger.records import Due, DueKey, Receipt, Snapshot

FIRST, SECOND = Moment("2026-12-01T00:00:00.000000Z"), Moment("2027-01-01T00:00:00.000000Z")
EVENTS: tuple[Event, ...] = (
    *in_service(expires_at=FIRST),
    QuotaConsumed(CALLS, 5, 5, "lifetime", 100),
    EntitlementRenewed(ENT, SECOND),
)

OLD_STATE = (
    b'{"plan":"professional","entitlements":{"ent_1":{"status":"active","plan":"professional",'
    b'"expires_at":"2027-01-01T00:00:00.000000Z"}},"in_service":{"professional":1},"quotas":{"api_calls":{"used":5,'
    b'"per":"lifetime","window_start":null,"window_end":null,"crossed":[]}},"timers":{"entitlement/ent_1/expire":'
    b'{"subject":"entitlement/ent_1","kind":"expire","due":"2027-01-01T00:00:00.000000Z"}},'
    b'"due":"2027-01-01T00:00:00.000000Z"}'
)

OLD_GOVERNED_STATE = (
    b'{"plan":"professional","entitlements":{"ent_1":{"status":"active","plan":"professional"}},"in_service":'
    b'{"professional":1},"quotas":{},"timers":{"action/act_1/deadline":{"subject":"action/act_1","kind":"deadline",'
    b'"due":"2026-11-24T12:40:45.000000Z"}},"due":"2026-11-24T12:40:45.000000Z","governor":{"started":true,"metrics":'
    b'{"cpu":{"samples":[["2026-11-24T12:30:15.000000Z","99"]]}},"rules":{"cpu-high":{"level":"acted",'
    b'"cooldown_until":"2026-11-24T12:40:15.000000Z"}},"in_flight":{"id":"act_1","rule":"cpu-high","order":'
    b'{"type":"webhook","url":"https://hooks.example/scale","idempotent":true},"attempts_max":3,"timeout_seconds":10,'
    b'"requested_at":"2026-11-24T12:30:15.000000Z","metric":"cpu","value":"99","deadline":'
    b'"2026-11-24T12:40:45.000000Z"},"refusing":{"pause":{"since":"2026-11-24T12:30:15.000000Z"}},"budget":{"used":1,'
    b'"max":9,"per_seconds":60,"window_start":"2026-11-24T12:30:00.000000Z","window_end":'
    b'"2026-11-24T12:31:00.000000Z"}},"fleet":{}}'
)


def holding(events: object, **members: object) -> Receipt:
    body = canonical({"v": 1, "prev": "0" * 64, "events": events, **members})
    return replace(receipt("acme"), body=body)


def test_events_come_back_as_they_were_written() -> None:
    assert events_of(holding(events_to_json(EVENTS))) == EVENTS


def test_what_an_event_does_not_say_is_not_written() -> None:
    (written,) = events_to_json((EntitlementGranted(ENT, PRO),))
    assert written == {"type": "EntitlementGranted", "entitlement_id": ENT, "plan": PRO}


@pytest.mark.parametrize(
    "unknown",
    [
        {"events": [{"type": "EntitlementGifted"}]},
        {"events": [{"type": "EntitlementGranted", "entitlement_id": 7, "plan": "pro"}]},
        {"events": [{"type": "EntitlementGranted"}]},
        {"events": [{"type": "EntitlementActivated", "entitlement_id": "ent_1", "trial": True}]},
        {"events": [], "v": 2},
    ],
)
def test_an_unknown_event_or_version_is_never_skipped(unknown: dict[str, object]) -> None:
    with pytest.raises(LedgerNewerThanCode, match="receipt 1 of acme"):
        events_of(holding(**unknown))  # type: ignore[arg-type]


def test_a_receipt_names_the_one_before() -> None:
    first = receipt("acme")
    assert (prev_of(first), prev_of(receipt("acme", first))) == ("0" * 64, first.hash)


def test_state_comes_back_as_it_was_written() -> None:
    state = fold(evolve, INITIAL_STATE, EVENTS)
    snapshot = Snapshot(3, "l", "h", FIRST, STATE_VERSION, state_to_bytes(state))
    assert state_of(snapshot) == state
    assert state_of(replace(snapshot, state_version=STATE_VERSION + 1)) is None
    assert state_of(replace(snapshot, state=b'{"quotas":7}')) is None
    assert state_of(replace(snapshot, state=b"not JSON")) is None


def test_a_snapshot_of_a_release_without_governors_is_lifted() -> None:
    """The bytes are those that release 0.1 wrote for this history, before there was a version 2."""
    snapshot = Snapshot(3, "l", "h", FIRST, 1, OLD_STATE)
    assert state_of(snapshot) == fold(evolve, INITIAL_STATE, EVENTS)


def test_a_snapshot_of_a_release_without_holds_is_lifted() -> None:
    """The same of version 2, whose governor has an action in flight and is paused."""
    history = given(*in_service()).under(governed(budget=Budget(9, 60))).when(observed("9.50", 99)).and_then
    snapshot = Snapshot(3, "l", "h", FIRST, 2, OLD_GOVERNED_STATE)
    assert state_of(snapshot) == history.when(PauseGovernor()).and_then.state


def test_no_release_without_holds_takes_a_snapshot_of_one_with_them() -> None:
    assert STATE_VERSION == 3


def test_compliance_comes_back_as_it_was_written() -> None:
    held = given(*in_service()).when(PlaceHold("actions", "urn:case", "anna", SECOND)).and_then
    attested = held.when(Attest(ControlName("dpa"), "compliant", "urn:dpa", "eve", FIRST)).and_then
    lapsed = attested.when(LapseAttestation(ControlName("dpa"), FIRST), at=FIRST).and_then
    over = lapsed.when(ExpireHold(HoldId(ACTION), SECOND), at=SECOND).and_then
    for each in (held, attested, lapsed, over):
        assert state_of(Snapshot(3, "l", "h", FIRST, STATE_VERSION, state_to_bytes(each.state))) == each.state
        assert events_of(holding(events_to_json(each.events))) == each.events
        assert b"null" not in canonical(events_to_json(each.events))


def test_a_governor_comes_back_as_it_was_written() -> None:
    history = given(*in_service()).under(governed(budget=Budget(2, 60), failures=1)).when(observed("9.50", "81.25"))
    shadow = history.and_then.under(governed(rule("dark", mode="shadow"), budget=Budget(9, 60)))
    waiting = shadow.when(CancelAction(ACTION, "ann")).and_then.when(observed(99)).and_then
    paused = waiting.when(PauseGovernor()).and_then.when(Reserve(ACTION, "webhook")).and_then
    begun = lost(paused.under(governed(rule("again", order=Throttle(1, 60, 60)))))
    for each in (history.and_then, paused, begun):
        assert state_of(Snapshot(3, "l", "h", FIRST, STATE_VERSION, state_to_bytes(each.state))) == each.state
        assert events_of(holding(events_to_json(each.events))) == each.events
        assert b"null" not in canonical(events_to_json(each.events))


def lost(history: Given) -> Given:
    resumed = history.when(ResumeGovernor()).and_then.when(observed(99), action_id=ActionId("b")).and_then
    begun = resumed.when(BeginAttempt(ActionId("b"), 1, {"until": SECOND, "requests": 1})).and_then
    action = begun.state.governor.in_flight
    assert action is not None
    assert action.leased_until is not None
    gone = begun.when(LoseAttempt(action.id, action.leased_until), at=action.leased_until).and_then
    return gone.when(ReportResult(action.id, 1, "succeeded", "", 5), at=action.leased_until).and_then


def test_an_action_to_carry_out_is_a_due_row_until_it_is_attempted_or_settled() -> None:
    requested = given(*in_service()).under(governed()).when(observed(99))
    rows = due_rows(requested.events)
    assert rows[("action/act_1", "attempt")] == Due("action/act_1", "attempt", after(10))
    assert rows[("action/act_1", "deadline")] == Due("action/act_1", "deadline", after(630))
    begun = requested.and_then.when(BeginAttempt(ACTION, 1, {}))
    assert due_rows(begun.events)[("action/act_1", "attempt")] == DueKey("action/act_1", "attempt")


def test_the_last_word_on_a_timer_stands() -> None:
    assert due_rows(EVENTS)[(f"entitlement/{ENT}", "expire")] == Due(f"entitlement/{ENT}", "expire", SECOND)
    ended = due_rows((*EVENTS, EntitlementRevoked(ENT, SECOND)))
    assert ended[(f"entitlement/{ENT}", "expire")] == DueKey(f"entitlement/{ENT}", "expire")


def test_a_request_digest_depends_on_what_was_sent_and_not_on_its_order() -> None:
    assert request_digest({"a": 1, "b": "x"}) == request_digest({"b": "x", "a": 1})
    assert len({request_digest(each) for each in ({}, {"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"})}) == 5
    with pytest.raises(NotCanonical):
        request_digest({"a": 1.5})
