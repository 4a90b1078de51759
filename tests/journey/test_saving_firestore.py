"""A Firestore database that its engine's own means have brought back elsewhere is made fit, switched to, and serves."""

import base64
import json
import shutil
import urllib.request
from hashlib import sha256
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from msgspec import Struct
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

    def change_a_receipt(self, old: bytes, new: bytes) -> None:
        """In the first segment, past everything that would refuse it."""
        segment = self._segments()[0]
        packed = base64.b64decode(segment["fields"]["receipts"]["bytesValue"])
        assert old in packed
        segment["fields"]["receipts"]["bytesValue"] = base64.b64encode(packed.replace(old, new)).decode()
        self._call(segment["name"], json.dumps({"fields": segment["fields"]}).encode())

    def receipts(self) -> int:
        held = [segment["fields"] for segment in self._segments()]
        return sum(1 + int(each["last"]["integerValue"]) - int(each["first"]["integerValue"]) for each in held)

    def _segments(self) -> list[dict[str, Any]]:
        listed = self._call(f"projects/{self.project}/databases/(default)/documents/receipts?pageSize=100")
        return list(listed["documents"])

    def _call(self, path: str, body: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": "Bearer owner"}
        method = "GET" if body is None else "PATCH"
        asked = urllib.request.Request(f"http://{self.address}/v1/{path}", body, headers, method=method)
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)

    def tai(self, data_dir: Path, *arguments: str | Path) -> CompletedProcess[str]:
        return command(*arguments, "--data-dir", data_dir, **self.environ)


def spent(service: Service, key: str) -> dict[str, str]:
    """The hash of each tenant's receipt."""
    with service.client() as client:
        replies = {t: client.post(f"/v1/tenants/{t}/usage", json={**CONSUME, "request_id": key}) for t in TENANTS}
    assert {reply.status_code for reply in replies.values()} == {200}
    return {tenant: reply.json()["hash"] for tenant, reply in replies.items()}


class Lost(Struct, frozen=True):
    """What is left of a database that is lost: an export, the list of erasures, what was answered before the export."""

    exported: Path
    erasures: Path
    answered: dict[str, str]


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Lost:
    """Parts were erased after the export, and listed; then the service was killed."""
    live, folder = Database(), tmp_path_factory.mktemp("lost")
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
    return Lost(exported, folder / "backups" / "erasures.jsonl", answered)


@pytest.fixture
def restored(lost: Lost, tmp_path: Path) -> Database:
    """Another database that has taken the export."""
    database = Database()
    database.take(lost.exported)
    (tmp_path / "backups").mkdir()
    shutil.copy(lost.erasures, tmp_path / "backups")
    return database


def lines_of(database: Database, folder: Path, tenant: str) -> list[dict[str, Any]]:
    return documents(database.tai(folder, "receipts", "export", "-t", tenant))


def types_of(database: Database, folder: Path, tenant: str) -> list[str]:
    return [line["receipt"]["events"][0]["type"] for line in lines_of(database, folder, tenant)]


def test_an_export_that_another_database_takes_is_made_fit_and_serves(
    lost: Lost, restored: Database, tmp_path: Path
) -> None:
    (fit,) = documents(restored.tai(tmp_path, "restore", "--in-place", "--json"))
    assert (fit["ledgers"], fit["receipts"], fit["erased"]) == (3, 6, 2)
    with Service(tmp_path, environ=restored.environ) as service:
        assert spent(service, "before") == lost.answered
        spent(service, "after")
    for tenant in TENANTS:
        erased = ["PartErased"] if tenant in TENANTS[:2] else []
        assert types_of(restored, tmp_path, tenant) == [
            *("EntitlementGranted", "QuotaConsumed", "LedgerRestored"),
            *erased,
            "QuotaConsumed",
        ]
        assert ("parts" in lines_of(restored, tmp_path, tenant)[0]) == (not erased)
    assert restored.tai(tmp_path, "receipts", "verify", "-q").returncode == 0


def test_making_fit_that_was_cut_short_says_nothing_twice_when_it_is_repeated(
    restored: Database, tmp_path: Path
) -> None:
    # What a run that was cut short after its last word leaves.
    left = tmp_path / "backups" / f"restoring-{sha256(restored.url.encode()).hexdigest()[:16]}"
    for _ in range(2):
        left.write_text("20261124T023000.123456Z")
        done = restored.tai(tmp_path, "restore", "--in-place", "-q")
        assert done.returncode == 0, done.stderr
        assert not left.exists()
    assert types_of(restored, tmp_path, TENANTS[0])[2:] == ["LedgerRestored", "PartErased"]
    assert types_of(restored, tmp_path, TENANTS[2])[2:] == ["LedgerRestored"]


def test_a_database_in_which_a_receipt_was_changed_is_not_made_fit(restored: Database, tmp_path: Path) -> None:
    restored.change_a_receipt(b'"plan":"enterprise"', b'"plan":"enterprisf"')
    done = restored.tai(tmp_path, "restore", "--in-place")
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "receipt 1 of tenant-" in done.stderr
    assert restored.receipts() == 6, "nothing was written"


def test_what_only_the_engine_can_copy_is_said_in_one_line(tmp_path: Path) -> None:
    done = Database().tai(tmp_path, "backup")
    assert (done.returncode, done.stderr.count("\n")) == (69, 1)
    assert "deploy/firestore" in done.stderr
