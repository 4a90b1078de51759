"""Secrets are replaced while the service serves: in files and in Secret Manager, on SIGHUP and by themselves."""

import base64
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from tests.engines.receiver import Receiver, Request
from tests.engines.secret_manager import SecretManager
from tests.journey.leaks import leaked
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.tokens import ISSUER, minted

from tai_autonomics.identity.keys import KEY_FILE, first_start_key
from tai_autonomics.wiring.secret_manager import TRY_SECONDS_MAX

pytestmark = [pytest.mark.anyio, pytest.mark.embedded]

SECONDS_MAX: Final = 30
OLD: Final = b"the marked secret that was first"
NEW: Final = b"the marked secret that came then"
SIGNING: Final = "projects/acme-prod/secrets/signing"
STORE: Final = "projects/acme-prod/secrets/store-url"
PLANS: Final = """
plans:
  free:
    rank: 10
    governor:
      budget: {max: 50, per: 1h}
      rules:
        - {name: cpu-high, signal: cpu, over: 3 samples, act_when: window.avg > 80.0, clear_when: window.avg < 50.0,
           cooldown: 1s, action: webhook, mode: enforce, attempts: 2, timeout: 1s, with: {url: 'URL'}}
"""


def whsec(secret: bytes) -> str:
    return "whsec_" + base64.b64encode(secret).decode()


def until(condition: Callable[[], bool], *, what: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def said(service: Service) -> str:
    return "".join(service.output)


async def acted(client: httpx.AsyncClient, receiver: Receiver, tenant: str) -> Request:
    """The webhook that measurements of a new tenant lead to."""
    receiver.arrived.clear()
    grant = {"tenant_id": tenant, "entitlement_id": "e", "action": "grant", "plan": "free", "request_id": tenant}
    (await client.post("/marketplace", json=grant)).raise_for_status()
    for value in (91, 92, 93):
        body = {"metric": "cpu", "value": value}
        (await client.post(f"/v1/tenants/{tenant}/signals", json=body)).raise_for_status()
    await receiver.arrived.wait()
    return receiver.requests[-1]


async def test_secrets_of_secret_manager_come_into_force_on_sighup_and_none_is_said(tmp_path: Path) -> None:
    plans = tmp_path / "plans.yaml"
    with SecretManager() as manager:
        manager.add(SIGNING, f"*={whsec(OLD)}".encode())
        manager.add(STORE, f"sqlite:///{tmp_path}/kept.db".encode())
        environ = {
            "SECRET_MANAGER": manager.address,
            "STORE_URL": f"gsm://{STORE}",
            "TAI_WEBHOOK_SIGNING_SECRETS": f"gsm://{SIGNING}",
            "TAI_WEBHOOK_ADDRESSES_ALLOWED": "127.0.0.0/8",
            "TAI_SECRETS_REFRESH_SECONDS": "0",
            "TAI_TIMER_POLL_SECONDS": "0.2",
            "PLANS_FILE": str(plans),
            "LOG_LEVEL": "debug",
            "GOOGLE_SDK_PYTHON_LOGGING_SCOPE": "google",
        }
        async with Receiver() as receiver:
            plans.write_text(PLANS.replace("URL", receiver.url))
            with Service(tmp_path, environ=environ, module="tests.journey.with_secret_manager") as service:
                headers = {"Authorization": f"Bearer {service.admin_token}"}
                async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=20) as client:
                    request = await acted(client, receiver, "before")
                    Webhook(whsec(OLD)).verify(request.body, request.headers)

                    manager.add(SIGNING, b"*=whsec_" + base64.b64encode(NEW)[:20])
                    os.kill(service.pid, signal.SIGHUP)
                    until(lambda: '"changed":[]' in said(service), what="it has read them again")
                    request = await acted(client, receiver, "meanwhile")
                    Webhook(whsec(OLD)).verify(request.body, request.headers)

                    manager.add(SIGNING, f"*={whsec(NEW)}".encode())
                    manager.add(STORE, b"sqlite:///elsewhere.db")
                    os.kill(service.pid, signal.SIGHUP)
                    until(lambda: '"changed":["TAI_WEBHOOK_SIGNING_SECRETS"]' in said(service), what="the new one")
                    request = await acted(client, receiver, "after")
                    Webhook(whsec(NEW)).verify(request.body, request.headers)
                service.stop()
    output = said(service)
    assert "a secret that is not whsec_ and the base64 of 24 to 64 bytes" in output
    assert "what was in force stays" in output
    assert '"setting":"STORE_URL","source":"gsm://projects/acme-prod/secrets/store-url, version 2"' in output
    assert (tmp_path / "kept.db").exists()
    assert leaked(output, {"old": OLD, "new": NEW, "cut": base64.b64encode(NEW)[:20]}) == []


def test_a_file_of_keys_comes_into_force_by_itself(tmp_path: Path) -> None:
    data, other, file = tmp_path / "data", tmp_path / "other", tmp_path / "keys.pem"
    for directory in (data, other):
        first_start_key(directory)
    old, new = ((directory / KEY_FILE).read_bytes() for directory in (data, other))
    before, after = minted(data, "admin"), minted(other, "admin")
    file.write_bytes(old)
    environ = {
        "JWT_KEYS": str(file),
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": ISSUER,
        "TAI_SECRETS_REFRESH_SECONDS": "0.1",
    }
    with Service(data, environ=environ) as service, service.client(before) as first, service.client(after) as second:

        def statuses() -> tuple[int, int]:
            return first.get("/v1/tenants").status_code, second.get("/v1/tenants").status_code

        assert statuses() == (200, 401)
        file.write_text("no key")
        until(lambda: "what was in force stays" in said(service), what="a bad file is told")
        assert statuses() == (200, 401)
        file.write_bytes(new)
        until(lambda: '"changed":["JWT_KEYS"]' in said(service), what="the new file is in force")
        assert second.get("/v1/tenants").status_code == 200
        with service.client(minted(data, "admin", subject="another")) as late:
            assert late.get("/v1/tenants").status_code == 401
    assert exported(data) == []


def test_a_secret_manager_that_hangs_holds_up_no_request_and_no_end(tmp_path: Path) -> None:
    with SecretManager() as manager:
        manager.add(SIGNING, f"*={whsec(OLD)}".encode())
        environ = {
            "SECRET_MANAGER": manager.address,
            "TAI_WEBHOOK_SIGNING_SECRETS": f"gsm://{SIGNING}",
            "TAI_SECRETS_REFRESH_SECONDS": "0.1",
        }
        with Service(tmp_path, environ=environ, module="tests.journey.with_secret_manager") as service:
            until(lambda: len(manager.calls) > 1, what="it is read again by itself")
            manager.before = [manager.hanging] * 100
            until(lambda: len(manager.before) < 100, what="a call hangs")
            with service.client() as client:
                assert client.get("/health").status_code == 200
            began = time.monotonic()
            assert service.stop() == 0
            assert time.monotonic() - began < TRY_SECONDS_MAX
        assert "Traceback" not in said(service)
