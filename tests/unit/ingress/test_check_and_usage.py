"""Checks write nothing; usage is counted item by item."""

import asyncio
from typing import Any

import pytest
from tests.unit.ingress.front import House, Response

from tai_autonomics.application.queries import ThrottleView
from tai_autonomics.domain.gates import Failed
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import Consume, Release, Reset
from tai_autonomics.domain.tenant import Check
from tai_autonomics.errors import Overloaded

CHECK, USAGE = "/v1/tenants/acme/check", "/v1/tenants/acme/usage"
ITEM = {"operation": "consume", "quota": "api_calls", "amount": 3, "request_id": "r1"}
QUOTA_EVIDENCE = {
    "quota": "api_calls",
    "used": 99,
    "amount": 3,
    "per": "day",
    "kind": "hard",
    "limit": 100,
    "remaining": 1,
    "window_start": "2026-11-24T00:00:00.000000Z",
    "resets_at": "2026-11-25T00:00:00.000000Z",
}


def test_a_bare_check_is_answered_with_limits() -> None:
    house = House()
    response = house.post(CHECK, {"entitlement_id": "ent_1", "feature": "export", "quota": "api_calls", "amount": 5})
    assert house.queries.checks == [("acme", (Check("ent_1", "export", "api_calls", 5),))]
    limits = {
        "api_calls": {"limit": 100, "used": 3, "remaining": 97, "resets_at": "2026-11-25T00:00:00.000000Z"},
        "seats": {"limit": None, "used": 1, "remaining": None},
    }
    assert (response.status, response.json) == (
        200,
        {
            "allowed": True,
            "as_of": {"seq": 7, "time": "2026-11-24T12:00:00.000000Z"},
            "results": [{"allowed": True, "limits": limits}],
        },
    )


def test_several_checks_are_answered_in_order_and_explained_when_asked() -> None:
    house = House()
    house.queries.allowed = False
    response = house.post(CHECK, {"checks": [{"feature": "a"}, {}], "explain": True})
    assert house.queries.checks == [("acme", (Check(feature="a"), Check()))]
    assert response.status == 200
    assert response.json["allowed"] is False
    assert [result["reason"] for result in response.json["results"]] == ["entitlement_inactive"] * 2
    assert response.json["results"][0]["gates"] == [
        {
            "gate": "entitlement_is_in_service",
            "passed": True,
            "evidence": {"entitlements_in_service": 1, "plan": "professional"},
        }
    ]


def test_a_gate_that_fails_is_explained_with_what_to_do() -> None:
    house = House()
    house.queries.gate = Failed("quota_is_available", {"used": 1}, "quota_exceeded", "it is used up", "wait")
    gates = house.post(CHECK, {"explain": True}).json["results"][0]["gates"]
    assert gates == [
        {
            "gate": "quota_is_available",
            "passed": False,
            "evidence": {"used": 1},
            "reason": "quota_exceeded",
            "detail": "it is used up",
            "next_step": "wait",
        }
    ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"checks": []}, "/checks"),
        ({"checks": [{}] * 1001}, "/checks"),
        ({"checks": {}}, "/checks"),
        ({"checks": [{"amount": 0}]}, "/checks/0/amount"),
        ({"checks": [{}, {"quota": "a b"}]}, "/checks/1/quota"),
        ({"checks": [{}], "feature": "x"}, "/feature"),
        ({"checks": [{"explain": True}]}, "/checks/0/explain"),
        ({"fature": "x"}, "/fature"),
        ({"explain": 1}, "/explain"),
        ({"amount": 1.5}, "/amount"),
        ({"entitlement_id": None}, "/entitlement_id"),
        ([], ""),
    ],
)
def test_a_check_that_is_not_understood_is_refused(body: Any, pointer: str) -> None:
    house = House()
    response = house.post(CHECK, body)
    assert (response.status, response.json["errors"][0]["pointer"]) == (400, pointer)
    assert house.queries.checks == []


def test_a_bare_item_answers_with_its_own_receipt() -> None:
    house = House()
    response = house.post(USAGE, {**ITEM, "entitlement_id": "ent_1"})
    submission = house.corridor.submissions[0]
    assert (response.status, response.json["hash"]) == (200, response.headers["receipt-hash"])
    assert submission.command == Consume("api_calls", 3, "ent_1")
    assert (submission.source, submission.command_id) == ("usage", "http:admin:r1")


