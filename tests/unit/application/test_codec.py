"""Events and state to bytes and back."""

import pytest
from msgspec.structs import replace
from tests.builders import CALLS, ENT, PRO, in_service
from tests.contract.stores.builders import receipt

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
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.entitlement import EntitlementGranted, EntitlementRenewed, EntitlementRevoked
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import QuotaConsumed
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


def test_the_last_word_on_a_timer_stands() -> None:
    assert due_rows(EVENTS)[(f"entitlement/{ENT}", "expire")] == Due(f"entitlement/{ENT}", "expire", SECOND)
    ended = due_rows((*EVENTS, EntitlementRevoked(ENT, SECOND)))
    assert ended[(f"entitlement/{ENT}", "expire")] == DueKey(f"entitlement/{ENT}", "expire")


def test_a_request_digest_depends_on_what_was_sent_and_not_on_its_order() -> None:
    assert request_digest({"a": 1, "b": "x"}) == request_digest({"b": "x", "a": 1})
    assert len({request_digest(each) for each in ({}, {"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"})}) == 5
    with pytest.raises(NotCanonical):
        request_digest({"a": 1.5})
