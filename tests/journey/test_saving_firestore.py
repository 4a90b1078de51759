"""A Firestore database that its engine's own means have brought back elsewhere is made fit, switched to, and serves."""

import json
import urllib.request
from hashlib import sha256
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tests.engines import firestore
from tests.journey.service import Service
from tests.journey.test_command_line import documents
from tests.journey.test_command_line import tai as command

# On the emulator always, whatever store the other journeys run on.
pytestmark = pytest.mark.embedded

TENANTS = [f"tenant-{number}" for number in range(3)]
CONSUME = {"operation": "consume", "quota": "api_calls", "amount": 1}


class Database:
    """One of the emulator's, as STORE_URL names it."""

    def __init__(self) -> None:
        self.project, self.address = firestore.new_project(), firestore.emulator().address
        self.url = f"firestore://{self.project}"
        self.environ = {"STORE_URL": self.url, "FIRESTORE_EMULATOR_HOST": self.address}

    def export(self, folder: Path) -> Path:
        """By the emulator's own means; the file that an import names."""
        self._ask("export", export_directory=str(folder), export_name="export")
        return folder / "export" / "export.overall_export_metadata"

    def take(self, exported: Path) -> None:
        self._ask("import", export_directory=str(exported))

    def _ask(self, verb: str, **asked: str) -> None:
        asked["database"] = f"projects/{self.project}/databases/(default)"
        url = f"http://{self.address}/emulator/v1/projects/{self.project}:{verb}"
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(asked).encode(), headers)) as answer:
            assert answer.status == 200

    def tai(self, data_dir: Path, *arguments: str | Path) -> CompletedProcess[str]:
        return command(*arguments, "--data-dir", data_dir, **self.environ)


def spent(service: Service, key: str) -> dict[str, str]:
    """The hash of each tenant's receipt."""
    with service.client() as client:
        replies = {t: client.post(f"/v1/tenants/{t}/usage", json={**CONSUME, "request_id": key}) for t in TENANTS}
    assert {reply.status_code for reply in replies.values()} == {200}
    return {tenant: reply.json()["hash"] for tenant, reply in replies.items()}


def exported_and_lost(live: Database, folder: Path) -> tuple[Path, dict[str, str]]:
    """An export, and what was answered before it; then parts are erased and listed, and the service is killed."""
    with Service(folder, environ=live.environ) as service:
        with service.client() as client:
            for tenant in TENANTS:
                grant = {"tenant_id": tenant, "entitlement_id": "ent_1", "action": "grant", "plan": "enterprise"}
                assert client.post("/marketplace", json={**grant, "metadata": {"who": "Zoë"}}).status_code == 200
        answered = spent(service, "before")
        exported = live.export(folder)
        with service.client() as client:
            for tenant in TENANTS[:2]:
                erasure = client.post(f"/v1/tenants/{tenant}/erasures", json={"seq": 1, "part": "metadata"})
                assert erasure.status_code == 200, erasure.text
        spent(service, "lost")
        (listed,) = documents(live.tai(folder, "backup", "--erasures-only", "--json"))
        assert (listed["named"], listed["erasures"]) == (2, 2)
        service.kill()
    return exported, answered


def lines_of(database: Database, folder: Path, tenant: str) -> list[dict[str, Any]]:
    return documents(database.tai(folder, "receipts", "export", "-t", tenant))


def test_an_export_that_another_database_takes_is_made_fit_and_serves(tmp_path: Path) -> None:
    live, restored = Database(), Database()
    exported, answered = exported_and_lost(live, tmp_path)
    restored.take(exported)
    (fit,) = documents(restored.tai(tmp_path, "restore", "--in-place", "--json"))
    assert (fit["ledgers"], fit["receipts"], fit["erased"]) == (3, 6, 2)

    with Service(tmp_path, environ=restored.environ) as service:
        assert spent(service, "before") == answered
        spent(service, "after")
    for tenant in TENANTS:
        lines = lines_of(restored, tmp_path, tenant)
        types = [line["receipt"]["events"][0]["type"] for line in lines]
        erased = ["PartErased"] if tenant in TENANTS[:2] else []
        assert types == ["EntitlementGranted", "QuotaConsumed", "LedgerRestored", *erased, "QuotaConsumed"]
        assert ("parts" in lines[0]) == (tenant not in TENANTS[:2])
    assert restored.tai(tmp_path, "receipts", "verify", "-q").returncode == 0


def test_making_fit_that_was_cut_short_says_nothing_twice_when_it_is_repeated(tmp_path: Path) -> None:
    live, restored = Database(), Database()
    exported, _ = exported_and_lost(live, tmp_path)
    restored.take(exported)
    # What a run that was cut short after its last word leaves.
    left = tmp_path / "backups" / f"restoring-{sha256(restored.url.encode()).hexdigest()[:16]}"
    for _ in range(2):
        left.write_text("20261124T023000.123456Z")
        done = restored.tai(tmp_path, "restore", "--in-place", "-q")
        assert done.returncode == 0, done.stderr
        assert not left.exists()
    for tenant in TENANTS:
        types = [line["receipt"]["events"][0]["type"] for line in lines_of(restored, tmp_path, tenant)]
        assert types.count("LedgerRestored") == 1


def test_an_export_that_was_changed_is_not_made_fit(tmp_path: Path) -> None:
    live, restored = Database(), Database()
    exported, _ = exported_and_lost(live, tmp_path)
    (output,) = exported.parent.rglob("output-0")
    # As long as before, so that the file's own frames stay whole.
    changed = output.read_bytes().replace(b'"plan":"enterprise"', b'"plan":"enterprisf"')
    output.write_bytes(changed)
    restored.take(exported)
    done = restored.tai(tmp_path, "restore", "--in-place")
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "receipt 1 of tenant-" in done.stderr
    assert all(len(lines_of(live, tmp_path, tenant)) == 4 + (tenant in TENANTS[:2]) - 1 for tenant in TENANTS)


def test_what_only_the_engine_can_copy_is_said_in_one_line(tmp_path: Path) -> None:
    for arguments in (("backup",), ("restore",), ("backup", "drill")):
        (tmp_path / "backups").mkdir(exist_ok=True)
        done = Database().tai(tmp_path, *arguments)
        assert done.returncode in (1, 69)
        assert done.stderr.count("\n") == 1
    assert "deploy/firestore" in Database().tai(tmp_path, "backup").stderr
