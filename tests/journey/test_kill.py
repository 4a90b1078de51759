"""kill -9 at random moments under load: every answered 200 is there, every chain verifies, no command twice."""

import asyncio
import itertools
import json
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.sizes import size

from tai_autonomics.ledger.chain import verify

TENANTS = [f"tenant-{number}" for number in range(8)]
SENDERS = 16


async def send_until_killed(service: Service, keys: "itertools.count[int]", seconds: float) -> dict[str, str]:
    """Consume under load for some seconds, kill the process meanwhile; the hash of each answered command by its key."""
    answered: dict[str, str] = {}
    unanswered: list[tuple[str, str]] = []
    headers = {"Authorization": f"Bearer {service.admin_token}"}

    async def sender(client: httpx.AsyncClient) -> None:
        while True:
            key = f"k{next(keys)}"
            tenant = random.choice(TENANTS)
            body = {"operation": "consume", "quota": "api_calls", "amount": 1, "request_id": key}
            try:
                reply = await client.post(f"/v1/tenants/{tenant}/usage", json=body)
            except httpx.HTTPError:
                unanswered.append((tenant, key))
                return
            if reply.status_code == 200:
                answered[key] = reply.json()["hash"]

    limits = httpx.Limits(max_connections=SENDERS)
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30, limits=limits) as client:
        senders = [asyncio.create_task(sender(client)) for _ in range(SENDERS)]
        await asyncio.wait(senders, timeout=seconds)
        service.kill()
        await asyncio.gather(*senders)
    return answered


@pytest.mark.timeout(3600)
def test_nothing_answered_is_lost_and_nothing_is_done_twice_when_the_process_is_killed(tmp_path: Path) -> None:
    service, keys, answered = Service(tmp_path), itertools.count(), dict[str, str]()
    with service.start().client() as client:
        for tenant in TENANTS:
            grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "enterprise"}
            assert client.post("/marketplace", json=grant).status_code == 200
    kills = size(short=8, full=200)
    for _ in range(kills):
        answered |= asyncio.run(send_until_killed(service, keys, random.uniform(0.05, 0.6)))
        service.start()
    service.stop()

    lines = exported(tmp_path)
    assert len(verify(lines, {})) == len(TENANTS)
    receipts = [json.loads(line) for line in lines]
    ids = Counter((each["receipt"]["tenant"], each["receipt"]["cause"]["id"]) for each in receipts)
    assert max(ids.values()) == 1
    stored = {each["receipt"]["cause"]["id"].rpartition(":")[2]: each["hash"] for each in receipts}
    assert {key: stored.get(key) for key in answered} == answered
    assert len(answered) >= kills
    for tenant in TENANTS:
        of_tenant = [
            event for each in receipts if each["receipt"]["tenant"] == tenant for event in each["receipt"]["events"]
        ]
        used = [event["used"] for event in of_tenant if event["type"] == "QuotaConsumed"]
        assert used == list(range(1, len(used) + 1))
