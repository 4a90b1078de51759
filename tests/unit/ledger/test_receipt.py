"""Receipts: what sealing makes, and that a body alone gives it back."""

import json
from hashlib import sha256
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vectors.generate import LEDGER, POLICY, REFUSAL, REQUEST, TENANT, TRACE, by_timer, refusal, sealed, singles

from tai_autonomics.errors import NotCanonical
from tai_autonomics.ledger.canonical import canonical
from tai_autonomics.ledger.receipt import UNCLAIMED_REASONS, claims_id, read, receipt_of
from tai_autonomics.ledger.records import GENESIS, Receipt, ReceiptType, concerns_action


def without(body: bytes, *path: str) -> bytes:
    members = json.loads(body)
    inner = members
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    return canonical(members)


def with_(body: bytes, **changes: Any) -> bytes:
    return canonical(json.loads(body) | changes)


def refused(body: bytes) -> str:
    with pytest.raises(NotCanonical) as caught:
        receipt_of(body)
    return str(caught.value)


def test_a_body_has_the_members_that_apply_and_no_others() -> None:
    assert json.loads(sealed().body) == {
        "v": 1,
        "ledger": LEDGER,
        "seq": 1,
        "prev": GENESIS,
        "time": "2026-11-24T02:00:01.123456Z",
        "type": "transition",
        "tenant": TENANT,
        "subject": {"kind": "entitlement", "id": "ent_1"},
        "cause": {"kind": "marketplace", "id": "http:robot:key-1", "by": "robot", "request": REQUEST},
        "decision": {"from": "requested", "to": "active"},
        "events": [
            {"type": "EntitlementGranted", "entitlement_id": "ent_1", "plan": "professional", "was": "requested"}
        ],
        "policy": POLICY,
        "trace": TRACE,
    }


def test_a_refusal_has_no_events_and_says_why() -> None:
    members = read(refusal(1, GENESIS).body)
    assert (members["events"], members["refusal"]) == ([], REFUSAL)


def test_the_hash_is_the_sha_256_of_the_body() -> None:
    receipt = sealed()
    assert receipt.hash == sha256(receipt.body).hexdigest()


def test_the_fields_repeat_the_body() -> None:
    receipt = sealed(7, "f" * 64)
    assert receipt == Receipt(
        tenant=TENANT,
        ledger=LEDGER,
        seq=7,
        hash=sha256(receipt.body).hexdigest(),
        time="2026-11-24T02:00:07.123456Z",
        type="transition",
        subject_kind="entitlement",
        subject_id="ent_1",
        command_id="http:robot:key-7",
        claims=True,
        body=receipt.body,
    )


@pytest.mark.parametrize("receipt", [pytest.param(receipt, id=name) for name, receipt, _ in singles()])
def test_a_body_alone_gives_back_what_was_sealed(receipt: Receipt) -> None:
    assert receipt_of(receipt.body) == receipt


def test_what_is_sealed_is_within_the_profile() -> None:
    with pytest.raises(NotCanonical):
        sealed(events=[{"type": "SignalObserved", "value": 80.5}])


@pytest.mark.parametrize(
    "reason", ["quota_exceeded", "rate_limited", "action_budget_exhausted", "governor_refusing", "compliance_closed"]
)
def test_a_refusal_that_time_cures_leaves_its_id_free_unless_pubsub_acknowledged_it(reason: str) -> None:
    assert reason in UNCLAIMED_REASONS
    for source in ("marketplace", "usage", "api", "timer", "cli"):
        assert not claims_id(type="refusal", reason=reason, source=source)
    assert claims_id(type="refusal", reason=reason, source="pubsub")


@given(st.sampled_from(get_args(ReceiptType)), st.text(), st.sampled_from(["usage", "pubsub", "timer"]))
def test_everything_else_claims_its_id(type: ReceiptType, reason: str, source: str) -> None:
    assert claims_id(type=type, reason=None, source=source)
    assert claims_id(type=type, reason=f"other_{reason}", source=source)


def test_only_a_refusal_leaves_an_id_free() -> None:
    assert claims_id(type="action_result", reason="action_budget_exhausted", source="api")


def test_only_five_reasons_leave_an_id_free() -> None:
    assert len(UNCLAIMED_REASONS) == 5


