"""Pub/Sub as it pushes: at least once, in any order, many at a time; what it need not send again is acknowledged."""

import asyncio
import base64
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.journey.callers import token
from tests.journey.ledgers import exported, quarantined
from tests.journey.service import Service
from tests.journey.standstill import held, repeated, until_waiting

SUBSCRIPTION: Final = "projects/p/subscriptions/s"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("pubsub")) as started:
        yield started


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client() as made:
        yield made


def envelope(payload: object, message_id: str, *, subscription: str = SUBSCRIPTION, **more: object) -> dict[str, Any]:
    data = base64.b64encode(json.dumps(payload).encode()).decode()
    return {"message": {"data": data, "messageId": message_id}, "subscription": subscription, **more}


def verify(tenant: str, **members: object) -> dict[str, Any]:
    return {"tenant_id": tenant, "entitlement_id": "ent_1", **members}


def items(answer: httpx.Response) -> list[dict[str, Any]]:
    """Each command's own answer, of a message that was decided whole."""
    assert (answer.status_code, answer.json().keys()) == (200, {"items"}), answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_a_refusal_is_acknowledged_and_a_redelivery_gets_it_again_although_a_grant_came_between(
    service: Service, client: httpx.Client
) -> None:
    first = items(client.post("/pubsub", json=envelope(verify("first"), "1")))
    assert (first[0]["status"], first[0]["reason"]) == (403, "entitlement_inactive")
    assert client.post("/marketplace", json=verify("first", action="grant", plan="free")).status_code == 200
    assert items(client.post("/pubsub", json=envelope(verify("first"), "1", deliveryAttempt=2))) == first
    later = items(client.post("/pubsub", json=envelope(verify("first"), "2")))
    assert (later[0]["status"], later[0]["receipt"]["seq"]) == (200, 3)
    assert later[0]["receipt"]["cause"] == {
        "kind": "pubsub",
        "id": f"pubsub:{SUBSCRIPTION}:2",
        "by": "first-start-admin",
        "request": first[0]["receipt"]["cause"]["request"],
    }


def test_commands_of_one_message_are_decided_in_their_order(client: httpx.Client) -> None:
    steps = [
        verify("ordered"),
        verify("ordered", action="grant", plan="professional"),
        verify("ordered"),
        verify("other", action="grant", plan="free"),
        verify("ordered", action="suspend"),
        verify("ordered"),
    ]
    decided = items(client.post("/pubsub", json=envelope(steps, "ordered")))
    assert [item["status"] for item in decided] == [403, 200, 200, 200, 200, 403]
    assert [item["receipt"]["seq"] for item in decided] == [1, 2, 3, 1, 4, 5]
    assert [item["receipt"]["cause"]["id"].rpartition("/")[2] for item in decided] == list("012345")


def test_both_spellings_events_and_signals_are_understood(client: httpx.Client) -> None:
    event = {"specversion": "1.0", "id": "e:1", "source": "//shop:1", "type": "granted", "more": True}
    payload = [
        {**event, "data": verify("spelled", action="grant", plan="free")},
        {"tenant_id": "spelled", "metric": "error_rate", "value": 0.25},
        verify("spelled"),
    ]
    pushed = envelope(payload, "camel")
    pushed["message"]["message_id"] = pushed["message"].pop("messageId")
    pushed["message"] |= {"publish_time": "2026-11-24T12:00:00Z", "attributes": {"a": "b"}, "orderingKey": "k"}
    decided = items(client.post("/pubsub", json=pushed))
    assert [item["status"] for item in decided] == [200, 422, 200]
    assert decided[0]["receipt"]["cause"]["id"] == "event://shop%3A1:e:1"
    assert (decided[1]["reason"], "receipt" in decided[1]) == ("unknown_metric", False)
    assert items(client.post("/pubsub", json=pushed))[0] == decided[0]


async def deliver_at_once(service: Service, body: object, times: int) -> list[httpx.Response]:
    headers = {"Authorization": f"Bearer {service.admin_token}"}
    limits = httpx.Limits(max_connections=times)
    async with httpx.AsyncClient(base_url=service.url, headers=headers, limits=limits, timeout=30) as client:
        return await asyncio.gather(*(client.post("/pubsub", json=body) for _ in range(times)))


def test_one_message_delivered_many_times_at_once_is_decided_once(service: Service) -> None:
    commands = [verify("once", action="grant", plan="free"), verify("once"), verify("twice")]
    answers = asyncio.run(deliver_at_once(service, envelope(commands, "at-once"), 32))
    assert len({answer.content for answer in answers}) == 1
    assert [item["status"] for item in items(answers[0])] == [200, 200, 403]
    tenants = [json.loads(line)["receipt"]["tenant"] for line in exported(service.data_dir)]
    assert (tenants.count("once"), tenants.count("twice")) == (2, 1)


def test_no_two_messages_share_an_id(client: httpx.Client) -> None:
    pairs = (("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c"), ("a:b", "c/0"), ("a", "b%3Ac"))
    hashes = set()
    for subscription, message_id in pairs:
        pushed = envelope(verify("shared"), message_id, subscription=subscription)
        hashes.add(items(client.post("/pubsub", json=pushed))[0]["hash"])
    pushed = envelope([verify("shared")], "c", subscription="a:b")
    assert items(client.post("/pubsub", json=pushed))[0]["hash"] in hashes, "c/0 is item 0 of c"
    assert len(hashes) == len(pairs)


