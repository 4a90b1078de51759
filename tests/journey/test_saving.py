"""A service is backed up under load, killed and lost: what was answered before the backup comes back, and says so."""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.test_command_line import documents, tai

from tai_autonomics.ledger.chain import verify

pytestmark = pytest.mark.embedded

TENANTS = [f"tenant-{number}" for number in range(6)]
SENDERS = 12
ANSWERS_BEFORE = 200


def granted(service: Service) -> None:
    with service.client() as client:
        for tenant in TENANTS:
            grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "enterprise"}
            assert client.post("/marketplace", json={**grant, "metadata": {"who": "Zoë"}}).status_code == 200


async def backed_up_under_load_and_killed(service: Service) -> tuple[dict[str, str], dict[str, Any]]:
    """The hash of each command that was answered before the backup began, by its key, and what the backup says."""
    answered: dict[str, str] = {}
    keys, enough = itertools.count(), asyncio.Event()

    async def sender(client: httpx.AsyncClient) -> None:
        while True:
            key = next(keys)
            body = {"operation": "consume", "quota": "api_calls", "amount": 1, "request_id": f"k{key}"}
            try:
                reply = await client.post(f"/v1/tenants/{TENANTS[key % len(TENANTS)]}/usage", json=body)
            except httpx.HTTPError:
                return
            assert reply.status_code == 200
            answered[f"k{key}"] = reply.json()["hash"]
            if len(answered) >= ANSWERS_BEFORE:
                enough.set()

    headers = {"Authorization": f"Bearer {service.admin_token}"}
    limits = httpx.Limits(max_connections=SENDERS)
    async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30, limits=limits) as client:
        senders = [asyncio.create_task(sender(client)) for _ in range(SENDERS)]
        await enough.wait()
        before = dict(answered)
        (made,) = documents(await asyncio.to_thread(tai, "backup", "--json", "--data-dir", service.data_dir))
        assert len(answered) > len(before), "the service answered on beside the backup"
        service.kill()
        await asyncio.gather(*senders)
    return before, made


def test_what_was_answered_before_a_backup_under_load_is_there_after_a_kill_and_a_restore(tmp_path: Path) -> None:
    service, place = Service(tmp_path), ("--data-dir", tmp_path)
    granted(service.start())
    before, made = asyncio.run(backed_up_under_load_and_killed(service))
    for name in ("tai.db", "tai.db-wal", "tai.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (restored,) = documents(tai("restore", "--json", *place))
    assert (restored["ledgers"], restored["receipts"]) == (len(TENANTS), made["receipts"])

    with service, service.client() as client:
        for number, (key, hash_) in enumerate(sorted(before.items())):
            tenant = TENANTS[int(key[1:]) % len(TENANTS)]
            body = {"operation": "consume", "quota": "api_calls", "amount": 1, "request_id": key}
            if number % 10 == 0:
                assert client.post(f"/v1/tenants/{tenant}/usage", json=body).json()["hash"] == hash_
        for tenant in TENANTS:
            fresh = {"operation": "consume", "quota": "api_calls", "amount": 1, "request_id": "after"}
            assert client.post(f"/v1/tenants/{tenant}/usage", json=fresh).status_code == 200
    lines = exported(tmp_path)
    assert len(verify(lines, {})) == len(TENANTS)
    receipts = [json.loads(line) for line in lines]
    stored = {each["receipt"]["cause"]["id"].rpartition(":")[2]: each["hash"] for each in receipts}
    assert {key: stored.get(key) for key in before} == before
    for tenant in TENANTS:
        *_, said, after = [each["receipt"] for each in receipts if each["receipt"]["tenant"] == tenant]
        head = {"seq": said["seq"] - 1, "hash": said["prev"]}
        assert said["events"] == [{"type": "LedgerRestored", "head": head}]
        assert after["events"][0]["type"] == "QuotaConsumed"


def test_a_part_that_was_erased_after_a_backup_stays_erased_when_that_backup_is_restored(tmp_path: Path) -> None:
    place = ("--data-dir", tmp_path)
    with Service(tmp_path) as service:
        granted(service)
        (older,) = documents(tai("backup", "--json", *place))
        with service.client() as client:
            for tenant in TENANTS:
                erasure = client.post(f"/v1/tenants/{tenant}/erasures", json={"seq": 1, "part": "metadata"})
                assert erasure.status_code == 200, erasure.text
        documents(tai("backup", "--json", *place))
        service.kill()
    (tmp_path / "tai.db").unlink()
    (restored,) = documents(tai("restore", older["manifest"], "--json", *place))
    assert restored["erased"] == len(TENANTS)
    assert "Zoë".encode() not in (tmp_path / "tai.db").read_bytes()
    assert tai("receipts", "verify", "-q", *place).returncode == 0
    (drilled,) = documents(tai("backup", "drill", "--json", *place))
    assert drilled["met"]
