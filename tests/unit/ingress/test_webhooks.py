"""A webhook at the front door: who may send one, where, and what its key is."""

import base64
import json
from typing import Any

import pytest
from standardwebhooks import Webhook
from tests.unit.ingress.front import GRANT, NOW, VERIFY, House, Response, envelope

from tai_autonomics.identity.webhooks import Sender, SignedWebhooks

SECRETS = {"billing": b"b" * 24, "shop": b"s" * 24}
REACH = {"billing": None, "shop": frozenset({"acme"})}
SENDERS = {source: Sender((secret,), REACH[source]) for source, secret in SECRETS.items()}


def house_of(**limits: Any) -> House:
    house = House(webhooks=SENDERS, **limits)
    assert isinstance(house.door.webhooks, SignedWebhooks)
    return house


def signed(body: bytes, source: str = "billing", id: str = "msg_1") -> dict[str, str]:
    signature = Webhook(base64.b64encode(SECRETS[source]).decode()).sign(id, NOW, body.decode())
    return {"webhook-id": id, "webhook-timestamp": str(int(NOW.timestamp())), "webhook-signature": signature}


def send(house: House, body: Any, source: str = "billing", *, id: str = "msg_1", **given: Any) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    path, more = given.pop("path", "/marketplace"), given.pop("headers", {})
    return house.post(path, raw, **{"token": None, **given}, headers={**signed(raw, source, id), **more})


def test_a_signed_command_is_decided_and_says_who_sent_it() -> None:
    house = house_of()
    assert send(house, GRANT).status == 200
    (submission,) = house.corridor.submissions
    assert (submission.by, submission.source, submission.command_id) == (
        "webhook:billing",
        "marketplace",
        "webhook:billing:msg_1",
    )
    assert house.ear.requests[0].caller == "webhook:billing"


def test_a_retry_gets_the_first_receipt_and_another_sources_same_id_is_another_command() -> None:
    house = house_of()
    first, again, other = send(house, GRANT), send(house, GRANT), send(house, GRANT, "shop")
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
    assert "idempotent-replayed" not in other.headers
    assert send(house, VERIFY).reason == "idempotency_key_reused"


def test_a_body_in_pieces_is_verified_whole() -> None:
    house, raw = house_of(), json.dumps(GRANT).encode()
    assert send(house, GRANT, chunks=(raw[:7], raw[7:30], raw[30:])).status == 200


def test_a_changed_byte_is_refused_before_anything_is_made_of_it() -> None:
    house, raw = house_of(), json.dumps(GRANT).encode()
    response = house.post("/marketplace", raw.replace(b"acme", b"acmd"), token=None, headers=signed(raw))
    assert (response.status, response.reason) == (401, "signature_invalid")
    broken = house.post("/marketplace", b"{" + raw, token=None, headers=signed(raw))
    assert (broken.status, broken.reason) == (401, "signature_invalid")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert house.corridor.submissions == []


def test_a_signed_body_that_is_not_understood_is_a_400() -> None:
    assert send(house_of(), b"{").reason == "malformed_request"
    assert send(house_of(), {**GRANT, "acton": "grant"}).reason == "malformed_request"


def test_a_stale_webhook_is_refused_before_its_body_is_read() -> None:
    house = house_of(request_seconds=0.05)
    stale = {"webhook-timestamp": str(int(NOW.timestamp()) - 301)}
    response = send(house, GRANT, headers=stale)
    assert (response.status, response.reason) == (401, "unauthenticated")
    assert "stale" in response.json["detail"]
    assert send(house, GRANT, headers=stale, silent=True).status == 401


def test_a_header_given_twice_is_refused() -> None:
    house = house_of()
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        response = send(house, GRANT, pairs=((name.encode(), b"1"),))
        assert (response.status, response.reason) == (400, "malformed_request")
        assert response.json["detail"] == f"the header {name} is given twice"


def test_an_empty_signature_is_refused() -> None:
    response = send(house_of(), GRANT, headers={"webhook-signature": ""})
    assert (response.status, response.reason) == (401, "signature_invalid")


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_one_webhook_header_makes_a_webhook_that_lacks_the_others(name: str) -> None:
    response = house_of().post("/marketplace", GRANT, token=None, headers={name: "1"})
    assert (response.status, response.reason) == (401, "unauthenticated")
    assert "webhook" in response.json["detail"]


def test_a_bearer_token_beside_a_webhook_decides_alone() -> None:
    house = house_of()
    assert send(house, GRANT, token="acme").status == 200
    assert house.corridor.submissions[0].by == "acme-bot"
    assert house.corridor.submissions[0].command_id.startswith("http:acme-bot:01")
    assert send(house, GRANT, token="forged").reason == "signature_invalid"
    assert send(house, GRANT, token="viewer").reason == "role_forbidden"
    assert send(house, GRANT, headers={"authorization": ""}).reason == "unauthenticated"


def test_a_source_reaches_its_tenants_and_no_other() -> None:
    house = house_of()
    assert send(house, GRANT, "shop").status == 200
    response = send(house, {**GRANT, "tenant_id": "other"}, "shop", id="msg_2")
    assert (response.status, response.reason) == (403, "tenant_forbidden")
    assert send(house, {**GRANT, "tenant_id": "other"}, id="msg_2").status == 200


def test_another_key_beside_the_webhooks_own_is_refused() -> None:
    house = house_of()
    assert send(house, {**GRANT, "request_id": "msg_1"}, headers={"Idempotency-Key": '"msg_1"'}).status == 200
    for body, more in (({**GRANT, "request_id": "r"}, {}), (GRANT, {"Idempotency-Key": "r"})):
        response = send(house, body, headers=more, id="msg_2")
        assert (response.status, response.json["errors"][0]["pointer"]) == (400, "/request_id")
    assert len(house.corridor.submissions) == 1


def test_a_webhook_is_taken_on_marketplace_alone_and_only_where_a_source_is_known() -> None:
    house = house_of()
    usage = {"operation": "consume", "quota": "q", "amount": 1, "request_id": "r"}
    for path, body in (("/pubsub", envelope(GRANT)), ("/v1/tenants/acme/usage", usage)):
        assert send(house, body, path=path).reason == "unauthenticated"
    assert send(House(), GRANT).reason == "unauthenticated"
    assert house.corridor.submissions == []


def test_a_webhooks_body_has_the_bounds_and_the_type_of_any_other() -> None:
    house = house_of(body_bytes_max=100, request_seconds=0.1)
    assert send(house, {**GRANT, "metadata": "x" * 100}).status == 413
    # By its headers alone: it never comes, and what is left of it is waited for as long as a request may take.
    assert send(house, GRANT, headers={"content-type": "text/plain"}, silent=True).status == 415
    assert send(house, GRANT, hang_up=True).status == 0


def test_who_may_send_webhooks_does_no_more_than_an_integration() -> None:
    house = house_of()
    for number, action in enumerate(("verify", "grant", "suspend", "revoke")):
        assert send(house, {**VERIFY, "action": action}, id=f"msg_{number}").status == 200
