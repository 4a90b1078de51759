"""Webhooks on /marketplace, signed by the public library: who sends what, once, and what nobody signed."""

import base64
import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from standardwebhooks import Webhook
from tests.journey.callers import say
from tests.journey.ledgers import exported
from tests.journey.service import Service

SECRETS: Final = {
    name: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for name in ("old", "new", "shop", "none")
}
GRANT: Final = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("webhooks")
    file = folder / "secrets"
    file.write_text(f"billing={SECRETS['old']}\nbilling={SECRETS['new']}\nshop={SECRETS['shop']}\n")
    environ = {"MARKETPLACE_WEBHOOK_SECRETS_FILE": str(file), "MARKETPLACE_WEBHOOK_TENANTS": "shop=acme"}
    with Service(folder / "data", environ=environ) as started:
        yield started
    log = "".join(started.output)
    assert "webhook:billing" in log
    assert not any(secret.removeprefix("whsec_") in log for secret in SECRETS.values())


def signed(body: bytes, id: str, *, secret: str = "new", ago: float = 0) -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(seconds=ago)
    signature = Webhook(SECRETS[secret]).sign(id, at, body.decode())
    return {"webhook-id": id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def send(service: Service, command: dict[str, Any], id: str, **how: Any) -> httpx.Response:
    body = json.dumps(command).encode()
    with service.client("") as client:
        return client.post("/marketplace", content=body, headers=signed(body, id, **how))


def receipts(service: Service, tenant: str) -> list[dict[str, Any]]:
    with service.client() as client:
        answer = client.get(f"/v1/tenants/{tenant}/receipts")
    return [item["receipt"] for item in answer.json()["items"]] if answer.status_code == 200 else []


def test_a_sender_retries_and_has_the_first_receipt_again_also_when_it_is_late(service: Service) -> None:
    command = {**GRANT, "tenant_id": "retried"}
    first = send(service, command, "msg_1", secret="old")
    assert first.status_code == 200, first.text
    cause = first.json()["receipt"]["cause"]
    assert (cause["by"], cause["id"], cause["kind"]) == ("webhook:billing", "webhook:billing:msg_1", "marketplace")
    again = send(service, command, "msg_1", secret="new", ago=250)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    stale = send(service, command, "msg_1", ago=301)
    assert (stale.status_code, stale.json()["reason"]) == (401, "unauthenticated")
    assert "stale" in stale.json()["detail"]
    assert send(service, command, "msg_2", ago=-310).status_code == 401
    assert len(receipts(service, "retried")) == 1


def test_a_retry_after_a_crash_has_the_first_receipt(tmp_path: Path) -> None:
    environ = {"MARKETPLACE_WEBHOOK_SECRETS": f"billing={SECRETS['new']}"}
    with Service(tmp_path, environ=environ) as service:
        first = send(service, GRANT, "msg_1")
        assert first.status_code == 200, first.text
        service.kill()
        service.start()
        again = send(service, GRANT, "msg_1")
        assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert len(exported(tmp_path)) == 1


def test_nothing_but_what_was_signed_is_taken(service: Service) -> None:
    command = {**GRANT, "tenant_id": "forged"}
    body = json.dumps(command).encode()
    good = signed(body, "msg_1")
    wrong: list[tuple[bytes, dict[str, str]]] = [
        (body.replace(b"professional", b"professionaL"), good),
        (body + b" ", good),
        (body, {**good, "webhook-id": "msg_2"}),
        (body, {**good, "webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)}),
        (body, {**good, "webhook-signature": ""}),
        (body, {**good, "webhook-signature": "v1,"}),
        (body, signed(body, "msg_1", secret="none")),
        (body, {name: value for name, value in good.items() if name != "webhook-signature"}),
        (body, {name: value for name, value in good.items() if name != "webhook-id"}),
        (body, {}),
    ]
    with service.client("") as client:
        for content, headers in wrong:
            answer = client.post("/marketplace", content=content, headers=headers)
            assert answer.status_code == 401, (content, headers, answer.text)
        assert client.post("/pubsub", content=body, headers=good).status_code == 401
        assert receipts(service, "forged") == []
        several = {**good, "webhook-signature": f"v1,bm9uZQ== {good['webhook-signature']} v2,bm9uZQ=="}
        assert client.post("/marketplace", content=body, headers=several).status_code == 200


def test_a_header_that_comes_twice_is_refused(service: Service) -> None:
    body = json.dumps({**GRANT, "tenant_id": "twice"}).encode()
    lines = [f"{name}: {value}" for name, value in signed(body, "msg_1").items()]
    first = ["POST /marketplace HTTP/1.1", "host: tai", "connection: close", f"content-length: {len(body)}", *lines]
    for line in lines:
        answer = say(service, "\r\n".join([*first, line, "", ""]).encode() + body)
        assert answer.startswith(b"HTTP/1.1 400"), answer
    assert receipts(service, "twice") == []
    assert say(service, "\r\n".join([*first, "", ""]).encode() + body).startswith(b"HTTP/1.1 200")


def test_a_source_reaches_the_tenants_that_the_setting_names(service: Service) -> None:
    assert send(service, GRANT, "msg_1", secret="shop").status_code == 200
    answer = send(service, {**GRANT, "tenant_id": "globex"}, "msg_2", secret="shop")
    assert (answer.status_code, answer.json()["reason"]) == (403, "tenant_forbidden")
    assert send(service, {**GRANT, "tenant_id": "globex"}, "msg_2").status_code == 200
    assert [each["cause"]["by"] for each in receipts(service, "globex")] == ["webhook:billing"]


def test_a_token_beside_a_webhook_decides_alone(service: Service) -> None:
    body = json.dumps({**GRANT, "tenant_id": "both"}).encode()
    with service.client() as client:
        answer = client.post("/marketplace", content=body, headers=signed(body, "msg_1", secret="none"))
    assert answer.status_code == 200
    assert answer.json()["receipt"]["cause"]["by"] == "first-start-admin"
    with service.client("forged") as client:
        assert client.post("/marketplace", content=body, headers=signed(body, "msg_1")).status_code == 401