def test_a_request_id_of_its_own_is_the_key_across_messages(client: httpx.Client) -> None:
    first = items(client.post("/pubsub", json=envelope(verify("own-key", request_id="r"), "k1")))
    assert items(client.post("/pubsub", json=envelope(verify("own-key", request_id="r"), "k2"))) == first
    other = verify("own-key", request_id="r", action="grant")
    reused = client.post("/pubsub", json=envelope(other, "k3"))
    assert (reused.status_code, items(reused)[0]["reason"]) == (200, "idempotency_key_reused")
    assert "quarantined" not in reused.json()
    assert [item["status"] for item in reused.json()["items"]] == [422]


@pytest.mark.parametrize(
    "broken",
    [
        {"message": {"data": "dGVzdA=="}},
        {"message": {"data": "dGVzdA==", "messageId": "1"}},
        {"message": {"data": "dGVzdA=="}, "subscription": "s"},
        {"message": {"data": "dGVzdA==", "messageId": ""}, "subscription": "s"},
        {"message": {"data": "dGVzdA==", "messageId": "1\n"}, "subscription": "s"},
        {"message": {"data": "dGVzdA==", "messageId": 1}, "subscription": "s"},
        {"message": {"data": "dGVzdA==", "messageId": "1" * 513}, "subscription": "s"},
        {"message": "dGVzdA==", "subscription": "s"},
        {"message": {"data": "dGVzdA==", "messageId": "1"}, "subscription": "s", "deliveryAttempt": "1"},
        [],
    ],
)
def test_what_pubsub_would_never_push_is_a_400_and_kept_nowhere(
    service: Service, client: httpx.Client, broken: object
) -> None:
    before = exported(service.data_dir), quarantined(service.data_dir)
    answer = client.post("/pubsub", json=broken)
    assert (answer.status_code, answer.json()["reason"]) == (400, "malformed_envelope")
    assert (exported(service.data_dir), quarantined(service.data_dir)) == before


def test_forged_input_is_never_acknowledged(service: Service) -> None:
    before = exported(service.data_dir), quarantined(service.data_dir)
    for each, status in (("", 401), ("forged", 401), (token(service, "viewer", "operator", "auditor"), 403)):
        with service.client(each) as client:
            for payload in (verify("acme"), "not understood"):
                assert client.post("/pubsub", json=envelope(payload, "forged")).status_code == status
    assert (exported(service.data_dir), quarantined(service.data_dir)) == before


def test_a_tenant_over_its_rate_is_acknowledged_and_kept_and_holds_up_no_other(tmp_path: Path) -> None:
    with Service(tmp_path, environ={"TAI_TENANT_RATE_PER_SECOND": "3"}) as service, service.client() as client:
        pushed = envelope([*(verify("noisy") for _ in range(20)), verify("quiet")], "noisy")
        answer = client.post("/pubsub", json=pushed)
        assert answer.status_code == 200
        statuses = [item["status"] for item in answer.json()["items"]]
        assert statuses == [403] * 3 + [429] * 17 + [403]
        assert answer.json()["quarantined"]["reason"] == "rate_limited"
    assert len(exported(tmp_path)) == 4
    assert len(quarantined(tmp_path)) == 1


def test_a_full_quarantine_is_a_503_and_what_it_holds_stays_acknowledged(tmp_path: Path) -> None:
    with Service(tmp_path, environ={"TAI_QUARANTINE_MAX": "2"}) as service, service.client() as client:
        for message_id, status in (("1", 200), ("2", 200), ("3", 503), ("1", 200), ("3", 503)):
            answer = client.post("/pubsub", json=envelope("not understood", message_id))
            assert answer.status_code == status, answer.text
            if status == 503:
                assert answer.json()["reason"] == "store_unavailable"
                assert int(answer.headers["retry-after"]) >= 1
        assert items(client.post("/pubsub", json=envelope(verify("acme"), "4")))[0]["status"] == 403
    assert len(quarantined(tmp_path)) == 2


def test_an_instance_over_capacity_is_a_429_and_keeps_nothing(tmp_path: Path) -> None:
    with Service(tmp_path, environ={"TAI_REQUESTS_AT_ONCE_MAX": "1"}) as service, service.client() as client:
        client.post("/marketplace", json=verify("acme"))

        async def scenario() -> tuple[httpx.Response, httpx.Response]:
            headers = {"Authorization": f"Bearer {service.admin_token}"}
            async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=30) as sender:
                with held(service):
                    within = asyncio.create_task(sender.post("/pubsub", json=envelope(verify("acme"), "1")))
                    await asyncio.to_thread(until_waiting, client, 1)
                    over = await sender.post("/pubsub", json=envelope("not understood", "2"))
                return await within, over

        within, over = asyncio.run(scenario())
    assert (over.status_code, over.json()["reason"]) == (429, "overloaded")
    assert items(within)[0]["receipt"]["seq"] == 2
    assert quarantined(tmp_path) == []


@pytest.mark.embedded
def test_while_the_store_cannot_be_written_all_is_to_be_sent_again_and_then_nothing_is_done_twice(
    tmp_path: Path,
) -> None:
    with Service(tmp_path, environ={"TAI_REQUEST_SECONDS_MAX": "1"}) as service, service.client() as client:
        commands = [verify("acme", action="grant", plan="free"), verify("acme"), verify("beta")]
        unlimited = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
        refused = client.post("/pubsub", json=envelope(commands, "1"))
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, unlimited)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        again = [items(repeated(lambda: client.post("/pubsub", json=envelope(commands, "1")))) for _ in range(2)]
    assert again[0] == again[1]
    assert [item["status"] for item in again[0]] == [200, 200, 403]
    assert len(exported(tmp_path)) == 3
