"""One key, one decision: over real HTTP, at the same moment, after a restart, and with other content."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.journey.ledgers import exported
from tests.journey.service import Service
from tests.journey.standstill import held, until_waiting

AT_ONCE: Final = 64
CONSUME: Final = {"operation": "consume", "quota": "seats", "amount": 1}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """acme holds ent_1; its plan has 25 seats."""
    with Service(tmp_path_factory.mktemp("keys")) as started, started.client() as client:
        grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "professional"}
        assert client.post("/marketplace", json={**grant, "metadata": {"order": "O-1"}}).status_code == 200
        yield started


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as made:
        yield made


def keyed(client: httpx.Client, path: str, body: object, key: str) -> httpx.Response:
    return client.post(path, json=body, headers={"Idempotency-Key": key})


async def at_once(service: Service, path: str, body: object, key: str) -> list[httpx.Response]:
    headers = {"Authorization": f"Bearer {service.admin_token}", "Idempotency-Key": key}
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=service.url, headers=headers, limits=limits, timeout=30) as client:
        return await asyncio.gather(*(client.post(path, json=body) for _ in range(AT_ONCE)))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/marketplace", {"tenant_id": "acme", "entitlement_id": "ent_1", "metadata": {"a": [1, "ä"]}}, 200),
        ("/marketplace", {"tenant_id": "new", "entitlement_id": "ent_1", "reason": "who knows"}, 403),
        ("/marketplace", {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "reinstate"}, 409),
        ("/v1/tenants/acme/usage", CONSUME, 200),
        ("/v1/tenants/acme/usage", {**CONSUME, "operation": "release", "amount": 10**6}, 422),
        ("/v1/tenants/acme/quotas/api_calls/reset", {"reason": "month end"}, 200),
    ],
    ids=["accepted", "refused", "refused for its state", "usage", "usage refused", "reset"],
)
def test_64_identical_requests_at_once_get_the_same_bytes_of_one_receipt(
    service: Service, path: str, body: dict[str, Any], status: int
) -> None:
    before = len(exported(service.data_dir))
    answers = asyncio.run(at_once(service, path, body, f"at-once {path} {status}".replace(" ", "-")))
    assert Counter(answer.status_code for answer in answers) == {status: AT_ONCE}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["receipt-hash"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert len(exported(service.data_dir)) == before + 1


def test_64_identical_erasures_at_once_are_one(service: Service) -> None:
    body = {"seq": 1, "part": "metadata"}
    answers = asyncio.run(at_once(service, "/v1/tenants/acme/erasures", body, "erase"))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["hash"] for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1


def test_a_key_with_other_content_is_a_422_and_writes_nothing(service: Service, client: httpx.Client) -> None:
    verify = {"tenant_id": "acme", "entitlement_id": "ent_1"}
    first = keyed(client, "/marketplace", verify, "content")
    before = exported(service.data_dir)
    for path, body in (
        ("/marketplace", {**verify, "entitlement_id": "ent_2"}),
        ("/marketplace", {**verify, "action": "suspend"}),
        ("/v1/tenants/acme/usage", CONSUME),
        ("/v1/tenants/acme/quotas/seats/reset", {}),
    ):
        other = keyed(client, path, body, "content")
        assert (other.status_code, other.json()["reason"]) == (422, "idempotency_key_reused")
        assert "receipt-hash" not in other.headers
    for same in ({**verify, "action": "verify"}, {**verify, "metadata": {"other": 1}, "reason": "other"}):
        repeat = keyed(client, "/marketplace", same, "content")
        assert (repeat.headers["idempotent-replayed"], repeat.content) == ("true", first.content)
    assert exported(service.data_dir) == before


def test_a_key_in_flight_is_not_taken_by_other_content(service: Service) -> None:
    async def scenario() -> tuple[list[httpx.Response], httpx.Response]:
        headers = {"Authorization": f"Bearer {service.admin_token}", "Idempotency-Key": "in-flight"}
        async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as sender:
            usage = "/v1/tenants/acme/usage"
            with held(service), service.client() as watching:
                first = [asyncio.create_task(sender.post(usage, json=CONSUME)) for _ in range(2)]
                await asyncio.to_thread(until_waiting, watching, 1)
                other = await sender.post(usage, json={**CONSUME, "amount": 2})
            return await asyncio.gather(*first), other

    first, other = asyncio.run(scenario())
    assert (other.status_code, other.json()["reason"]) == (422, "idempotency_key_reused")
    assert [answer.status_code for answer in first] == [200, 200]
    assert first[0].content == first[1].content


def test_a_key_is_the_same_however_it_is_given(client: httpx.Client) -> None:
    body = {"tenant_id": "acme", "entitlement_id": "ent_1"}
    answers = [
        keyed(client, "/marketplace", body, "order-1"),
        keyed(client, "/marketplace", body, '"order-1"'),
        client.post("/marketplace", json={**body, "request_id": "order-1"}),
        keyed(client, "/marketplace", {**body, "request_id": "order-1"}, "order-1"),
    ]
    assert len({answer.content for answer in answers}) == 1
    assert keyed(client, "/marketplace", {**body, "request_id": "order-2"}, "order-1").status_code == 400
    unkeyed = [client.post("/marketplace", json=body).json()["hash"] for _ in range(2)]
    assert unkeyed[0] != unkeyed[1]


@pytest.mark.parametrize("cure", ["release", "reset"])
def test_quota_exceeded_does_not_use_its_key_up(service: Service, client: httpx.Client, cure: str) -> None:
    usage, reset = "/v1/tenants/acme/usage", "/v1/tenants/acme/quotas/seats/reset"
    keyed(client, reset, {}, f"empty-{cure}")
    assert keyed(client, usage, {**CONSUME, "amount": 25}, f"fill-{cure}").status_code == 200
    refused = [keyed(client, usage, CONSUME, f"over-{cure}") for _ in range(2)]
    for answer in refused:
        assert (answer.status_code, answer.json()["reason"]) == (429, "quota_exceeded")
        assert answer.json()["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
        assert "retry-after" not in answer.headers, "this quota is for a lifetime"
    assert refused[0].json()["hash"] != refused[1].json()["hash"]
    if cure == "release":
        keyed(client, usage, {**CONSUME, "operation": "release"}, "make-room")
    else:
        keyed(client, reset, {}, "make-room-by-reset")
    anew, again = (keyed(client, usage, CONSUME, f"over-{cure}") for _ in range(2))
    assert (anew.status_code, "idempotent-replayed" in anew.headers) == (200, False)
    assert (again.headers["idempotent-replayed"], again.content) == ("true", anew.content)


def test_a_repeat_after_a_crash_gets_the_same_bytes(tmp_path: Path) -> None:
    grant = {"tenant_id": "acme", "entitlement_id": "ent_1", "action": "grant", "plan": "free", "metadata": {"a": 1}}
    refused = {"tenant_id": "acme", "entitlement_id": "ent_2"}
    service = Service(tmp_path).start()
    with service.client() as client:
        first = [keyed(client, "/marketplace", body, str(key)) for key, body in enumerate((grant, refused))]
    service.kill()
    with service, service.client() as client:
        again = [keyed(client, "/marketplace", body, str(key)) for key, body in enumerate((grant, refused))]
    assert [answer.content for answer in again] == [answer.content for answer in first]
    assert [answer.headers["idempotent-replayed"] for answer in again] == ["true", "true"]
    assert len(exported(tmp_path)) == 2
