"""One tenant from its first request to its end, over real HTTP, through a restart, to an independent verifier."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from tests.journey.service import Service
from tests.journey.stores import environ_of

VERIFIER = Path(__file__).parent.parent / "independent_verifier.py"


def marketplace(client: httpx.Client, key: str, **body: object) -> httpx.Response:
    return client.post(
        "/marketplace", json={"tenant_id": "acme", "entitlement_id": "ent_1", **body}, headers={"Idempotency-Key": key}
    )


def cli(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = environ_of(service.data_dir)
    command = [sys.executable, "-m", "tai_autonomics", *arguments, "--store", environ["STORE_URL"]]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environ}
    )


def until_a_timer_was_decided(client: httpx.Client, *, seconds: float = 15) -> dict[str, Any]:
    """The newest receipt of acme, once time itself has caused it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        receipt: dict[str, Any] = client.get("/v1/tenants/acme/receipts/head").json()["receipt"]
        if receipt["cause"]["kind"] == "timer":
            return receipt
    raise AssertionError(f"no timer within {seconds} s: {receipt}")


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_the_checklists_two_calls_answer_as_documented(tmp_path: Path) -> None:
    with Service(tmp_path) as service, service.client() as client:
        verify = {"tenant_id": "test", "entitlement_id": "ent_1"}

        refused = client.post("/marketplace", json=verify)
        assert refused.status_code == 403
        assert refused.json()["reason"] == "entitlement_inactive"
        assert refused.headers["receipt-hash"] == refused.json()["hash"]

        envelope = client.post("/pubsub", json={"message": {"data": "dGVzdA=="}})
        assert (envelope.status_code, envelope.json()["reason"]) == (400, "malformed_envelope")

        granted = client.post("/marketplace", json={**verify, "action": "grant", "plan": "professional"})
        assert granted.status_code == 200
        assert client.post("/marketplace", json=verify).status_code == 200

        with service.client("") as stranger:
            assert stranger.post("/marketplace", json=verify).status_code == 401
            assert stranger.get("/health").json()["status"] == "ok"


def test_a_whole_life_verifies_replays_and_survives_a_restart(tmp_path: Path) -> None:
    with Service(tmp_path) as service, service.client() as client:
        steps = [
            marketplace(client, "1", action="request", plan="free"),
            marketplace(client, "2", action="grant", metadata={"order": "O-1"}, reason="first order"),
            marketplace(client, "3", action="change_plan", plan="professional"),
            marketplace(client, "4", action="suspend"),
            marketplace(client, "5", action="resume"),
            marketplace(client, "6", action="renew", expires_at=soon(3600)),
            marketplace(client, "7", action="cancel"),
            marketplace(client, "8", action="reinstate"),
            marketplace(client, "9", action="cancel", effective_at=soon(3)),
        ]
        assert [step.status_code for step in steps] == [200] * 9
        assert steps[-1].json()["receipt"]["decision"]["to"] == "pending_cancellation"
        replayed = marketplace(client, "2", action="grant", metadata={"order": "another"})
        assert replayed.headers["idempotent-replayed"] == "true"
        assert replayed.json()["receipt"] == steps[1].json()["receipt"]
        assert marketplace(client, "2", action="suspend").json()["reason"] == "idempotency_key_reused"
        assert service.stop() == 0

    with Service(tmp_path) as service, service.client() as client:
        assert until_a_timer_was_decided(client)["events"][0]["type"] == "EntitlementCancelled"
        assert client.get("/v1/tenants/acme").json()["entitlements"][0]["status"] == "cancelled"
        receipts = client.get("/v1/tenants/acme/receipts?limit=1000").json()["items"]
        assert receipts[1]["parts"]["metadata"]["text"].replace(" ", "") == '{"order":"O-1"}'

        second = {"tenant_id": "acme", "entitlement_id": "ent_2", "action": "grant", "plan": "free"}
        assert client.post("/marketplace", json={**second, "expires_at": soon(2)}).status_code == 200
        assert until_a_timer_was_decided(client)["events"][0]["type"] == "EntitlementExpired"

        verified = cli(service, "receipts", "verify", "--tenant", "acme")
        assert verified.returncode == 0, verified.stderr
        replay = cli(service, "receipts", "replay")
        assert replay.returncode == 0, replay.stderr

        export = tmp_path / "export.jsonl"
        assert cli(service, "receipts", "export", "--output", str(export)).returncode == 0
        independent = subprocess.run(
            [sys.executable, "-I", str(VERIFIER), str(export)], capture_output=True, text=True, timeout=60, check=False
        )
        assert independent.returncode == 0, independent.stderr

        lines = export.read_text().splitlines()
        lines[3] = lines[3].replace("professional", "enterprises!")
        assert json.loads(lines[3])
        export.write_text("\n".join(lines) + "\n")
        assert cli(service, "receipts", "verify", str(export)).returncode in (1, 2)
        assert subprocess.run([sys.executable, "-I", str(VERIFIER), str(export)], check=False).returncode == 1
