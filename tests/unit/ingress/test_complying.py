"""Holds, their release and attestations over HTTP."""

from typing import Any

import pytest
from tests.unit.ingress.front import VERIFY, House

from tai_autonomics.domain.compliance import Attest, PlaceHold, ReleaseHold
from tai_autonomics.domain.identifiers import ControlName, HoldId
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.tenant import NoteExport

HOLD = "01JD0000000000000000000000-7-0123456789ab"
UNTIL, SAID = "2027-01-01T01:00:00+01:00", Moment("2027-01-01T00:00:00.000000Z")
PLACED: dict[str, Any] = {"scope": "actions", "evidence": "urn:case:1", "expires_at": UNTIL}
ATTESTED: dict[str, Any] = {
    "control": "dpa_signed",
    "status": "compliant",
    "evidence": "a" * 64,
    "valid_until": UNTIL,
}
TAKEN: dict[str, Any] = {
    "since": "2026-10-01T00:00:00Z",
    "until": UNTIL,
    "receipts": 0,
    "head_seq": 1,
    "head_hash": "",
    "manifest_digest": "b" * 64,
}


def with_head() -> tuple[House, dict[str, Any]]:
    """With one receipt, and a bundle that ends with it."""
    house = House()
    head = house.post("/marketplace", VERIFY).json["hash"]
    return house, {**TAKEN, "head_hash": head}


def test_a_hold_is_placed_by_whoever_asks_with_an_erasable_reason_and_a_key() -> None:
    house = House()
    body = {**PLACED, "reason": "court order", "request_id": "k"}
    response = house.post("/v1/tenants/acme/holds", body, token="operator")
    assert response.status == 200
    submission = house.corridor.submissions[0]
    assert submission.command == PlaceHold("actions", "urn:case:1", "operator", SAID)
    assert (submission.command_id, submission.parts) == ("http:operator:k", (("reason", b'"court order"'),))
    assert response.json["parts"]["reason"]["text"] == '"court order"'
    endless = house.post("/v1/tenants/acme/holds", {"scope": "all", "evidence": "urn:case:1"}, token="operator")
    assert endless.status == 200
    assert house.corridor.submissions[1].command == PlaceHold("all", "urn:case:1", "operator")


def test_a_hold_is_released_by_its_id() -> None:
    house = House()
    assert house.post(f"/v1/tenants/acme/holds/{HOLD}/release", token="operator").status == 200
    assert house.corridor.submissions[0].command == ReleaseHold(HoldId(HOLD), "operator")
    assert house.post("/v1/tenants/acme/holds/%20/release", token="operator").status == 400


def test_an_attestation_is_the_auditors() -> None:
    house = House()
    assert house.post("/v1/tenants/acme/attestations", {**ATTESTED, "reason": "seen"}, token="auditor").status == 200
    submission = house.corridor.submissions[0]
    assert submission.command == Attest(ControlName("dpa_signed"), "compliant", "a" * 64, "auditor", SAID)
    assert submission.parts == (("reason", b'"seen"'),)


def test_an_export_is_whoever_took_it() -> None:
    house, taken = with_head()
    response = house.post("/v1/tenants/acme/exports", {**taken, "reason": "yearly"}, token="auditor")
    assert response.status == 200
    ledger, submission = response.json["receipt"]["ledger"], house.corridor.submissions[1]
    since = Moment("2026-10-01T00:00:00.000000Z")
    assert submission.command == NoteExport(ledger, since, SAID, 0, 1, taken["head_hash"], "b" * 64)
    assert (submission.by, submission.parts) == ("auditor", (("reason", b'"yearly"'),))
    for role in ("viewer", "integration", "operator"):
        assert house.post("/v1/tenants/acme/exports", taken, token=role).reason == "role_forbidden"
    assert house.post("/v1/tenants/acme/exports", taken, token="admin").status == 200


