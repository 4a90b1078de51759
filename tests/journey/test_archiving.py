"""A ledger is archived, killed at every step, goes on being served, and verifies from its first receipt to its head."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from tests.journey import stores
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.test_command_line import SECONDS_MAX, VERIFIER, documents
from tests.journey.test_command_line import tai as command
from tests.unit.cli.exports import exported as written
from tests.unit.cli.exports import ledger

from tai_autonomics.ledger.chain import verify

RECEIPTS = 1_200
"""More than two appends of an import on every store."""
CUT = 1_100
"""Between two appends of no store; before it are two that are whole."""
OLD = "2024-05-06T07:08:09.000000Z"
OTHER = "01JD0000000000000000000001"
STEPS = (
    "1:line:before",
    "400:line:after",
    "1:flush:before",
    "2:flush:after",
    "1:seal:before",
    "1:seal:after",
    "1:begin:before",
    "1:begin:after",
    "1:drop:after",
)


def tai(data_dir: Path, *arguments: str | Path) -> CompletedProcess[str]:
    return command(*arguments, "--data-dir", data_dir, **stores.environ_of(data_dir))


def killed(data_dir: Path, step: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.journey.killed", step, *map(str, arguments), "--data-dir", str(data_dir)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
        env={**os.environ, "TAI_METRICS_ADDRESS": "off", **stores.environ_of(data_dir)},
    )
    assert done.returncode == -signal.SIGKILL, (step, done.stderr)


@pytest.fixture
def aged(tmp_path: Path) -> Path:
    """A data directory whose store has an old ledger of acme, and one of bob that is too short to archive."""
    file = written(
        tmp_path / "given.jsonl", ledger("acme", RECEIPTS, time=OLD), ledger("bob", 20, ledger=OTHER, time=OLD)
    )
    assert tai(tmp_path, "receipts", "import", file, "-q").returncode == 0
    return tmp_path


ARCHIVE = ("receipts", "archive", "-t", "acme", "--through", str(CUT), "--at-least", "1", "--json")


def files(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "archives").glob("acme.*.jsonl"))


def whole(data_dir: Path) -> list[bytes]:
    """Acme's ledger, out of its archives and the store."""
    return [
        *(line for file in files(data_dir) for line in file.read_bytes().splitlines(keepends=True)),
        *(line for line in exported(data_dir) if b'"tenant":"acme"' in line),
    ]


def test_a_ledger_is_whole_though_archiving_was_killed_at_every_step(aged: Path) -> None:
    before = [json.loads(line)["hash"] for line in exported(aged) if b'"tenant":"acme"' in line]
    for step in STEPS:
        killed(aged, step, *ARCHIVE)
        assert tai(aged, "receipts", "verify", "-q").returncode == 0, step
        assert tai(aged, "receipts", "replay", "-q").returncode == 0, step
    # The next run drops what the last one left, and finds nothing more to archive.
    (done,) = documents(tai(aged, *ARCHIVE))
    (file,) = files(aged)
    assert (done["file"], done["first_seq"]) == (str(file), 1)
    assert 0 < done["dropped"] < done["through_seq"] <= CUT

    lines = whole(aged)
    assert [json.loads(line)["hash"] for line in lines[:RECEIPTS]] == before
    (verified,) = verify(lines, {})
    assert (verified.receipts, verified.after) == (RECEIPTS + 1, 0)
    independently = subprocess.run([sys.executable, str(VERIFIER)], input=b"".join(lines), capture_output=True)
    assert independently.returncode == 0, independently.stderr
    assert documents(tai(aged, *ARCHIVE)) == []


def test_an_archived_ledger_is_served_and_archived_again_and_its_parts_are_erased(aged: Path) -> None:
    (done,) = documents(tai(aged, *ARCHIVE))
    with Service(aged) as service, service.client() as client:
        path = "/v1/tenants/acme/receipts"
        first = client.get(path).json()["items"][0]["receipt"]
        assert (first["seq"], first["prev"]) == (done["through_seq"] + 1, done["hash"])
        assert client.get(f"{path}/1").status_code == 404
        check = client.post("/v1/tenants/acme/check", json={"feature": "health"})
        assert check.status_code == 200
        old = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "verify"}
        replayed = client.post("/marketplace", json=old, headers={"Idempotency-Key": "new"}).json()
        again = client.post("/marketplace", json=old, headers={"Idempotency-Key": "new"}).json()
        assert again["hash"] == replayed["hash"]
        for tenant in ("acme", "bob"):  # both have it
            erasure = client.post(f"/v1/tenants/{tenant}/erasures", json={"seq": 1, "part": "metadata"})
            assert erasure.status_code == 200, erasure.text
    if stores.STORE != "firestore":
        assert not stores.holds(aged, "O-1")
    further = datetime.now(UTC) - timedelta(days=90)
    (second,) = documents(tai(aged, "receipts", "archive", "-t", "acme", "--json"))
    assert second["first_seq"] == done["through_seq"] + 1
    assert second["through_seq"] <= RECEIPTS
    assert all(
        json.loads(line)["receipt"]["time"] < f"{further:%Y-%m-%d}" for line in files(aged)[1].read_text().splitlines()
    )
    lines = whole(aged)
    (verified,) = verify(lines, {})
    assert verified.receipts == RECEIPTS + 4
    assert tai(aged, "receipts", "verify", *files(aged), "-q").returncode == 0
    assert tai(aged, "receipts", "verify", "-q").returncode == 0
    assert tai(aged, "receipts", "replay", "-q").returncode == 0


@pytest.mark.skipif(stores.STORE == "sqlite", reason="SQLite has one writing process")
def test_a_running_instance_goes_on_beside_an_archive(aged: Path) -> None:
    with Service(aged) as service, service.client() as client:
        body = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "verify"}
        before = client.post("/marketplace", json=body, headers={"Idempotency-Key": "before"})
        assert before.status_code == 200
        (done,) = documents(tai(aged, *ARCHIVE))
        assert done["dropped"] == done["through_seq"]
        assert client.post("/marketplace", json=body, headers={"Idempotency-Key": "before"}).text == before.text
        after = client.post("/marketplace", json=body, headers={"Idempotency-Key": "after"})
        assert (after.status_code, after.json()["receipt"]["seq"]) == (200, RECEIPTS + 3)
    assert verify(whole(aged), {})[0].receipts == RECEIPTS + 3


@pytest.mark.skipif(stores.STORE == "firestore", reason="a Firestore database is saved by its engine's own means")
def test_an_archived_store_is_backed_up_lost_and_restored(aged: Path) -> None:
    (done,) = documents(tai(aged, *ARCHIVE))
    (made,) = documents(tai(aged, "backup", "--json"))
    assert made["receipts"] == RECEIPTS + 21 - done["through_seq"]
    stores.lose(aged)
    (restored,) = documents(tai(aged, "restore", "--json"))
    assert (restored["ledgers"], restored["receipts"]) == (2, made["receipts"])
    assert tai(aged, "receipts", "verify", "-q").returncode == 0
    assert verify(whole(aged), {})[0].receipts == RECEIPTS + 2
