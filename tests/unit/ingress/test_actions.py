"""What is shown of actions over HTTP."""

import pytest
from tests.unit.ingress.front import GRANT, WAITING, House

ACME = "/v1/tenants/acme/actions"
SHOWN = {
    "action_id": WAITING.action_id,
    "tenant_id": "acme",
    "rule": "cpu-high",
    "type": "webhook",
    "state": "awaiting_approval",
    "requested_at": "2026-11-24T12:00:00.000000Z",
    "metric": "cpu_utilization",
    "value": "91.5",
    "attempts": 0,
    "attempts_max": 3,
    "timeout_seconds": 10,
    "order": {"type": "webhook", "url": "https://hooks.example/scale", "idempotent": True},
    "approval": {"people": 2, "until": "2026-11-24T12:00:00.000000Z"},
    "approved_by": ["ann"],
}


def granted() -> House:
    house = House()
    house.post("/marketplace", GRANT)
    return house


def test_a_tenants_actions_are_walked_by_their_cursor_in_one_state() -> None:
    house = granted()
    first = house.get(f"{ACME}?state=awaiting_approval&limit=5", token="viewer").json
    assert first["items"] == [SHOWN]
    last = house.get(f"{ACME}?cursor={first['next']}", token="viewer").json
    assert last == {"items": [], "next": None}
    assert house.queries.asked == [("acme", None, 5, "awaiting_approval"), ("acme", 41, 100, None)]


def test_actions_in_flight_are_listed_as_far_as_the_caller_reaches() -> None:
    house = granted()
    first = house.get("/v1/actions?state=retrying", token="auditor").json
    assert (first["items"], first["unreadable"]) == ([SHOWN], [])
    last = house.get(f"/v1/actions?cursor={first['next']}", token="auditor").json
    assert last == {"items": [], "next": None, "unreadable": ["beta"]}
    assert house.queries.asked == [("auditor", "", 100, "retrying"), ("auditor", "acme", 100, None)]


def test_one_action_is_shown_with_what_its_receipts_say() -> None:
    shown = granted().get(f"{ACME}/{WAITING.action_id}", token="operator").json
    event = {
        "type": "ActionApproved",
        "action_id": WAITING.action_id,
        "by": "ann",
        "approvals": 1,
        "people": 2,
        "at": "2026-11-24T12:00:00.000000Z",
    }
    happened = {"seq": 8, "time": "2026-11-24T12:00:00.000000Z", "by": "ann", "event": event}
    assert shown == {**SHOWN, "history": [happened]}


def test_a_tenant_is_shown_with_its_governor_and_the_action_in_flight() -> None:
    shown = granted().get("/v1/tenants/acme", token="viewer").json
    assert shown["governor"] == {
        "state": "intervening",
        "causes": [],
        "rules": [],
        "failures": 0,
        "since": "2026-11-24T12:00:00.000000Z",
    }
    assert shown["action"] == SHOWN


@pytest.mark.parametrize("path", [ACME, f"{ACME}/{WAITING.action_id}", "/v1/actions"])
def test_viewers_alone_see_actions_and_only_of_their_tenants(path: str) -> None:
    house = granted()
    assert house.get(path, token="integration").reason == "role_forbidden"
    if path.startswith(ACME):
        assert house.get(path, token="other").reason == "tenant_forbidden"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{ACME}?state=done", 400),
        ("/v1/actions?state=succeeded", 400),
        (f"{ACME}?limit=0", 400),
        (f"{ACME}?cursor=x", 400),
        (f"{ACME}?cursor=YWN0aW9ucy9hY21lCng", 400),
        (f"{ACME}/%20", 400),
        (f"{ACME}/none?state=ready", 400),
        (f"{ACME}/none", 404),
        ("/v1/tenants/nobody/actions", 404),
    ],
)
def test_what_cannot_be_asked_is_refused_and_what_is_not_there_is_not_found(path: str, status: int) -> None:
    assert granted().get(path).status == status
