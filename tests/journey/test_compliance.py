"""Holds and attestations over HTTP: from a hold's own receipt on, whoever asks and whichever instance answers."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.journey.callers import token
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.stores import STORE, environ_of
from tests.journey.test_command_line import tai

from tai_autonomics.ingress.authentication import roles_of
from tai_autonomics.ingress.routes import routes
from tai_autonomics.ledger.chain import verify

INSTANCES: Final = {"sqlite": (1,), "postgresql": (1, 2), "firestore": (1, 2)}
CLIENTS: Final = 8
ENOUGH: Final = 40
"""Answers of a kind before the operator does the next thing."""
SECONDS_MAX: Final = 60
GRANT: Final = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "enterprise"}
HELD: Final = {"QuotaConsumed", "EntitlementVerified", "EntitlementGranted", "PartErased"}
"""What a hold of all forbids, of what the clients ask for."""


def until(done: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while not (found := done()):
        assert time.monotonic() < deadline
    return found


class Crowd:
    """Clients that ask for everything, one command after another, while an operator places a hold and releases it."""

    def __init__(self, clients: list[httpx.AsyncClient]) -> None:
        self.clients, self.keys = clients, itertools.count()
        self.answers: list[tuple[str, str, int, str]] = []
        """For each: the phase that it was sent in, the one that it was answered in, its status and its receipt."""
        self.phase = "before"
        self.told = asyncio.Condition()

    async def client(self, number: int) -> None:
        client = self.clients[number % len(self.clients)]
        while self.phase != "over":
            sent = self.phase
            answer = await self.ask(client, next(self.keys))
            assert answer.status_code in (200, 403), answer.text
            async with self.told:
                self.answers.append((sent, self.phase, answer.status_code, answer.json()["hash"]))
                self.told.notify_all()

    async def ask(self, client: httpx.AsyncClient, key: int) -> httpx.Response:
        match key % 4:
            case 0:
                verify_ = {"tenant_id": "acme", "entitlement_id": "ent_1", "request_id": f"k{key}"}
                return await client.post("/marketplace", json=verify_)
            case 1:
                grant = {**GRANT, "entitlement_id": f"e{key}", "request_id": f"k{key}"}
                return await client.post("/marketplace", json=grant)
            case 2:
                return await client.post("/v1/tenants/acme/erasures", json={"seq": 1, "part": "metadata"})
            case _:
                consume = {"operation": "consume", "quota": "api_calls", "amount": 1, "request_id": f"k{key}"}
                return await client.post("/v1/tenants/acme/usage", json=consume)

    async def enough(self, status: int) -> None:
        """So many answers with the status to what was sent in this phase."""
        phase = self.phase
        async with self.told:
            await self.told.wait_for(
                lambda: sum(sent == phase and got == status for sent, _, got, _ in self.answers) >= ENOUGH
            )

    async def story(self) -> tuple[str, str]:
        """The hashes of the hold's receipt and of its release's."""
        operator = self.clients[-1]
        await self.enough(200)
        self.phase = "placing"
        hold = {"scope": "all", "evidence": "urn:case:1", "reason": "audit"}
        placed = await operator.post("/v1/tenants/acme/holds", json=hold)
        assert placed.status_code == 200, placed.text
        self.phase = "held"
        await self.enough(403)
        self.phase = "releasing"
        hold_id = placed.json()["receipt"]["subject"]["id"]
        released = await operator.post(f"/v1/tenants/acme/holds/{hold_id}/release")
        assert released.status_code == 200, released.text
        self.phase = "after"
        await self.enough(200)
        self.phase = "over"
        return placed.json()["hash"], released.json()["hash"]


async def told(services: list[Service]) -> tuple[Crowd, tuple[str, str]]:
    headers = {"Authorization": f"Bearer {services[0].admin_token}"}
    async with AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(httpx.AsyncClient(base_url=each.url, headers=headers, timeout=30))
            for each in services
        ]
        crowd = Crowd(clients)
        async with asyncio.timeout(SECONDS_MAX):
            asking = [asyncio.create_task(crowd.client(number)) for number in range(CLIENTS)]
            story = asyncio.create_task(crowd.story())
            # A client that fails ends it at once.
            await asyncio.wait([story, *asking], return_when=asyncio.FIRST_EXCEPTION)
            crowd.phase = "over"
            await asyncio.gather(*asking)
            return crowd, await story


@pytest.mark.timeout(180)
@pytest.mark.parametrize("instances", INSTANCES[STORE])
def test_every_receipt_after_a_hold_that_was_placed_amid_commands_respects_it(tmp_path: Path, instances: int) -> None:
    with ExitStack() as started:
        # One after another: the first makes the keys that all of them use.
        services = [started.enter_context(Service(tmp_path)) for _ in range(instances)]
        with services[0].client() as client:
            client.post("/marketplace", json={**GRANT, "metadata": {"who": "Zoë"}}).raise_for_status()
        crowd, (placed, released) = asyncio.run(told(services))
    lines = exported(tmp_path)
    verify(lines, {})
    shown = [json.loads(line) for line in lines]
    order = [each["hash"] for each in shown]
    first, last = order.index(placed), order.index(released)
    accepted = {"before": 0, "held": 0, "after": 0}
    refused = dict(accepted)
    for at, each in enumerate(shown):
        receipt, when = each["receipt"], "before" if at <= first else "held" if at <= last else "after"
        does = {event["type"] for event in receipt["events"]} & HELD
        accepted[when] += bool(does)
        reason = receipt.get("refusal", {}).get("reason")
        if reason == "compliance_closed":
            refused[when] += 1
            assert receipt["decision"]["gates"][-1]["evidence"]["evidence"] == ["urn:case:1"]
    assert (accepted["held"], refused["before"], refused["after"]) == (0, 0, 0)
    assert min(accepted["before"], refused["held"], accepted["after"]) >= ENOUGH // 2
    for sent, got, status, hash_ in crowd.answers:
        assert hash_ in order
        # Whoever asked once the hold was answered, and heard before its release was asked for, was refused.
        assert (sent, got, status) != ("held", "held", 200)


def held_by(client: httpx.Client, scope: str, **members: Any) -> str:
    """The id of a hold that is placed now."""
    placed = client.post("/v1/tenants/acme/holds", json={"scope": scope, "evidence": "urn:case:2", **members})
    assert placed.status_code == 200, placed.text
    hold_id: str = placed.json()["receipt"]["subject"]["id"]
    return hold_id


def soon(seconds: float) -> str:
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()


def receipts(data_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["receipt"] for line in exported(data_dir)]


def test_a_hold_expires_by_itself_though_nobody_calls_and_survives_a_restart(tmp_path: Path) -> None:
    service = Service(tmp_path, environ={"TAI_TIMER_POLL_SECONDS": "0.2"})
    with service, service.client() as client:
        client.post("/marketplace", json=GRANT).raise_for_status()
        hold = held_by(client, "all", expires_at=soon(6))
        service.kill()
    with service, service.client() as client:
        shown = client.get("/v1/tenants/acme").json()["compliance"]
        assert [each["hold_id"] for each in shown["holds"]] == [hold]
        verify_ = {"tenant_id": "acme", "entitlement_id": "ent_1"}
        refused = client.post("/marketplace", json=verify_)
        assert (refused.status_code, refused.json()["reason"]) == (403, "compliance_closed")
        expired = until(lambda: [each for each in receipts(tmp_path) if each["cause"]["kind"] == "timer"])
        assert [event["type"] for event in expired[0]["events"]] == ["HoldExpired", "RefusalEnded"]
        assert expired[0]["subject"] == {"kind": "hold", "id": hold}
        assert client.post("/marketplace", json=verify_).status_code == 200
        assert client.get("/v1/tenants/acme").json()["compliance"] == {"closed": [], "holds": [], "controls": []}


def test_what_a_hold_keeps_from_erasing_is_erased_once_it_is_released(tmp_path: Path) -> None:
    command_line = ("receipts", "erase", "-t", "acme", "--seq", "1", "--part", "metadata")
    with Service(tmp_path) as service, service.client() as client:
        client.post("/marketplace", json={**GRANT, "metadata": {"who": "Zoë"}}).raise_for_status()
        hold = held_by(client, "erasure", reason="asked by the court")
        refused = client.post("/v1/tenants/acme/erasures", json={"seq": 1, "part": "metadata"})
        assert (refused.status_code, refused.json()["reason"]) == (403, "compliance_closed")
        assert "metadata" in client.get("/v1/tenants/acme/receipts/1").json()["parts"]
        (tmp_path / "admin").write_text(service.admin_token)
        over_http = tai(*command_line, "--url", service.url, "--token-file", tmp_path / "admin")
        assert (over_http.returncode, "compliance_closed" in over_http.stderr) == (1, True)
    at_the_store = tai(*command_line, "--data-dir", tmp_path, **environ_of(tmp_path))
    assert (at_the_store.returncode, "compliance_closed" in at_the_store.stderr) == (1, True)
    with service, service.client() as client:
        assert "metadata" in client.get("/v1/tenants/acme/receipts/1").json()["parts"]
        assert client.post(f"/v1/tenants/acme/holds/{hold}/release").status_code == 200
        assert client.post("/v1/tenants/acme/erasures", json={"seq": 1, "part": "metadata"}).status_code == 200
        assert "parts" not in client.get("/v1/tenants/acme/receipts/1").json()


PLANS: Final = """
plans:
  enterprise:
    rank: 1
    requires: [dpa_signed]
    quotas:
      api_calls: {limit: 9, per: day, kind: hard}