def test_a_bare_items_key_may_be_the_header() -> None:
    house = House()
    bare = {name: value for name, value in ITEM.items() if name != "request_id"}
    assert house.post(USAGE, bare, headers={"Idempotency-Key": "k"}).status == 200
    refused = house.post(USAGE, bare)
    assert refused.reason == "missing_field"
    assert refused.json["detail"] == "usage needs a request_id or an Idempotency-Key"


def test_each_item_is_decided_on_its_own_in_order() -> None:
    house = House()
    release = {"operation": "release", "quota": "api_calls", "amount": 1, "request_id": "r2"}
    response = house.post(USAGE, {"items": [ITEM, release, {**ITEM, "amount": 4}]})
    assert response.status == 200
    assert [item["status"] for item in response.json["items"]] == [200, 200, 422]
    assert [each.command for each in house.corridor.submissions[:2]] == [
        Consume("api_calls", 3),
        Release("api_calls", 1),
    ]
    first = house.corridor.ledgers["acme"][0]
    assert response.json["items"][0]["hash"] == first.hash
    assert first.body in response.body
    assert response.json["items"][2]["reason"] == "idempotency_key_reused"


def test_every_item_is_submitted_before_any_is_awaited() -> None:
    house = House()

    async def scenario() -> Response:
        house.corridor.hold = asyncio.Event()
        items = [{**ITEM, "request_id": f"r{index}"} for index in range(50)]
        call = asyncio.create_task(house.acall("POST", USAGE, {"items": items}))
        async with asyncio.timeout(5):
            while house.corridor.waiting < 50:
                await asyncio.sleep(0)
        house.corridor.hold.set()
        return await call

    assert len(asyncio.run(scenario()).json["items"]) == 50


def test_an_items_own_failure_is_its_own() -> None:
    house = House()
    house.corridor.raise_with["acme"] = ZeroDivisionError("a bug")
    response = house.post(USAGE, {"items": [ITEM]})
    assert (response.status, response.json["items"][0]["status"]) == (200, 500)
    assert house.ear.failures[0][0] == "POST /v1/tenants/{tenant}/usage"


@pytest.mark.parametrize(
    ("body", "reason", "pointer"),
    [
        ({"items": []}, "malformed_request", "/items"),
        ({"items": [ITEM] * 1001}, "malformed_request", "/items"),
        ({"items": [ITEM, {**ITEM, "amount": 0}]}, "malformed_request", "/items/1/amount"),
        ({"items": [{**ITEM, "amount": 2**53}]}, "malformed_request", "/items/0/amount"),
        ({"items": [{**ITEM, "operation": "reset"}]}, "malformed_request", "/items/0/operation"),
        ({"items": [{**ITEM, "quota": ""}]}, "malformed_request", "/items/0/quota"),
        ({"items": [{"operation": "consume", "quota": "q", "amount": 1}]}, "missing_field", "/items/0/request_id"),
        ({"items": [ITEM], "quota": "q"}, "malformed_request", "/quota"),
        ({**ITEM, "operation": "release", "entitlement_id": "e"}, "malformed_request", "/entitlement_id"),
        ({"quota": "q", "amount": 1, "request_id": "r"}, "missing_field", "/operation"),
    ],
)
def test_usage_that_is_not_understood_is_refused_whole(body: Any, reason: str, pointer: str) -> None:
    house = House()
    response = house.post(USAGE, body)
    assert (response.status, response.reason, response.json["errors"][0]["pointer"]) == (400, reason, pointer)
    assert house.corridor.submissions == []


def test_one_header_cannot_be_the_key_of_several_items() -> None:
    assert House().post(USAGE, {"items": [ITEM]}, headers={"Idempotency-Key": "k"}).status == 400


