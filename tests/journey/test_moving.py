"""
Ledgers move by export and import between every two stores, both ways, and the service goes on in their new place.

It runs once, not once a store: it starts what it needs of all three.
"""

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.engines import firestore, postgresql
from tests.journey.service import Service
from tests.journey.standstill import until
from tests.journey.test_command_line import COMMAND, SECONDS_MAX, documents, tai
from tests.unit.cli.exports import exported, ledger

pytestmark = pytest.mark.embedded

CIRCUIT: Final = ("sqlite", "postgresql", "firestore", "sqlite", "firestore", "postgresql", "sqlite")
"""Every two stores stand next to each other, in either order."""
TENANTS: Final = ("acme", "bob", "carol")
CALLS: Final = 60
"""Of one tenant in each place: more than a snapshot apart."""
ENTITLED_SECONDS: Final = 3.0
"""Longer than a service needs to stop, and not longer than a move takes."""
FAR: Final = "2099-01-01T00:00:00Z"
PLANS: Final = "plans:\n  gold: {{rank: {place}, features: [health], quotas: {{}}, on_stale: deny}}\n"

NewStore = Callable[[str], dict[str, str]]


@pytest.fixture
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> NewStore:
    """The environment of a fresh store of the engine."""

    def made(engine: str) -> dict[str, str]:
        match engine:
            case "sqlite":
                return {"STORE_URL": f"sqlite:///{tmp_path}/store-{len(list(tmp_path.glob('store-*.db')))}.db"}
            case "postgresql":
                cluster: postgresql.Cluster = request.getfixturevalue("cluster")
                return {"STORE_URL": cluster.url(cluster.database())}
            case _:
                address = firestore.emulator().address
                return {"STORE_URL": f"firestore://{firestore.new_project()}", "FIRESTORE_EMULATOR_HOST": address}

    return made


class Life:
    """What the service does in each place with the same tenants: all that a ledger can hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = 0
        self._answered: dict[str, tuple[dict[str, Any], str]] = {}
        """Commands that every later place must answer as the first did, each with its receipt's hash, by key."""

    def go_on(self, store: dict[str, str]) -> None:
        """Until the timers that the last place set are decided, old commands repeated, and everything done again."""
        plans = self._folder / "plans.yaml"
        plans.write_text(PLANS.format(place=self._place + 1))
        environ = {**store, "PLANS_FILE": str(plans), "TAI_SNAPSHOT_RECEIPTS": "50", "TAI_TIMER_POLL_SECONDS": "0.1"}
        with Service(self._folder, environ=environ) as service, service.client() as client:
            for tenant in TENANTS if self._place else ():
                until(partial(self._expired, client, tenant, plans), what="a timer that was set in the last place")
            for key, (body, hash_) in self._answered.items():
                again = client.post("/marketplace", json=body, headers={"Idempotency-Key": key})
                assert (again.status_code, again.json()["hash"]) == (200, hash_)
            self._place += 1
            for tenant in TENANTS:
                self._live(client, tenant)
            for number in range(CALLS):
                self._post(client, "acme", "verify", f"call-{number}")
            soon = (datetime.now(UTC) + timedelta(seconds=ENTITLED_SECONDS)).isoformat()
            for tenant in TENANTS:
                self._post(client, tenant, "grant", "soon", entitlement_id=self._soon(), plan="gold", expires_at=soon)

    def _live(self, client: httpx.Client, tenant: str) -> None:
        """A timer of the far future, parts that stay and one that goes, and a refusal."""
        self._post(client, tenant, "grant", "g", plan="gold", expires_at=FAR, metadata={"a": "Zoë"})
        gone = self._post(client, tenant, "verify", "v", metadata={"who": "Zoë"})
        part = {"seq": gone, "part": "metadata", "reason": "asked"}
        erased = client.post(f"/v1/tenants/{tenant}/erasures", json=part)
        assert erased.status_code == 200, erased.text
        refused = client.post("/marketplace", json=self._body(tenant, "resume"))
        assert refused.json()["reason"] == "invalid_transition"

    def _post(self, client: httpx.Client, tenant: str, action: str, number: str, **members: object) -> int:
        key, body = f"{self._place}/{tenant}/{number}", {**self._body(tenant, action), **members}
        answer = client.post("/marketplace", json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 200, answer.text
        if number in ("v", f"call-{CALLS - 1}"):
            self._answered[key] = body, answer.json()["hash"]
        seq: int = answer.json()["receipt"]["seq"]
        return seq

    def _body(self, tenant: str, action: str) -> dict[str, Any]:
        return {"tenant_id": tenant, "entitlement_id": f"ent_{self._place}", "action": action}

    def _soon(self) -> str:
        return f"soon_{self._place}"

    def _expired(self, client: httpx.Client, tenant: str, plans: Path) -> bool:
        """Decided here: no other place has these plans."""
        about = {"subject": f"entitlement/{self._soon()}"}
        *_, last = client.get(f"/v1/tenants/{tenant}/receipts", params=about).json()["items"]
        decided_here = last["receipt"]["policy"] == sha256(plans.read_bytes()).hexdigest()
        return decided_here and last["receipt"]["events"][0]["type"] == "EntitlementExpired"


@pytest.mark.timeout(300)
def test_ledgers_move_between_every_two_stores_and_their_lives_go_on(tmp_path: Path, new_store: NewStore) -> None:
    life, store = Life(tmp_path), new_store(CIRCUIT[0])
    life.go_on(store)
    for place, engine in enumerate(CIRCUIT[1:], start=1):
        out, back, there = tmp_path / f"{place}.jsonl", tmp_path / f"{place}-back.jsonl", new_store(engine)
        (written,) = documents(tai("receipts", "export", "-o", out, "--json", **store))
        (moved,) = documents(tai("receipts", "import", out, "--json", **there))
        assert (len(moved["ledgers"]), moved["appended"], moved["held"]) == (len(TENANTS), written["receipts"], 0)
        heads = [f"--head={each['tenant']}={each['head']['hash']}" for each in moved["ledgers"]]
        assert all(
            each["trusted"] == "given" for each in documents(tai("receipts", "verify", "--json", *heads, **there))
        )
        assert all(each["agrees"] for each in documents(tai("receipts", "replay", "--json", **there)))
        documents(tai("receipts", "export", "-o", back, "--json", **there))
        assert back.read_bytes() == out.read_bytes(), "bodies, parts and plans are what they were"
        life.go_on(there)
        store = there


# ---- ended early


def kill_while_importing(file: Path, store: dict[str, str]) -> None:
    """Kill -9 once it has taken up a good part of the file through a pipe that then gives no more."""
    command = [*COMMAND, "receipts", "import", "-"]
    text = file.read_bytes()
    importing = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env={**os.environ, **store})
    assert importing.stdin is not None
    importing.stdin.write(text[: len(text) * 9 // 10])
    importing.stdin.flush()
    until(lambda: tai("tenants", "list", "--json", **store).stdout != "", what="something is stored")
    importing.kill()
    importing.communicate()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "firestore"])
