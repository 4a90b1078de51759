"""A real service after a bit of everything: what it logged, and what it exposes."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from msgspec import Struct
from tests.engines.ports import free_port
from tests.engines.receiver import Receiver, status
from tests.journey.service import Service

PROJECT: Final = "acme-prod"
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACED: Final = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
SECRET: Final = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, no").decode()
SUBSCRIPTION: Final = "projects/p/subscriptions/s"
SECONDS_MAX: Final = 60
PLANS: Final = """
fleet:
  webhook: {max: 100, per: 1h}
plans:
  free:
    rank: 10
    features: [health]
    quotas:
      api_calls: {limit: 10, per: day, kind: hard, thresholds: [80, 100]}
    governor:
      budget: {max: 50, per: 1h}
      rules:
        - {name: cpu-high, signal: cpu, over: 1 samples, act_when: window.avg > 80.0, clear_when: window.avg < 50.0,
           cooldown: 1h, action: webhook, with: {url: '%s'}, mode: enforce, attempts: 1, timeout: 5s}
"""
OPENMETRICS: Final = {"Accept": "application/openmetrics-text; version=1.0.0"}


class Seen(Struct, frozen=True):
    """`lines` are those of the log as they were written, `text` and `openmetrics` the same scrape in both formats."""

    lines: list[str]
    text: str
    openmetrics: str
    sidecar: str
    """The text format from TAI_METRICS_ADDRESS, without a token."""


def environ(directory: Path, url: str) -> dict[str, str]:
    plans = directory / "plans.yaml"
    plans.write_text(PLANS % url)
    return {
        "PLANS_FILE": str(plans),
        "GCP_PROJECT_ID": PROJECT,
        "LOG_FORMAT": "json",
        "TAI_WEBHOOK_SIGNING_SECRETS": f"*={SECRET}",
        "TAI_WEBHOOK_ADDRESSES_ALLOWED": "127.0.0.0/8",
        "TAI_TIMER_POLL_SECONDS": "0.2",
    }


def pushed(payload: object, message_id: str, **more: Any) -> dict[str, Any]:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    message = {"data": base64.b64encode(raw).decode(), "messageId": message_id, **more}
    return {"message": message, "subscription": SUBSCRIPTION}


def signal(tenant: str) -> dict[str, Any]:
    return {"tenant_id": tenant, "metric": "cpu", "value": 91.5}


def order(tenant: str, action: str, **more: object) -> dict[str, Any]:
    key = f"{tenant}-{action}-{len(more)}"
    return {"tenant_id": tenant, "entitlement_id": "ent_1", "action": action, "request_id": key, **more}


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not await true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def mixed_run(client: httpx.AsyncClient) -> None:
    """Success, refusals, errors of callers, checks, pushes, an action and timers."""

    async def sends(expected: int, path: str, body: object, **more: Any) -> None:
        answer = await client.post(path, json=body, **more)
        assert answer.status_code == expected, answer.text

    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    published = (datetime.now(UTC) - timedelta(seconds=3)).isoformat()
    await sends(200, "/marketplace", order("acme", "grant", plan="free"), headers=TRACED)
    await sends(200, "/marketplace", order("acme", "grant", plan="free"))
    await sends(403, "/marketplace", order("other", "verify"), headers=TRACED)
    await sends(400, "/marketplace", {"tenant_id": "acme", "entitlement": "typo"})
    await sends(401, "/marketplace", {}, headers={"Authorization": "Bearer no"})
    await sends(404, "/nowhere", {})
    await sends(200, "/marketplace", order("brief", "grant", plan="free", expires_at=soon))
    used = {"operation": "consume", "quota": "api_calls", "amount": 9, "request_id": "use"}
    await sends(200, "/v1/tenants/acme/usage", used)
    await sends(200, "/v1/tenants/acme/check", {"feature": "health", "quota": "api_calls", "amount": 5})
    await sends(200, "/pubsub", pushed(signal("acme"), "1", publishTime=published), headers=TRACED)
    await sends(200, "/pubsub", pushed(b"poison", "2", publishTime=published))
    await sends(400, "/pubsub", {"message": {"data": "dGVzdA=="}})

    async def is_expired() -> bool:
        """By a timer, whose receipt nobody asked for."""
        newest = (await client.get("/v1/tenants/brief/receipts/head")).json()["receipt"]
        return bool(newest["cause"]["kind"] == "timer")

    async def is_settled() -> bool:
        return bool((await client.get("/v1/tenants/acme/actions?state=succeeded")).json()["items"])

    async def is_surveyed() -> bool:
        text = (await client.get("/metrics")).text
        return "tai_quarantined_messages 0.0" in text or "tai_quarantined_messages 1.0" in text

    for true in (is_expired, is_settled, is_surveyed):
        await until(true)


async def observe(directory: Path) -> Seen:
    sidecar = f"127.0.0.1:{free_port()}"
    async with Receiver() as receiver:
        service = Service(
            directory / "data", environ={**environ(directory, receiver.url), "TAI_METRICS_ADDRESS": sidecar}
        )
        await asyncio.to_thread(service.start)
        try:
            headers = {"Authorization": f"Bearer {service.admin_token}"}
            async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=20) as client:
                await mixed_run(client)
                text = (await client.get("/metrics")).text
                openmetrics = (await client.get("/metrics", headers=OPENMETRICS)).text
                unasked = (await client.get(f"http://{sidecar}/metrics", headers={"Authorization": ""})).text
        finally:
            assert await asyncio.to_thread(service.stop) == 0
    return Seen(service.output, text, openmetrics, unasked)


async def fail(directory: Path) -> list[str]:
    """What a service logs whose code has a mistake: a request that ends in a 500, an action of which nobody knows."""
    async with Receiver(status(204)) as receiver:
        failing = {**environ(directory, receiver.url), "FAILING_AT": "serving"}
        service = Service(directory / "data", environ=failing, module="tests.journey.failing")
        await asyncio.to_thread(service.start)
        try:
            headers = {"Authorization": f"Bearer {service.admin_token}"}
            async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=20) as client:
                assert (await client.post("/marketplace", json=order("acme", "grant", plan="free"))).status_code == 200
                assert (await client.get("/v1/tenants/acme/receipts", headers=TRACED)).status_code == 500
                await client.post("/v1/tenants/acme/signals", json={"metric": "cpu", "value": 91})

                async def is_told() -> bool:
                    return any("an action was settled" in line for line in service.output)

                await until(is_told)
        finally:
            assert await asyncio.to_thread(service.stop) == 0
    return service.output


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return asyncio.run(observe(tmp_path_factory.mktemp("mixed")))


@pytest.fixture(scope="session")
def failed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return asyncio.run(fail(tmp_path_factory.mktemp("failing")))
