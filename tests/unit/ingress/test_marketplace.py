"""POST /marketplace: what each action takes, and what a command becomes."""

import hashlib
from typing import Any

import pytest
from tests.unit.ingress.front import GRANT, VERIFY, House

from tai_autonomics.domain.entitlement import Cancel, ChangePlan, Grant, Renew, Request, Suspend, Verify

AT, MOMENT = "2026-12-24T01:00:00+01:00", "2026-12-24T00:00:00.000000Z"
OPTIONAL = {
    "verify": set(),
    "request": {"plan", "observed_at"},
    "grant": {"plan", "effective_at", "expires_at", "observed_at"},
    "reject": {"observed_at"},
    "change_plan": {"plan", "effective_at", "observed_at"},
    "suspend": {"observed_at"},
    "resume": {"observed_at"},
    "cancel": {"effective_at", "observed_at"},
    "reinstate": {"observed_at"},
    "renew": {"expires_at", "observed_at"},
    "revoke": {"observed_at"},
}
REQUIRED = {"request": {"plan"}, "change_plan": {"plan"}, "renew": {"expires_at"}}
VALUES = {"plan": "professional", "effective_at": AT, "expires_at": AT, "observed_at": AT}


def body_of(action: str, **more: Any) -> dict[str, Any]:
    return {**VERIFY, "action": action, **{name: VALUES[name] for name in REQUIRED.get(action, ())}, **more}


@pytest.mark.parametrize("action", OPTIONAL)
@pytest.mark.parametrize("member", VALUES)
def test_an_action_takes_its_own_members_and_no_other(action: str, member: str) -> None:
    response = House().post("/marketplace", body_of(action, **{member: VALUES[member]}))
    if member in OPTIONAL[action]:
        assert response.status == 200
    else:
        assert (response.status, response.reason) == (400, "malformed_request")
        assert response.json["errors"][0]["pointer"] == f"/{member}"


@pytest.mark.parametrize(("action", "member"), [(action, name) for action, names in REQUIRED.items() for name in names])
def test_a_required_member_that_is_missing_is_named(action: str, member: str) -> None:
    response = House().post("/marketplace", {**VERIFY, "action": action})
    assert (response.status, response.reason) == (400, "missing_field")
    assert response.json["errors"][0]["pointer"] == f"/{member}"


@pytest.mark.parametrize(
    ("body", "command"),
    [
        (VERIFY, Verify("ent_1")),
        (body_of("request"), Request("ent_1", "professional")),
        (body_of("grant", expires_at=AT), Grant("ent_1", None, None, MOMENT)),
        (body_of("change_plan", effective_at=AT, observed_at=AT), ChangePlan("ent_1", "professional", MOMENT, MOMENT)),
        (body_of("suspend"), Suspend("ent_1")),
        (body_of("cancel", effective_at=AT), Cancel("ent_1", MOMENT)),
        (body_of("renew"), Renew("ent_1", MOMENT)),
    ],
)
def test_a_body_becomes_a_command(body: dict[str, Any], command: object) -> None:
    house = House()
    assert house.post("/marketplace", body).status == 200
    assert house.corridor.submissions[0].command == command


