"""
kill -9 at random moments under load: every answered 200 is there, every chain verifies, no command twice.

On a store that instances share there are two of them: one is killed, and the other answers on as if nothing were.
"""

import asyncio
import itertools
import json
import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.stores import STORE
from tests.sizes import size

from tai_autonomics.ledger.chain import verify

TENANTS = [f"tenant-{number}" for number in range(8)]
SENDERS = 16
INSTANCES, KILLS_MAX = (1, 200) if STORE == "sqlite" else (2, 50)


class Load:
    """Consumes without end; the hash of each answered command by its key."""

    def __init__(self) -> None:
        self.answered: dict[str, str] = {}
        self._keys = itertools.count()

    async def send(self, client: httpx.AsyncClient, until: asyncio.Event) -> None:
        """Raises httpx.HTTPError when the instance is gone."""
        while not until.is_set():
            key = f"k{next(self._keys)}"
            body = {"operation": "consume", "quota": "api_calls", "amount": 1, "request_id": key}
            reply = await client.post(f"/v1/tenants/{random.choice(TENANTS)}/usage", json=body)
            assert reply.status_code == 200, reply.text
            self.answered[key] = reply.json()["hash"]


def client_of(service: Service) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {service.admin_token}"}
    limits = httpx.Limits(max_connections=SENDERS)
    return httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30, limits=limits)


async def kill_under_load(services: list[Service], load: Load, seconds: float) -> None:
    """One is killed after so many seconds and started again; to the others the load goes on all the while."""
    victim, *others = random.sample(services, len(services))
    up_again = asyncio.Event()

    async def send_to_other(other: Service) -> None:
        async with client_of(other) as client:
            await asyncio.gather(*(load.send(client, up_again) for _ in range(SENDERS // 2)))

    async with asyncio.TaskGroup() as beside, client_of(victim) as client:
        for other in others:
            beside.create_task(send_to_other(other))
        senders = [asyncio.create_task(load.send(client, up_again)) for _ in range(SENDERS)]
        await asyncio.wait(senders, timeout=seconds)
        await asyncio.to_thread(victim.kill)
        ends = await asyncio.gather(*senders, return_exceptions=True)
        assert [end for end in ends if not isinstance(end, httpx.HTTPError)] == []
        await asyncio.to_thread(victim.start)
        up_again.set()


@pytest.mark.timeout(3600)
def test_nothing_answered_is_lost_and_nothing_is_done_twice_when_an_instance_is_killed(tmp_path: Path) -> None:
    kills, load = size(short=8, full=KILLS_MAX), Load()
    with ExitStack() as started:
        services = [started.enter_context(Service(tmp_path)) for _ in range(INSTANCES)]
        with services[0].client() as client:
            for tenant in TENANTS:
                grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "enterprise"}
                assert client.post("/marketplace", json=grant).status_code == 200
        for _ in range(kills):
            asyncio.run(kill_under_load(services, load, random.uniform(0.05, 0.6)))

    lines = exported(tmp_path)
    assert len(verify(lines, {})) == len(TENANTS)
    receipts = [json.loads(line) for line in lines]
    ids = Counter((each["receipt"]["tenant"], each["receipt"]["cause"]["id"]) for each in receipts)
    assert max(ids.values()) == 1
    stored = {each["receipt"]["cause"]["id"].rpartition(":")[2]: each["hash"] for each in receipts}
    assert {key: stored.get(key) for key in load.answered} == load.answered
    assert len(load.answered) >= kills
    for tenant in TENANTS:
        of_tenant = [
            event for each in receipts if each["receipt"]["tenant"] == tenant for event in each["receipt"]["events"]
        ]
        used = [event["used"] for event in of_tenant if event["type"] == "QuotaConsumed"]
        assert used == list(range(1, len(used) + 1))
