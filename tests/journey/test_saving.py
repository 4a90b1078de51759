"""A service is backed up under load, killed and lost: what was answered before the backup comes back, and says so."""

import asyncio
import itertools
import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
from tests.journey import stores
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.test_command_line import documents
from tests.journey.test_command_line import tai as command

from tai_autonomics.ledger.chain import verify

TENANTS = [f"tenant-{number}" for number in range(6)]
SENDERS = 12
ANSWERS_BEFORE = 200


def tai(data_dir: Path, *arguments: str | Path) -> CompletedProcess[str]:
    return command(*arguments, "--data-dir", data_dir, **stores.environ_of(data_dir))


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
        (made,) = documents(await asyncio.to_thread(tai, service.data_dir, "backup", "--json"))
        assert len(answered) > len(before), "the service answered on beside the backup"
        service.kill()
        await asyncio.gather(*senders)
    return before, made


def test_what_was_answered_before_a_backup_under_load_is_there_after_a_kill_and_a_restore(tmp_path: Path) -> None:
    service = Service(tmp_path)
    granted(service.start())
    before, made = asyncio.run(backed_up_under_load_and_killed(service))
    stores.lose(tmp_path)
    (restored,) = documents(tai(tmp_path, "restore", "--json"))
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
    with Service(tmp_path) as service:
        granted(service)
        (older,) = documents(tai(tmp_path, "backup", "--json"))
        with service.client() as client:
            for tenant in TENANTS:
                erasure = client.post(f"/v1/tenants/{tenant}/erasures", json={"seq": 1, "part": "metadata"})
                assert erasure.status_code == 200, erasure.text
        documents(tai(tmp_path, "backup", "--json"))
        service.kill()
    stores.lose(tmp_path)
    (restored,) = documents(tai(tmp_path, "restore", older["manifest"], "--json"))
    assert restored["erased"] == len(TENANTS)
    assert not stores.holds(tmp_path, "Zoë")
    assert tai(tmp_path, "receipts", "verify", "-q").returncode == 0
    (drilled,) = documents(tai(tmp_path, "backup", "drill", "--json"))
    assert drilled["met"]


def test_a_part_that_was_erased_after_the_last_backup_stays_erased_where_backups_have_a_directory(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    with Service(tmp_path, environ={"TAI_BACKUPS_DIR": str(kept)}) as service:
        granted(service)
        documents(tai(tmp_path, "backup", "--json", "--backups", kept))
        with service.client() as client:
            for tenant in TENANTS:
                erasure = client.post(f"/v1/tenants/{tenant}/erasures", json={"seq": 1, "part": "metadata"})
                assert erasure.status_code == 200, erasure.text
        service.kill()
    stores.lose(tmp_path)
    (restored,) = documents(tai(tmp_path, "restore", "--json", "--backups", kept))
    assert restored["erased"] == len(TENANTS)
    assert not stores.holds(tmp_path, "Zoë")


def test_what_was_erased_once_a_hold_was_released_is_erased_again_though_the_backup_is_of_before(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    with Service(tmp_path, environ={"TAI_BACKUPS_DIR": str(kept)}) as service, service.client() as client:
        granted(service)
        held = client.post(f"/v1/tenants/{TENANTS[0]}/holds", json={"scope": "erasure", "evidence": "urn:case:3"})
        hold = held.json()["receipt"]["subject"]["id"]
        documents(tai(tmp_path, "backup", "--json", "--backups", kept))
        assert client.post(f"/v1/tenants/{TENANTS[0]}/holds/{hold}/release").status_code == 200
        for tenant in TENANTS:
            erasure = client.post(f"/v1/tenants/{tenant}/erasures", json={"seq": 1, "part": "metadata"})
            assert erasure.status_code == 200, erasure.text
        service.kill()
    stores.lose(tmp_path)
    (restored,) = documents(tai(tmp_path, "restore", "--json", "--backups", kept))
    assert restored["erased"] == len(TENANTS)
    assert not stores.holds(tmp_path, "Zoë")
    with service, service.client() as client:
        shown = client.get(f"/v1/tenants/{TENANTS[0]}").json()["compliance"]
        assert [each["hold_id"] for each in shown["holds"]] == [hold]


def test_nothing_is_restored_while_a_service_runs_and_all_of_it_afterwards(tmp_path: Path) -> None:
    with Service(tmp_path) as service:
        granted(service)
        documents(tai(tmp_path, "backup", "--json"))
        refused = tai(tmp_path, "restore", "--replace")
        assert (refused.returncode, refused.stdout) == (69, "")
        with service.client() as client:
            grant = {"tenant_id": TENANTS[0], "entitlement_id": "ent_1", "action": "verify"}
            assert client.post("/marketplace", json=grant).status_code == 200
    (restored,) = documents(tai(tmp_path, "restore", "--replace", "--json"))
    assert restored["aside"]
    with service, service.client() as client:
        receipts = client.get(f"/v1/tenants/{TENANTS[0]}/receipts").json()["items"]
        assert [receipt["receipt"]["events"][0]["type"] for receipt in receipts] == [
            "EntitlementGranted",
            "LedgerRestored",
        ]
