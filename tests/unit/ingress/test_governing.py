"""What operators tell a governor over HTTP."""

from typing import Any

import pytest
from tests.unit.ingress.front import House

from tai_autonomics.domain.governor import ApproveAction, CancelAction, DenyAction, PauseGovernor, ResumeGovernor
from tai_autonomics.domain.identifiers import ActionId

ACTION = ActionId("01JD0000000000000000000000-7-0123456789ab")
COMMANDS: dict[str, Any] = {
    "governor/pause": PauseGovernor(),
    "governor/resume": ResumeGovernor(),
    f"actions/{ACTION}/approve": ApproveAction(ACTION, "operator"),
    f"actions/{ACTION}/deny": DenyAction(ACTION, "operator"),
    f"actions/{ACTION}/cancel": CancelAction(ACTION, "operator"),
}


@pytest.mark.parametrize("path", COMMANDS)
def test_each_route_is_its_command_with_an_erasable_reason_and_a_key(path: str) -> None:
    house = House()
    body = {"reason": "night shift", "request_id": "k"}
    response = house.post(f"/v1/tenants/acme/{path}", body, token="operator")
    assert response.status == 200
    submission = house.corridor.submissions[0]
    assert submission.command == COMMANDS[path]
    assert submission.command_id == "http:operator:k"
    assert submission.parts == (("reason", b'"night shift"'),)
    assert response.json["parts"]["reason"]["text"] == '"night shift"'


@pytest.mark.parametrize("path", COMMANDS)
def test_the_body_may_be_left_out_and_only_operators_are_let_in(path: str) -> None:
    house = House()
    assert house.post(f"/v1/tenants/acme/{path}", token="operator").status == 200
    assert house.post(f"/v1/tenants/acme/{path}", token="integration").reason == "role_forbidden"
    assert house.post(f"/v1/tenants/acme/{path}", {"typo": 1}, token="operator").status == 400
    assert len(house.corridor.submissions) == 1


def test_one_key_belongs_to_one_operation_and_one_action() -> None:
    house = House()
    key = {"request_id": "k"}
    replies = [house.post(f"/v1/tenants/acme/{path}", key, token="operator") for path in COMMANDS]
    assert [reply.status for reply in replies] == [200, 422, 422, 422, 422]
    other = house.post("/v1/tenants/other/actions/another/approve", key, token="operator")
    assert other.status == 200
    assert house.post("/v1/tenants/other/actions/a-third/approve", key, token="operator").status == 422


def test_an_approval_over_the_budget_says_when_it_ends() -> None:
    house = House()
    evidence = {
        "used": 4,
        "max": 4,
        "per_seconds": 3600,
        "window_start": "2026-11-24T11:30:00.000000Z",
        "resets_at": "2026-11-24T12:30:00.000000Z",
    }
    house.corridor.refuse_with["acme"] = {"reason": "action_budget_exhausted", "evidence": evidence}
    response = house.post(f"/v1/tenants/acme/actions/{ACTION}/approve", token="operator")
    assert (response.status, response.reason) == (429, "action_budget_exhausted")
    assert response.headers["retry-after"] == "1800"
    assert response.headers["ratelimit"] == '"action_budget_exhausted";r=0;t=1800'
    assert response.headers["ratelimit-policy"] == '"action_budget_exhausted";q=4;w=3600'
    assert response.json["violated-policies"] == ["action_budget_exhausted"]


@pytest.mark.parametrize(("reason", "status"), [("invalid_transition", 409), ("governor_refusing", 403)])
def test_a_governors_refusal_has_its_status(reason: str, status: int) -> None:
    house = House()
    house.corridor.refuse_with["acme"] = {"reason": reason}
    assert house.post(f"/v1/tenants/acme/actions/{ACTION}/approve", token="operator").status == status


def test_what_cannot_be_an_actions_id_is_not_decided() -> None:
    house = House()
    assert house.post("/v1/tenants/acme/actions/%20/deny", token="operator").status == 400
    assert house.corridor.submissions == []