@pytest.mark.parametrize("other", [{"head_seq": 2}, {"head_hash": "a" * 64}])
def test_an_export_that_does_not_end_with_a_receipt_of_the_ledger_is_404(other: dict[str, Any]) -> None:
    house, taken = with_head()
    response = house.post("/v1/tenants/acme/exports", {**taken, **other})
    assert (response.status, response.reason) == (404, "not_found")
    assert len(house.corridor.submissions) == 1


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("since", "yesterday"),
        ("until", "2027-01-01"),
        ("receipts", -1),
        ("receipts", 2**53),
        ("receipts", "3"),
        ("head_seq", 0),
        ("head_seq", 2**53),
        ("head_hash", "A" * 64),
        ("manifest_digest", "b" * 63),
    ],
)
def test_an_export_that_is_not_understood_is_refused_with_its_pointer(member: str, value: object) -> None:
    house, taken = with_head()
    response = house.post("/v1/tenants/acme/exports", {**taken, member: value})
    assert (response.status, response.json["errors"][0]["pointer"]) == (400, f"/{member}")
    assert len(house.corridor.submissions) == 1


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("holds", {**PLACED, "scope": "some"}, "/scope"),
        ("holds", {**PLACED, "evidence": "a letter"}, "/evidence"),
        ("holds", {**PLACED, "expires_at": "soon"}, "/expires_at"),
        ("holds", {**PLACED, "until": UNTIL}, "/until"),
        ("holds", {**PLACED, "reason": 7}, "/reason"),
        ("holds", {"evidence": "urn:case:1"}, "/scope"),
        ("attestations", {**ATTESTED, "control": "two words"}, "/control"),
        ("attestations", {**ATTESTED, "status": "fine"}, "/status"),
        ("attestations", {**ATTESTED, "evidence": "A" * 64}, "/evidence"),
        ("attestations", {**ATTESTED, "valid_until": "2027-01-01T00:00:00"}, "/valid_until"),
        ("attestations", {key: value for key, value in ATTESTED.items() if key != "valid_until"}, "/valid_until"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_pointer(path: str, body: dict[str, Any], pointer: str) -> None:
    house = House()
    response = house.post(f"/v1/tenants/acme/{path}", body)
    assert (response.status, response.json["errors"][0]["pointer"]) == (400, pointer)
    assert house.corridor.submissions == []
    assert house.post("/v1/tenants/acme/holds").status == 400


def test_one_key_belongs_to_one_hold() -> None:
    house = House()
    key = {"request_id": "k"}
    assert house.post("/v1/tenants/acme/holds", {**PLACED, **key}).status == 200
    again = house.post("/v1/tenants/acme/holds", {**PLACED, **key, "reason": "told again"})
    assert (again.status, again.headers["idempotent-replayed"]) == (200, "true")
    assert house.post("/v1/tenants/acme/holds", {**PLACED, **key, "scope": "all"}).status == 422
    assert house.post(f"/v1/tenants/acme/holds/{HOLD}/release", key).status == 422
    assert house.post("/v1/tenants/acme/attestations", {**ATTESTED, **key}).status == 422


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("usage", {"operation": "consume", "quota": "api_calls", "amount": 1, "request_id": "k"}),
        (f"actions/{HOLD}/approve", {}),
    ],
)
def test_what_compliance_closes_is_403_and_says_by_what(path: str, body: dict[str, Any]) -> None:
    house = House()
    evidence = {"concern": "service", "holds": [HOLD]}
    house.corridor.refuse_with["acme"] = {
        "reason": "compliance_closed",
        "gate": "compliance_permits",
        "evidence": evidence,
    }
    response = house.post(f"/v1/tenants/acme/{path}", body)
    assert (response.status, response.reason) == (403, "compliance_closed")
    assert response.json["gates"][0]["evidence"] == evidence
    assert "receipt" in response.json


def test_a_tenant_shows_its_compliance() -> None:
    house = House()
    house.post("/v1/tenants/acme/holds", PLACED)
    shown = house.get("/v1/tenants/acme", token="viewer").json["compliance"]
    assert shown == {
        "closed": ["service", "actions", "erasure"],
        "holds": [
            {
                "hold_id": "01JD0000000000000000000000-2-0123456789ab",
                "scope": "erasure",
                "evidence": "urn:case:1",
                "by": "olga",
                "placed_at": "2026-11-24T12:00:00.000000Z",
            }
        ],
        "controls": [{"control": "dpa_signed", "standing": "missing", "required": True}],
    }