@pytest.mark.parametrize(
    ("body", "reason", "pointer"),
    [
        ({"entitlement_id": "e"}, "missing_field", "/tenant_id"),
        ({"tenant_id": "acme"}, "missing_field", "/entitlement_id"),
        ({**VERIFY, "tenant_id": "no spaces"}, "invalid_tenant_id", "/tenant_id"),
        ({**VERIFY, "tenant_id": ""}, "invalid_tenant_id", "/tenant_id"),
        ({**VERIFY, "tenant_id": "a\n"}, "invalid_tenant_id", "/tenant_id"),
        ({**VERIFY, "tenant_id": "é"}, "invalid_tenant_id", "/tenant_id"),
        ({**VERIFY, "tenant_id": "a" * 129}, "invalid_tenant_id", "/tenant_id"),
        ({**VERIFY, "tenant_id": 1}, "malformed_request", "/tenant_id"),
        ({**VERIFY, "entitlement_id": "/"}, "invalid_entitlement_id", "/entitlement_id"),
        ({**VERIFY, "action": "explode"}, "unknown_action", "/action"),
        ({**VERIFY, "action": None}, "malformed_request", "/action"),
        ({**VERIFY, "acton": "grant"}, "malformed_request", "/acton"),
        (body_of("grant", plan="a b"), "malformed_request", "/plan"),
        (body_of("grant", expires_at="2026-12-24T00:00:00"), "malformed_request", "/expires_at"),
        ({**VERIFY, "request_id": ""}, "malformed_request", "/request_id"),
        ({**VERIFY, "request_id": "a b"}, "malformed_request", "/request_id"),
        ({**VERIFY, "reason": 5}, "malformed_request", "/reason"),
        ({**VERIFY, "metadata": "x" * 8200}, "malformed_request", "/metadata"),
        ({**VERIFY, "metadata": {"price": 0.1234567891}}, "malformed_request", "/metadata/price"),
        ([VERIFY], "malformed_request", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_pointer(body: Any, reason: str, pointer: str) -> None:
    house = House()
    response = house.post("/marketplace", body)
    assert (response.status, response.reason, response.json["errors"][0]["pointer"]) == (400, reason, pointer)
    assert house.corridor.submissions == []


def test_an_accepted_command_answers_with_its_stored_bytes() -> None:
    house = House()
    response = house.post("/marketplace", GRANT)
    receipt = house.corridor.ledgers["acme"][0]
    assert response.body == b'{"receipt":' + receipt.body + b',"hash":"' + receipt.hash.encode() + b'"}'
    assert response.headers["receipt-hash"] == hashlib.sha256(receipt.body).hexdigest() == receipt.hash


def test_parts_are_kept_as_received_and_shown_with_their_salt() -> None:
    house = House()
    raw = b'{"tenant_id":"acme","entitlement_id":"e", "metadata" : {"a" :  1.50, "b":"\xc3\xa9"} ,"reason":"b\\u0061d"}'
    response = house.post("/marketplace", raw)
    parts = {"metadata": b'{"a" :  1.50, "b":"\xc3\xa9"}', "reason": b'"b\\u0061d"'}
    assert dict(house.corridor.submissions[0].parts) == parts
    assert response.json["parts"] == {name: {"salt": "02" * 32, "text": text.decode()} for name, text in parts.items()}


def test_a_repeat_is_the_same_answer_and_says_so() -> None:
    house = House()
    first = house.post("/marketplace", GRANT, headers={"Idempotency-Key": "k"})
    second = house.post("/marketplace", {**GRANT, "metadata": {"retry": 1}}, headers={"Idempotency-Key": '"k"'})
    assert (second.status, second.body) == (200, first.body)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"


def test_a_default_spelled_out_is_the_same_request() -> None:
    house = House()
    house.post("/marketplace", {**VERIFY, "request_id": "k"})
    again = house.post("/marketplace", {**VERIFY, "action": "verify"}, headers={"Idempotency-Key": "k"})
    assert (again.status, again.headers["idempotent-replayed"]) == (200, "true")


def test_a_key_with_other_content_is_refused() -> None:
    house = House()
    house.post("/marketplace", {**GRANT, "request_id": "k"})
    response = house.post("/marketplace", {**VERIFY, "request_id": "k"})
    assert (response.status, response.reason) == (422, "idempotency_key_reused")


def test_a_key_in_header_and_body_must_be_one() -> None:
    response = House().post("/marketplace", {**VERIFY, "request_id": "a"}, headers={"Idempotency-Key": "b"})
    assert (response.status, response.json["errors"][0]["pointer"]) == (400, "/request_id")


def test_a_command_without_a_key_gets_an_id_of_its_own() -> None:
    house = House()
    house.post("/marketplace", VERIFY, token="acme")
    house.post("/marketplace", VERIFY, token="acme", headers={"Idempotency-Key": "k"})
    ids = [each.command_id for each in house.corridor.submissions]
    assert ids == ["http:acme-bot:01JD0000000000000000000001", "http:acme-bot:k"]


def test_a_command_carries_its_caller_source_and_trace() -> None:
    house = House()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    house.post("/marketplace", VERIFY, token="acme", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    submission = house.corridor.submissions[0]
    assert (submission.by, submission.source, submission.trace) == ("acme-bot", "marketplace", trace)


def test_a_refusal_is_a_problem_with_its_receipt() -> None:
    house = House()
    house.corridor.refuse_with["acme"] = {"reason": "entitlement_inactive"}
    response = house.post("/marketplace", VERIFY)
    receipt = house.corridor.ledgers["acme"][0]
    assert response.status == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["receipt-hash"] == receipt.hash
    assert b'"receipt":' + receipt.body in response.body
    assert response.json["hash"] == receipt.hash
    assert response.json["type"] == "/problems/entitlement_inactive"
    assert response.json["instance"] == "/v1/tenants/acme/receipts/1"
    assert response.json["detail"] == "verify is refused"
    assert response.json["next_step"] == "do something else"
    assert response.json["gates"] == [{"gate": "quota_is_available", "passed": False, "evidence": {"state": "none"}}]


def test_a_tenant_out_of_reach_is_forbidden_before_anything_is_decided() -> None:
    house = House()
    response = house.post("/marketplace", VERIFY, token="other")
    assert (response.status, response.reason) == (403, "tenant_forbidden")
    assert house.corridor.submissions == []
    assert "receipt" not in response.json