"""


def test_a_tenant_is_served_from_the_attestation_of_what_its_plan_requires_until_that_lapses(tmp_path: Path) -> None:
    (tmp_path / "plans.yaml").write_text(PLANS)
    environ = {"PLANS_FILE": str(tmp_path / "plans.yaml"), "TAI_TIMER_POLL_SECONDS": "0.2"}
    with Service(tmp_path / "data", environ=environ) as service, service.client() as client:
        client.post("/marketplace", json=GRANT).raise_for_status()
        consume = {"operation": "consume", "quota": "api_calls", "amount": 1, "request_id": "one"}
        check = {"quota": "api_calls", "explain": True}
        closed = client.post("/v1/tenants/acme/usage", json=consume)
        assert (closed.status_code, closed.json()["reason"]) == (403, "compliance_closed")
        result = client.post("/v1/tenants/acme/check", json=check).json()["results"][0]
        assert (result["reason"], result["gates"][0]["evidence"]["controls"]) == (
            "compliance_closed",
            {"dpa_signed": "missing"},
        )
        attest = {"control": "dpa_signed", "status": "compliant", "evidence": "sha256:" + "0" * 64}
        with service.client(token(service, "auditor", subject="eve")) as auditor:
            for until_ in (soon(86_400), soon(3)):
                said = auditor.post("/v1/tenants/acme/attestations", json={**attest, "valid_until": until_})
                assert said.status_code == 200, said.text
            assert said.json()["receipt"]["events"][0]["by"] == "eve"
            assert auditor.post("/v1/tenants/acme/holds", json={"scope": "all", "evidence": "urn:x"}).status_code == 403
        assert client.post("/v1/tenants/acme/usage", json=consume).status_code == 200
        until(lambda: not client.post("/v1/tenants/acme/check", json=check).json()["allowed"])
        until(lambda: receipts(tmp_path / "data")[-1]["cause"]["kind"] == "timer")
        *_, lapsed = receipts(tmp_path / "data")
        assert [event["type"] for event in lapsed["events"]] == ["AttestationLapsed", "RefusalBegun"]
        again = client.post("/v1/tenants/acme/usage", json={**consume, "request_id": "two"})
        assert (again.status_code, again.json()["reason"]) == (403, "compliance_closed")


READS: Final = [route for route in routes() if route.method == "GET" and roles_of(route.name)]
"""Every route that shows something to whoever has a token."""
LISTS: Final = ("/v1/tenants", "/v1/actions")
"""Of many tenants, which the log says as *."""


def test_every_look_of_an_operator_or_an_auditor_is_in_the_log_with_who_and_whose(tmp_path: Path) -> None:
    with Service(tmp_path) as service, service.client() as client, ExitStack() as opened:
        granted = client.post("/marketplace", json=GRANT).json()["receipt"]
        known = {"tenant": "acme", "seq": "1", "action": "none-yet", "digest": granted["policy"]}
        people = {
            role: opened.enter_context(service.client(token(service, role, subject=f"{role}-1")))
            for role in ("operator", "auditor", "viewer", "admin")
        }
        elsewhere = token(service, "auditor", subject="of-globex", tenants=frozenset({"globex"}))
        people["stranger"] = opened.enter_context(service.client(elsewhere))
        asked = {}
        for (role, person), route, method in itertools.product(people.items(), READS, ("GET", "HEAD")):
            key = f"look-{len(asked)}"
            path = route.path.format(**known)
            answer = person.request(method, path, headers={"X-Request-ID": key})
            of_one, is_stranger = "{tenant}" in route.path, role == "stranger"
            assert answer.status_code in ({403} if of_one and is_stranger else {200, 404}), (path, answer.text)
            tenant = "acme" if of_one else "*" if route.path in LISTS else None
            asked[key] = ("of-globex" if is_stranger else f"{role}-1", tenant, method, route.path, answer.status_code)

        def logged() -> dict[str, tuple[Any, ...]]:
            lines = [json.loads(line) for line in service.output if '"request_id"' in line]
            return {
                line["request_id"]: (
                    line.get("caller"),
                    line.get("tenant"),
                    line["httpRequest"]["requestMethod"],
                    line["httpRequest"]["requestUrl"],
                    line["httpRequest"]["status"],
                )
                for line in lines
                if line["request_id"] in asked
            }

        until(lambda: len(logged()) == len(asked))
        assert logged() == asked
    assert len(READS) >= 10


def document_of(done: Any) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.embedded
def test_holds_and_attestations_are_said_on_the_command_line_to_a_service_and_at_the_store(tmp_path: Path) -> None:
    here = ("--data-dir", str(tmp_path))
    with Service(tmp_path) as service, service.client() as client:
        client.post("/marketplace", json=GRANT).raise_for_status()
        for role, name in (("operator", "olga"), ("auditor", "eve")):
            (tmp_path / name).write_text(token(service, role, subject=name))
        olga, eve = (("--url", service.url, "--token-file", str(tmp_path / name)) for name in ("olga", "eve"))
        case = ("--evidence", "urn:case:5", "--reason", "court order")
        placed = tai("holds", "place", "acme", *case, "--scope", "erasure", "--until", "30d", *olga)
        assert (placed.returncode, placed.stderr) == (0, "")
        assert "olga placed the hold " in placed.stdout
        assert tai("holds", "place", "acme", "--evidence", "urn:case:5", *eve).returncode == 2
        said = tai("attest", "acme", "dpa_signed", "--evidence", "urn:dpa", "--until", "365d", *eve)
        assert (said.returncode, "eve attested at " in said.stdout) == (0, True)
        listed = document_of(tai("holds", "list", "acme", "--json", *olga))["compliance"]
        (hold,) = listed["holds"]
        assert (hold["scope"], hold["by"], listed["closed"]) == ("erasure", "olga", ["erasure"])
        beside = tai("holds", "list", "acme", *here)
        assert beside.stdout.splitlines()[0] == "closed    erasure"
        assert f"hold      {hold['hold_id']}  erasure  since " in beside.stdout
        assert "control   dpa_signed: compliant, not required, until " in beside.stdout
        locked = tai("holds", "place", "acme", "--evidence", "urn:case:6", *here)
        assert (locked.returncode, "--url" in locked.stderr) == (69, True)
    released = tai("holds", "release", "acme", hold["hold_id"], "--reason", "over", *here)
    assert (released.returncode, "command-line released the hold " in released.stdout) == (0, True)
    again = tai("holds", "release", "acme", hold["hold_id"], *here)
    assert (again.returncode, "refused   invalid_transition" in again.stdout) == (1, True)
    assert document_of(tai("holds", "list", "acme", "--json", *here))["compliance"]["closed"] == []
    for wrong in (("--scope", "some"), ("--until", "soon")):
        misused = tai("holds", "place", "acme", "--evidence", "urn:x", *wrong, *here)
        assert (misused.returncode, misused.stdout) == (2, "")
    assert tai("holds", "place", "acme", "--evidence", "a letter", *here).returncode == 2
    nobody = tai("holds", "place", "nobody", "--evidence", "urn:x", *here)
    assert (nobody.returncode, "nobody has no ledger" in nobody.stderr) == (1, True)
    person = tai("attest", "acme", "dpa_signed", "--evidence", "urn:dpa", "--until", "1d", *here)
    assert (person.returncode, "give --url" in person.stderr) == (2, True)