def test_an_import_that_was_killed_goes_on_and_what_is_cut_or_wrong_loses_nothing(
    tmp_path: Path, new_store: NewStore, engine: str
) -> None:
    store = new_store(engine)
    whole = exported(tmp_path / "whole.jsonl", *(ledger(f"t{number:02}", 140) for number in range(40)))
    kill_while_importing(whole, store)
    begun = sum(each["seq"] for each in documents(tai("tenants", "list", "--json", **store)))
    assert begun > 0

    text = whole.read_bytes()
    wrong = tmp_path / "wrong.jsonl"
    for damaged in (text[: len(text) // 3], text.replace(b"EntitlementVerified", b"EntitlementVerifiee", 1)):
        wrong.write_bytes(damaged)
        refused = tai("receipts", "import", wrong, **store)
        assert refused.returncode == 1, refused.stderr
        assert "line" in refused.stderr or "broken" in refused.stderr or "receipt" in refused.stderr
        assert sum(each["seq"] for each in documents(tai("tenants", "list", "--json", **store))) >= begun

    (done,) = documents(tai("receipts", "import", whole, "--json", **store))
    assert (done["appended"] + done["held"], done["held"] >= begun) == (40 * 140, True)
    documents(tai("receipts", "export", "-o", tmp_path / "back.jsonl", "--json", **store))
    assert (tmp_path / "back.jsonl").read_bytes() == text


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "firestore"])
def test_an_export_that_was_killed_goes_on(tmp_path: Path, new_store: NewStore, engine: str) -> None:
    store = new_store(engine)
    whole = exported(tmp_path / "whole.jsonl", *(ledger(f"t{number:02}", 300) for number in range(20)))
    documents(tai("receipts", "import", whole, "--json", **store))
    file, part = tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
    command = [*COMMAND, "receipts", "export", "-o", str(file)]
    exporting = subprocess.Popen(command, env={**os.environ, **store}, stderr=subprocess.DEVNULL)
    until(lambda: file.exists() or (part.exists() and part.stat().st_size > 0), what="something is written")
    exporting.kill()
    exporting.wait(SECONDS_MAX)
    documents(tai("receipts", "export", "-o", file, "--json", **store))
    assert file.read_bytes() == whole.read_bytes()
    assert not part.exists()
