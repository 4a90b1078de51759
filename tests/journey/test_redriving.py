"""What a tenant's own limit kept from being decided is decided later by itself, once, whatever happens in between."""

import base64
import json
import time
from collections import Counter
from pathlib import Path

import httpx
from tests.journey.ledgers import exported
from tests.journey.service import Service

from tai_autonomics.ledger.chain import verify

ONE_A_SECOND = {"TAI_TENANT_RATE_PER_SECOND": "1"}
COMMANDS = 5


def pushed_over_the_rate(client: httpx.Client, tenant: str, number: int) -> list[str]:
    """The ids of the message's commands, most of which the rate left undecided."""
    grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "free"}
    verify = {"tenant_id": tenant, "entitlement_id": "ent_1"}
    data = base64.b64encode(json.dumps([grant] + [verify] * (COMMANDS - 1)).encode()).decode()
    envelope = {"message": {"data": data, "messageId": str(number)}, "subscription": "s"}
    reply = client.post("/pubsub", json=envelope)
    assert reply.status_code == 200
    assert reply.json()["quarantined"]["reason"] == "rate_limited"
    assert [item["status"] for item in reply.json()["items"]].count(429) == COMMANDS - 1
    return [f"pubsub:s:{number}/{index}" for index in range(COMMANDS)]


def until_decided(data_dir: Path, tenant: str, ids: list[str], *, seconds: float = 20) -> None:
    """Read beside the service, as the tenant has no rate left to ask."""
    deadline = time.monotonic() + seconds
    while not set(ids) <= set(decided(data_dir, tenant)):
        assert time.monotonic() < deadline, f"decided within {seconds} s: {decided(data_dir, tenant)}"
        time.sleep(0.1)


def decided(data_dir: Path, tenant: str) -> list[str]:
    receipts = [json.loads(line)["receipt"] for line in exported(data_dir)]
    return [each["cause"]["id"] for each in receipts if each["tenant"] == tenant]


def test_a_message_over_its_tenants_rate_is_decided_once_by_itself_and_after_a_kill(tmp_path: Path) -> None:
    service = Service(tmp_path, environ=ONE_A_SECOND)
    with service.start().client() as client:
        first = pushed_over_the_rate(client, "acme", 1)
        until_decided(tmp_path, "acme", first)
        second = pushed_over_the_rate(client, "beta", 2)
    service.kill()
    assert not set(second) <= set(decided(tmp_path, "beta"))
    with service:
        until_decided(tmp_path, "beta", second)
    for tenant, ids in (("acme", first), ("beta", second)):
        assert Counter(decided(tmp_path, tenant)) == Counter(ids)
    assert len(verify(exported(tmp_path), {})) == 2