@pytest.mark.parametrize(
    "path",
    [
        *("v", "ledger", "seq", "prev", "time", "type", "tenant", "subject", "cause", "decision", "events", "policy"),
        *("subject.kind", "subject.id", "cause.kind", "cause.id", "cause.by"),
    ],
)
def test_a_member_that_always_applies_may_not_be_missing(path: str) -> None:
    assert "missing required field" in refused(without(sealed().body, *path.split(".")))


@pytest.mark.parametrize("member", ["reason", "detail", "next_step"])
def test_a_refusal_says_all_three_things(member: str) -> None:
    assert "missing required field" in refused(without(refusal(1, GENESIS).body, "refusal", member))


@pytest.mark.parametrize("path", ["trace", "cause.request"])
def test_a_timer_has_no_request_and_no_trace(path: str) -> None:
    assert receipt_of(without(sealed().body, *path.split("."))).hash != sealed().hash
    assert receipt_of(by_timer().body) == by_timer()


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": "1"},
        {"seq": 0},
        {"seq": -1},
        {"seq": "1"},
        {"seq": True},
        {"prev": "0" * 63},
        {"prev": "0" * 65},
        {"type": "signal"},
        {"tenant": 1},
        {"tenant": None},
        {"subject": "ent_1"},
        {"subject": {"kind": "entitlement", "id": "ent_1", "name": "x"}},
        {"cause": {"kind": "api", "id": "1", "by": "robot", "at": "x"}},
        {"decision": []},
        {"events": {}},
        {"events": ["EntitlementGranted"]},
        {"policy": None},
        {"trace": None},
        {"commits": {"metadata": 1}},
        {"refusal": REFUSAL},
        {"type": "refusal"},
        {"extra": 1},
        {"events": [{"type": "SignalObserved", "value": "80.5"}], "extra": {}},
    ],
    ids=repr,
)
def test_a_body_of_another_form_is_refused(changes: dict[str, Any]) -> None:
    refused(with_(sealed().body, **changes))


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-24T02:00:01Z",
        "2026-11-24T02:00:01.123Z",
        "2026-11-24T02:00:01.1234567Z",
        "2026-11-24T02:00:01.123456+00:00",
        "2026-11-24T02:00:01.123456z",
        "2026-11-24 02:00:01.123456Z",
        "2026-11-24T02:00:01,123456Z",
        "2026-11-24T02:00:01.123456Z\n",
        "２026-11-24T02:00:01.123456Z",
        "2026-00-24T02:00:01.123456Z",
        "2026-13-24T02:00:01.123456Z",
        "2026-11-00T02:00:01.123456Z",
        "2026-11-32T02:00:01.123456Z",
        "2026-11-24T24:00:01.123456Z",
        "2026-11-24T02:60:01.123456Z",
        "2026-11-24T02:00:60.123456Z",
        "",
    ],
)
def test_a_time_has_six_digits_and_is_utc(time: str) -> None:
    assert "is not one in UTC with six digits" in refused(with_(sealed().body, time=time))


@pytest.mark.parametrize("opener", [b"[", b'{"a":'])
def test_a_member_too_deep_to_be_read_is_refused(opener: bytes) -> None:
    refused(b'{"extra":' + opener * 5_000)
    refused(sealed().body.replace(b'"events":[', b'"events":[' + opener * 5_000))


def test_a_refusal_changes_nothing_so_it_has_no_events() -> None:
    assert "no events" in refused(with_(refusal(1, GENESIS).body, events=[{"type": "EntitlementGranted"}]))


def test_other_bytes_of_the_same_members_are_refused() -> None:
    assert "not the canonical form" in refused(json.dumps(json.loads(sealed().body)).encode())


@pytest.mark.parametrize(
    ("type", "kind", "concerns"),
    [
        ("action_attempt", "action", True),
        ("action_result", "action", True),
        ("action_result", "ledger", True),
        ("transition", "action", True),
        ("transition", "governor", False),
        ("refusal", "action", False),
    ],
)
def test_what_becomes_of_an_action_is_told_by_type_and_subject(type: str, kind: str, concerns: bool) -> None:
    receipt = Receipt("acme", "l", 1, GENESIS, "", type, kind, "x", "c", True, b"")  # type: ignore[arg-type]
    assert concerns_action(receipt) is concerns
