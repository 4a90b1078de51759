"""Traces of every kind through /pubsub, beside a model of the rule: as many actions as it says, and when it says so."""

import asyncio
import base64
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from standardwebhooks import Webhook
from tests.engines.receiver import Receiver
from tests.journey.ledgers import exported
from tests.journey.loop_model import Bounds, Model
from tests.journey.service import Service
from tests.sizes import size
from tests.traces import DAY, Trace, batches, daily, duplicated, flapping, gap, ramp, spike

from tai_autonomics.ledger.chain import verify

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

SECRET: Final = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, no").decode()
SUBSCRIPTION: Final = "projects/p/subscriptions/s"
EVERY: Final = size(short=600, full=120)
"""Seconds between two measurements of the simulated day."""
BATCH: Final = 4
PAUSE_SECONDS: Final = 0.1
"""Between two messages of a tenant, so that cool-downs end and windows pass meanwhile."""
SETTLED_SECONDS_MAX: Final = 60
BOUNDS: Final = Bounds(Decimal(80), timedelta(seconds=1), 4, timedelta(minutes=1))
PLANS: Final = """
plans:
  watched:
    rank: 10
    governor:
      budget: {max: 4, per: 1m}
      rules:
        - {name: cpu-high, signal: cpu_utilization, over: 3 samples, act_when: window.avg > 80.0,
           clear_when: window.avg < 50.0, cooldown: 1s, action: webhook, mode: enforce, timeout: 5s, with: {url: '%s'}}
"""


def traces() -> dict[str, Trace]:
    """By tenant."""
    calm = daily(1, every=EVERY)
    return {
        "daily": calm,
        "ramp": ramp(daily(2, every=EVERY), start=DAY // 4, end=DAY // 2, by=60),
        "spike": spike(daily(3, every=EVERY), at=DAY // 3, seconds=DAY // 6, value=97),
        "flapping": flapping(every=EVERY),
        "gap": gap(
            spike(daily(4, every=EVERY), at=DAY // 3, seconds=DAY // 3, value=95), start=DAY // 2, seconds=DAY // 8
        ),
        "duplicates": duplicated(spike(daily(5, every=EVERY), at=DAY // 2, seconds=DAY // 6, value=90), 5),
    }


async def send(client: httpx.AsyncClient, tenant: str, trace: Trace, *, copies: int) -> None:
    """Grants the plan, and publishes the trace; each message is delivered so often."""
    grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "watched", "request_id": "g"}
    (await client.post("/marketplace", json=grant)).raise_for_status()
    for number, batch in enumerate(batches(trace, BATCH)):
        items = [{"tenant_id": tenant, "metric": "cpu_utilization", "value": float(each.value)} for each in batch]
        data = base64.b64encode(json.dumps(items).encode()).decode()
        message = {
            "message": {"data": data, "messageId": f"{tenant}-{number}"},
            "subscription": "projects/p/subscriptions/s",
        }
        delivered = [client.post("/pubsub", json=message) for _ in range(copies)]
        for reply in await asyncio.gather(*delivered):
            assert reply.status_code == 200, reply.text
        await asyncio.sleep(PAUSE_SECONDS)


async def test_every_kind_of_trace_leads_to_the_actions_that_a_model_of_the_rule_says(tmp_path: Path) -> None:
    async with Receiver() as receiver:
        (tmp_path / "plans.yaml").write_text(PLANS % receiver.url)
        environ = {
            "PLANS_FILE": str(tmp_path / "plans.yaml"),
            "TAI_WEBHOOK_SIGNING_SECRETS": f"*={SECRET}",
            "TAI_WEBHOOK_ADDRESSES_ALLOWED": "127.0.0.0/8",
            "TAI_TIMER_POLL_SECONDS": "0.2",
        }
        service = Service(tmp_path / "data", environ=environ)
        await asyncio.to_thread(service.start)
        try:
            headers = {"Authorization": f"Bearer {service.admin_token}"}
            async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as client:
                sent = traces()
                copies = {tenant: 3 if tenant == "duplicates" else 1 for tenant in sent}
                await asyncio.gather(*(send(client, each, trace, copies=copies[each]) for each, trace in sent.items()))
                async with asyncio.timeout(SETTLED_SECONDS_MAX):
                    while (await client.get("/v1/actions")).json()["items"]:
                        await asyncio.sleep(PAUSE_SECONDS)
        finally:
            assert await asyncio.to_thread(service.stop) == 0
        lines = await asyncio.to_thread(exported, service.data_dir)
    verify(lines, {})
    reached = [Webhook(SECRET).verify(request.body, request.headers)["data"] for request in receiver.requests]
    by_tenant = {tenant: [body for body in map(_body, lines) if body["tenant"] == tenant] for tenant in sent}
    for tenant, receipts in by_tenant.items():
        asked = [at for at, event in _events(receipts) if event["type"] == "ActionRequested"]
        model = Model(BOUNDS)
        model.take(receipts)
        assert asked == model.requested, tenant
        assert sum(event["type"] == "SignalObserved" for _, event in _events(receipts)) == len(sent[tenant]), tenant
        assert all(later - earlier >= BOUNDS.cooldown for earlier, later in pairwise(asked))
        assert _most_in_flight(receipts) <= 1
        assert [each["tenant"] for each in reached].count(tenant) == len(asked), tenant
    counted = {tenant: sum(each["tenant"] == tenant for each in reached) for tenant in sent}
    assert counted["daily"] == 0
    assert all(count >= 1 for tenant, count in counted.items() if tenant != "daily"), counted


def _body(line: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(line)["receipt"]
    return body


def _events(receipts: Iterable[dict[str, Any]]) -> list[tuple[datetime, dict[str, Any]]]:
    return [(datetime.fromisoformat(each["time"]), event) for each in receipts for event in each["events"]]


def _most_in_flight(receipts: Iterable[dict[str, Any]]) -> int:
    most = now = 0
    for _, event in _events(receipts):
        now += {"ActionRequested": 1, "ActionSettled": -1}.get(event["type"], 0)
        most = max(most, now)
    return most
