"""Sixty-four consumers at a quota's limit: used equals the limit, and who is refused is told when to come back."""

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.stores import STORE

from tai_autonomics.ledger.chain import verify

CONSUMERS: Final = 64
LIMIT: Final = 500
AMOUNTS: Final = (1, 2, 3)
INSTANCES: Final = 1 if STORE == "sqlite" else 2
PLANS: Final = f"""
plans:
  bounded:
    rank: 10
    quotas:
      calls: {{limit: {LIMIT}, per: day, kind: hard}}
"""
USAGE: Final = "/v1/tenants/acme/usage"


async def consume_until_refused(client: httpx.AsyncClient, who: int) -> tuple[int, httpx.Response]:
    """What this consumer was let to consume, and its last refusal: of 1, so that nothing is left."""
    consumed, number = 0, 0
    amounts = list(AMOUNTS)
    while True:
        amount = amounts[number % len(amounts)]
        body = {"operation": "consume", "quota": "calls", "amount": amount, "request_id": f"{who}-{number}"}
        answer = await client.post(USAGE, json=body)
        number += 1
        if answer.status_code == 200:
            consumed += amount
        elif amount == 1:
            return consumed, answer
        else:
            assert answer.status_code == 429, answer.text
            amounts = [1]


async def race(services: list[Service]) -> list[tuple[int, httpx.Response]]:
    headers = {"Authorization": f"Bearer {services[0].admin_token}"}
    limits = httpx.Limits(max_connections=CONSUMERS)
    clients = [httpx.AsyncClient(base_url=each.url, headers=headers, timeout=60, limits=limits) for each in services]
    grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "bounded", "request_id": "g"}
    (await clients[0].post("/marketplace", json=grant)).raise_for_status()
    consumers = (consume_until_refused(clients[who % len(clients)], who) for who in range(CONSUMERS))
    ended = await asyncio.gather(*consumers)
    await asyncio.gather(*(client.aclose() for client in clients))
    return ended


@pytest.mark.timeout(300)
def test_what_is_used_equals_the_limit_and_refusals_can_be_followed(tmp_path: Path) -> None:
    (tmp_path / "plans.yaml").write_text(PLANS)
    environ = {"PLANS_FILE": str(tmp_path / "plans.yaml")}
    today = datetime.now(UTC).date()
    with ExitStack() as started:
        services = [started.enter_context(Service(tmp_path, environ=environ)) for _ in range(INSTANCES)]
        ended = asyncio.run(race(services))
        with services[-1].client() as client:
            (quota,) = client.get("/v1/tenants/acme").json()["quotas"]
    if datetime.now(UTC).date() != today:
        pytest.skip("the quota's day ended meanwhile: run this again")
    assert sum(consumed for consumed, _ in ended) == quota["used"] == LIMIT
    for _, refusal in ended:
        assert (refusal.status_code, refusal.json()["reason"]) == (429, "quota_exceeded")
        assert 0 < int(refusal.headers["retry-after"]) <= 86_400
        assert refusal.headers["ratelimit-policy"] == f'"calls";q={LIMIT};w=86400'
        assert refusal.headers["ratelimit"].startswith('"calls";r=0;t=')
        assert refusal.json()["violated-policies"] == ["calls"]
    verify(exported(tmp_path), {})