def test_a_quota_that_is_used_up_says_when_to_come_back() -> None:
    house = House()
    house.corridor.refuse_with["acme"] = {"reason": "quota_exceeded", "evidence": QUOTA_EVIDENCE}
    response = house.post(USAGE, ITEM)
    assert (response.status, response.reason) == (429, "quota_exceeded")
    assert response.json["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert response.json["violated-policies"] == ["api_calls"]
    assert response.headers["retry-after"] == "43200"
    assert response.headers["ratelimit-policy"] == '"api_calls";q=100;w=86400'
    assert response.headers["ratelimit"] == '"api_calls";r=1;t=43200'


def test_a_lifetime_quota_never_comes_back() -> None:
    house = House()
    evidence = {name: value for name, value in QUOTA_EVIDENCE.items() if name not in ("window_start", "resets_at")}
    house.corridor.refuse_with["acme"] = {"reason": "quota_exceeded", "evidence": evidence}
    response = house.post(USAGE, ITEM)
    assert "retry-after" not in response.headers
    assert response.headers["ratelimit-policy"] == '"api_calls";q=100'


def test_a_tenants_rate_counts_items_and_is_its_own() -> None:
    house = House(tenant_rate_per_second=3)
    items = [{**ITEM, "request_id": f"r{index}"} for index in range(3)]
    assert house.post(USAGE, {"items": items}).status == 200
    over = house.post(CHECK, {})
    assert (over.status, over.reason, over.headers["retry-after"]) == (429, "rate_limited", "1")
    assert over.headers["ratelimit-policy"] == '"tenant";q=3;w=1'
    assert over.json["violated-policies"] == ["tenant"]
    assert house.post("/v1/tenants/beta/check", {}).status == 200
    house.clock.seconds += 1
    assert house.post(CHECK, {}).status == 200


def test_a_lane_that_is_full_is_a_429_of_the_tenant() -> None:
    house = House()
    house.corridor.raise_with["acme"] = Overloaded("rate_limited", "too many", retry_after_seconds=7)
    response = house.post(USAGE, ITEM)
    assert (response.status, response.headers["retry-after"], response.headers["ratelimit"]) == (
        429,
        "7",
        '"tenant";r=0;t=7',
    )


def test_a_reset_needs_no_body_and_keeps_its_reason_apart() -> None:
    house = House()
    path = "/v1/tenants/acme/quotas/api_calls/reset"
    assert house.post(path, token="operator").status == 200
    assert house.post(path, {"reason": "a mistake"}, token="operator").json["parts"]["reason"]["text"] == '"a mistake"'
    first, second = house.corridor.submissions
    assert (first.command, first.source, first.request) == (Reset("api_calls"), "api", second.request)
    assert house.post(path, {"reson": "x"}).status == 400
    assert house.post("/v1/tenants/acme/quotas/a b/reset").status == 400


THROTTLE_EVIDENCE = {
    "action_id": "act_1",
    "counted_by": "instance",
    "used": 5,
    "max": 5,
    "per_seconds": 60,
    "window_start": "2026-11-24T12:00:00.000000Z",
    "resets_at": "2026-11-24T12:00:20.000000Z",
    "until": "2026-11-24T12:00:20.000000Z",
}


def test_a_consume_over_a_throttle_is_429_with_its_receipt_and_when_to_come_again() -> None:
    house = House()
    refusal = {"reason": "rate_limited", "gate": "rate_is_within_throttle", "evidence": THROTTLE_EVIDENCE}
    house.corridor.refuse_with["acme"] = refusal
    response = house.post(USAGE, ITEM)
    assert (response.status, response.reason) == (429, "rate_limited")
    assert response.headers["retry-after"] == "20"
    assert response.headers["ratelimit-policy"] == '"throttle";q=5;w=60'
    assert response.headers["ratelimit"] == '"throttle";r=0;t=20'
    assert response.json["violated-policies"] == ["throttle"]
    assert response.headers["receipt-hash"] == response.json["hash"] == house.corridor.ledgers["acme"][0].hash
    (item,) = house.post(USAGE, {"items": [{**ITEM, "request_id": "r2"}]}).json["items"]
    assert (item["status"], item["violated-policies"]) == (429, ["throttle"])


def test_a_check_under_a_throttle_says_what_is_left_of_it() -> None:
    house = House()
    house.queries.throttle = ThrottleView(
        5, 60, 3, Moment("2026-11-24T12:00:20.000000Z"), Moment("2026-11-24T13:00:00.000000Z")
    )
    response = house.post(CHECK, {})
    assert (response.status, response.headers.get("retry-after")) == (200, None)
    assert response.headers["ratelimit-policy"] == '"throttle";q=5;w=60'
    assert response.headers["ratelimit"] == '"throttle";r=3;t=20'
    assert response.json["throttle"] == {
        "requests": 5,
        "per_seconds": 60,
        "remaining": 3,
        "resets_at": "2026-11-24T12:00:20.000000Z",
        "until": "2026-11-24T13:00:00.000000Z",
    }


def test_without_a_throttle_a_check_has_no_header_of_one() -> None:
    response = House().post(CHECK, {})
    assert "throttle" not in response.json
    assert "ratelimit" not in response.headers
